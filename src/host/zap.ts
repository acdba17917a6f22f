/**
 * Removing translations and giving up the pages behind them (Linux v6.12 mm/memory.c: unmap_vmas, zap_page_range_single,
 * mm/mmap.c: free_pgtables).
 *
 * R1 Callouts are the caller's: start before the first PTE is cleared, end after the last.
 * R2 Under the page-table lock a PTE is cleared, its dirty and young bits go to the page, its rmap goes, and its
 *    reference goes to the gather. A dirty page of a shared file is flushed before the lock is dropped: else a store
 *    through a stale TLB entry could come after the file page was cleaned.
 * R3 When the gather is full: lock dropped, host flush, batch freed, on with the rest.
 */
import { PAGE_SIZE } from '../base/index.ts'
import type { Hpa, Hva, Pfn } from '../base/index.ts'
import type { MmuNotifierEvent } from '../notifier/index.ts'
import { zapHugePmd } from './huge-memory.ts'
import { splitHugePmd } from './split-huge-pmd.ts'
import type { Mm } from './mm.ts'
import type { MmuGather } from './mmu-gather.ts'
import { PG_ANON, PG_DIRTY, PG_REFERENCED } from './page.ts'
import { PGDIR_SIZE, PMD_SIZE, TASK_SIZE, pmdAddrEnd } from './page-table.ts'
import { isSwapEntry, pteDirty, pteNone, ptePfn, ptePresent, pteSpecial, pteYoung, swapOffset } from './pte.ts'
import type { Vma } from './vma.ts'

/** Spares private copies: only pages that belong to the file go (Linux: !even_cows). */
export interface ZapOptions {
  readonly keepCows?: boolean
}

/** Clears every PTE of a VMA within [start, end) into the gather. */
export async function unmapPageRange(
  gather: MmuGather,
  vma: Vma,
  start: number,
  end: number,
  options: ZapOptions = {},
): Promise<void> {
  const { mm } = vma
  const table = mm.pageTable
  const keepCows = options.keepCows === true
  let hva = table.nextPopulated(start, end)
  while (hva < end) {
    const stop = pmdAddrEnd(hva, end)
    const whole = hva % PMD_SIZE === 0 && stop - hva === PMD_SIZE
    if (!whole) await splitHugePmd(mm, hva)
    await mm.pageTableLock.lock()
    if (table.hugePmd(hva) === 0) {
      hva = zapPteRange(gather, vma, hva, stop, keepCows)
    } else if (whole) {
      zapHugePmd(gather, mm, hva as Hva)
      hva = stop
    }
    mm.pageTableLock.unlock()
    if (gather.isFull) gather.flushMmu()
    if (hva === stop) hva = table.nextPopulated(hva, end)
  }
}

/** One leaf table's worth, under the page-table lock. @returns where it stopped: `end`, or earlier when the gather is full */
function zapPteRange(gather: MmuGather, vma: Vma, start: number, end: number, keepCows: boolean): number {
  const { mm } = vma
  const { memory } = mm.kernel
  const first = mm.pageTable.slot(start)
  if (first === -1) return end
  let flushBeforeUnlock = false
  let hva = start
  for (; hva < end && !gather.isFull; hva += PAGE_SIZE) {
    const slot = (first + ((hva - start) / PAGE_SIZE) * 8) as Hpa
    const pte = memory.readLow(slot)
    if (pteNone(pte)) continue
    if (ptePresent(pte)) {
      if (keepCows && !pteSpecial(pte) && mm.kernel.pages.test(ptePfn(pte), PG_ANON)) continue
      if (zapPresentPte(gather, vma, hva, slot)) flushBeforeUnlock = true
    } else if (isSwapEntry(pte)) {
      if (keepCows) continue
      mm.clearPte(hva, slot)
      mm.swapEntries--
      mm.kernel.swap.free(swapOffset(pte))
    } else {
      if (keepCows && mm.kernel.pages.test(swapOffset(pte) as Pfn, PG_ANON)) continue
      mm.clearPte(hva, slot)
    }
  }
  if (flushBeforeUnlock) gather.flushTlbOnly()
  return hva
}

/** @returns true when the host TLB must be flushed before the lock is dropped */
function zapPresentPte(gather: MmuGather, vma: Vma, hva: number, slot: Hpa): boolean {
  const { mm } = vma
  const { pages } = mm.kernel
  const pte = mm.clearPte(hva, slot)
  gather.note(hva, hva + PAGE_SIZE)
  if (pteSpecial(pte)) return false
  const pfn = ptePfn(pte)
  const ofFile = !pages.test(pfn, PG_ANON)
  if (ofFile && pteDirty(pte)) pages.set(pfn, PG_DIRTY)
  if (ofFile && pteYoung(pte)) pages.set(pfn, PG_REFERENCED)
  pages.removeRmap(pfn)
  mm.rss--
  gather.removePage(pfn)
  return ofFile && vma.shared && pteDirty(pte)
}

/** Zaps a part of one VMA with its own callouts, flush and frees (Linux: zap_page_range_single). */
export async function zapPageRange(
  vma: Vma,
  start: number,
  end: number,
  event: MmuNotifierEvent,
  options: ZapOptions = {},
): Promise<void> {
  const { mm } = vma
  const range = mm.range(start, end, event)
  const gather = mm.newGather()
  await mm.invalidateRangeStart(range)
  await unmapPageRange(gather, vma, start, end, options)
  await mm.invalidateRangeEnd(range)
  gather.finish()
}

/**
 * Unlinks the table pages that only [start, end) used (Linux: free_pgtables). The VMAs have left the tree and the rmap.
 * @param floor end of the VMA before, `ceiling` start of the one after
 */
export async function freePgtables(
  gather: MmuGather,
  mm: Mm,
  start: number,
  end: number,
  floor: number,
  ceiling: number,
): Promise<void> {
  const table = mm.pageTable
  if (table.tables === 0) return
  await mm.pageTableLock.lock()
  const from = Math.max(start - (start % PMD_SIZE), 0)
  const to = Math.min(Math.ceil(end / PMD_SIZE) * PMD_SIZE, TASK_SIZE)
  for (let hva = table.nextPopulated(from, to); hva < to; hva = table.nextPopulated(hva + PMD_SIZE, to)) {
    const base = hva - (hva % PMD_SIZE)
    hva = base
    if (base < floor || base + PMD_SIZE > ceiling) continue
    const leaf = table.leafTable(base) as Pfn
    table.unlinkLeaf(base)
    gather.removeTable(leaf, base, base + PMD_SIZE)
  }
  freeMiddleTables(gather, mm, start, end, floor, ceiling)
  mm.pageTableLock.unlock()
}

function freeMiddleTables(gather: MmuGather, mm: Mm, start: number, end: number, floor: number, ceiling: number): void {
  const table = mm.pageTable
  for (let base = start - (start % PGDIR_SIZE); base < end; base += PGDIR_SIZE) {
    if (base < floor || base + PGDIR_SIZE > ceiling) continue
    const middle = table.middleTable(base)
    if (middle === -1 || table.nextPopulated(base, base + PGDIR_SIZE) < base + PGDIR_SIZE) continue
    table.unlinkMiddle(base)
    gather.removeTable(middle, base, base + PGDIR_SIZE)
  }
}
