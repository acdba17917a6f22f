/**
 * Flushes of the host TLBs (Linux v6.12 arch/riscv/mm/tlbflush.c): every thread of the mm, as if by an interrupt that
 * is answered at once.
 *
 * R1 When a flush returns, no thread of the mm holds a translation of the range; a thread stands between two accesses
 *    whenever somebody else runs, so the flush takes effect between two of its instructions.
 * R2 Secondary TLBs are not flushed here: that is what the callouts are for.
 */
import { PAGE_SIZE } from '../base/index.ts'
import type { Mm } from './mm.ts'

/** Ranges above so many pages are flushed whole. */
const FLUSH_ALL_ABOVE = 64

/** Forgets the translations of [start, end) in every thread of the mm. */
export function flushTlbRange(mm: Mm, start: number, end: number): void {
  const first = Math.floor(start / PAGE_SIZE)
  const count = Math.ceil((end - start) / PAGE_SIZE)
  for (const thread of mm.threads) {
    if (count > FLUSH_ALL_ABOVE) thread.flushAll()
    else thread.flushPages(first, count)
  }
  const { trace } = mm.kernel
  if (trace.on) trace.emit({ name: 'tlb_flush', mm: mm.id, start, end })
}
