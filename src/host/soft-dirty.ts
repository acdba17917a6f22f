/**
 * Soft-dirty tracking: which pages did an mm write since the last look (Linux v6.12 fs/proc/task_mmu.c: clear_refs 4).
 *
 * ```
 * mmap lock W   range start (SOFT_DIRTY, everything)
 *               per table, page-table lock: every PTE read-only, its soft-dirty bit cleared
 *               range end
 *               host TLB flush of the whole mm
 * ```
 *
 * R1 A page is soft-dirty from its first store after the look: the store faults, since the PTE is read-only.
 * R2 A page that comes from swap or is mapped anew counts as written: the mark errs on that side only.
 */
import { PAGE_SIZE } from '../base/index.ts'
import type { Mm } from './mm.ts'
import { TASK_SIZE, pmdAddrEnd } from './page-table.ts'
import { ptePresent, pteSoftDirty, pteClearSoftDirty, pteNone, pteWrprotect } from './pte.ts'
import { splitHugePmd } from './split-huge-pmd.ts'
import type { Vma } from './vma.ts'

/** Forgets what was written so far. */
export async function clearSoftDirty(mm: Mm): Promise<void> {
  await mm.mmapLock.downWrite()
  const range = mm.range(0, TASK_SIZE, 'SOFT_DIRTY')
  await mm.invalidateRangeStart(range)
  for (const vma of mm.vmas.all()) await clearVma(vma)
  await mm.invalidateRangeEnd(range)
  mm.flushTlbRange(0, TASK_SIZE)
  mm.mmapLock.upWrite()
}

async function clearVma(vma: Vma): Promise<void> {
  const { mm } = vma
  const table = mm.pageTable
  for (let hva = table.nextPopulated(vma.start, vma.end); hva < vma.end;) {
    const stop = pmdAddrEnd(hva, vma.end)
    await splitHugePmd(mm, hva)
    await mm.pageTableLock.lock()
    for (; hva < stop; hva += PAGE_SIZE) {
      const slot = table.slot(hva)
      if (slot === -1 || !ptePresent(table.read(hva))) continue
      mm.setPte(hva, slot, pteClearSoftDirty(pteWrprotect(mm.clearPte(hva, slot))))
    }
    mm.pageTableLock.unlock()
    hva = table.nextPopulated(stop, vma.end)
  }
}

/**
 * The pages of [start, start + length) that were written since `clearSoftDirty`, by address (Linux: /proc/pid/pagemap).
 * @throws KernelError EINVAL
 */
export async function softDirtyPages(mm: Mm, start: number, length: number): Promise<number[]> {
  const end = mm.checkRange('pagemap', start, length)
  const found: number[] = []
  await mm.mmapLock.downRead()
  const table = mm.pageTable
  for (let hva = table.nextPopulated(start, end); hva < end; hva += PAGE_SIZE) {
    const pte = table.read(hva)
    if (!pteNone(pte) && (!ptePresent(pte) || pteSoftDirty(pte))) found.push(hva)
  }
  mm.mmapLock.upRead()
  return found
}
