/**
 * Splitting a huge mapping into 512 PTEs (Linux v6.12 mm/huge_memory.c: __split_huge_pmd). See huge-memory.ts.
 *
 * R1 Nothing but the form of the mapping changes: frames, rights, A and D are those of before.
 * R2 The window covers all 2 MiB, also when a part was asked for: a client may have one translation for the whole.
 */
import { PAGE_SIZE } from '../base/index.ts'
import type { Hva } from '../base/index.ts'
import type { Mm } from './mm.ts'
import { PMD_SIZE } from './page-table.ts'

/** Pages of a huge mapping, and their number as a power of two. */
export const HPAGE_PMD_NR = 512
export const HPAGE_PMD_ORDER = 9

/** The VMA cannot have the huge mapping as it is: gives each of its pages a PTE (Linux: __split_huge_pmd). */
export async function splitHugePmd(mm: Mm, hva: number): Promise<void> {
  const base = (hva - (hva % PMD_SIZE)) as Hva
  const table = mm.pageTable
  if (table.hugePmd(base) === 0) return
  const range = mm.range(base, base + PMD_SIZE, 'CLEAR')
  await mm.invalidateRangeStart(range)
  await mm.pageTableLock.lock()
  if (table.hugePmd(base) !== 0) {
    const pmd = mm.clearPmd(base)
    mm.flushTlbRange(base, base + PMD_SIZE)
    const { trace } = mm.kernel
    if (trace.on) trace.emit({ name: 'mm_huge_page', mm: mm.id, hva: base, what: 'split' })
    table.linkLeaf(base, mm.takeDeposit(base))
    for (let page = 0; page < HPAGE_PMD_NR; page++) {
      const at = base + page * PAGE_SIZE
      const slot = table.slot(at)
      if (slot !== -1) mm.setPte(at, slot, pmd + page * 1024)
    }
  }
  mm.pageTableLock.unlock()
  await mm.invalidateRangeEnd(range)
}
