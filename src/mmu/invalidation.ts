/**
 * The counters that order a fault against the host's invalidations (virt/kvm/kvm_main.c kvm_mmu_invalidate_begin /
 * _range_add / _end, mmu_invalidate_retry_gfn, 6.12).
 *
 * ```
 *  munmap                              vcpu
 *  start: in progress 1, zap
 *                                      snapshot seq, hva -> frame 7
 *  clear PTE, free frame 7
 *                                      mmuLock, range in progress -> retry
 *  end: seq 1, in progress 0
 *                                      (or here) seq changed -> retry
 * ```
 *
 * R1 `seq` is raised before `inProgress` falls: a fault sees at least one of the two.
 * R2 The range is a hull: it grows while any invalidation is in progress and is reset by the next first one.
 * R3 Sequence numbers are compared for equality only, and at their full width.
 */
import { KernelBug } from '../base/index.ts'

/** Why a looked-up translation may not be mapped. */
export type RetryReason = 'in-progress' | 'sequence'

/** Protected by mmuLock, but for `active`. */
export class Invalidation {
  /** Starts without their end yet, whether they hit a slot or not: a memslot change waits for 0 (mn_active_invalidate_count). */
  active = 0
  /** Starts that hit a slot and have not ended (mmu_invalidate_in_progress). */
  inProgress = 0
  /** Completed invalidations (mmu_invalidate_seq). */
  seq = 0
  /** Guest frames being invalidated: [rangeStart, rangeEnd). Meaningful while `inProgress` is not 0. */
  rangeStart = 0
  rangeEnd = 0

  begin(): void {
    this.inProgress++
    if (this.inProgress === 1) {
      this.rangeStart = Infinity
      this.rangeEnd = 0
    }
  }

  addRange(start: number, end: number): void {
    this.rangeStart = Math.min(this.rangeStart, start)
    this.rangeEnd = Math.max(this.rangeEnd, end)
  }

  end(): void {
    this.bumpSeq()
    if (this.inProgress === 0) {
      throw new KernelBug('an invalidation ended that was not in progress: its start hit no memslot, its end did', 'I6')
    }
    this.inProgress--
  }

  /** Whatever was looked up before is to be looked up again. */
  bumpSeq(): void {
    this.seq++
  }

  /** Is this guest frame being invalidated right now? */
  covers(frame: number): boolean {
    return this.inProgress !== 0 && frame >= this.rangeStart && frame < this.rangeEnd
  }

  /**
   * May what was looked up after `seq` was read be mapped? Under mmuLock the answer holds until it is released.
   * @returns why not, or null
   */
  retry(seq: number, frame: number): RetryReason | null {
    if (this.covers(frame)) return 'in-progress'
    return this.seq === seq ? null : 'sequence'
  }
}
