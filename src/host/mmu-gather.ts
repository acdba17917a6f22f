/**
 * mmu_gather: pages that were unmapped wait here until no host TLB names them (Linux v6.12 mm/mmu_gather.c).
 *
 * R1 A frame is released only after the flush that covers its address.
 * R2 When a batch is full, its owner drops the page-table lock, flushes, and frees that batch inside the window of the
 *    callouts; what is left is flushed and freed by `finish`, which the operation calls after the window.
 * R3 Table pages are freed after all flushes, so that no walker of hardware stands in one.
 */
import type { Pfn } from '../base/index.ts'
import type { Mm } from './mm.ts'
import { freePageAndSwapCache } from './swap.ts'

/** Pages of one batch (Linux: MAX_GATHER_BATCH is what fits in a page; small here, so that overflow is ordinary). */
export const GATHER_BATCH = 64

export class MmuGather {
  readonly mm: Mm
  private readonly batch: Pfn[] = []
  private readonly tables: Pfn[] = []
  /** Hull of what was cleared since the last flush. */
  private start = Infinity
  private end = 0

  constructor(mm: Mm) {
    this.mm = mm
  }

  /** True when the owner must stop and call `flushMmu`. */
  get isFull(): boolean {
    return this.batch.length >= GATHER_BATCH
  }

  /** The translation of [hva, end) changed and awaits a flush. */
  note(hva: number, end: number): void {
    if (hva < this.start) this.start = hva
    if (end > this.end) this.end = end
  }

  /** Hands over the reference that a cleared PTE held. */
  removePage(pfn: Pfn): void {
    this.batch.push(pfn)
  }

  /** Hands over an unlinked table page. */
  removeTable(pfn: Pfn, hva: number, end: number): void {
    this.tables.push(pfn)
    this.note(hva, end)
  }

  /** Host flush of what was noted, nothing freed. */
  flushTlbOnly(): void {
    if (this.start >= this.end) return
    this.mm.flushTlbRange(this.start, this.end)
    this.start = Infinity
    this.end = 0
  }

  /** Host flush, then the frames go. Not under the page-table lock. */
  flushMmu(): void {
    this.flushTlbOnly()
    for (const pfn of this.batch) freePageAndSwapCache(this.mm.kernel, pfn)
    this.batch.length = 0
  }

  /** The operation is over: last flush, last frames, table pages (Linux: tlb_finish_mmu). */
  finish(): void {
    this.flushMmu()
    for (const pfn of this.tables) this.mm.kernel.allocator.put(pfn)
    this.tables.length = 0
  }
}
