/**
 * What one vCPU has to forget before it enters guest mode again, beside "everything": ranges of guest frames, and fences.
 *
 * R1 Whoever asks for a flush adds here first and posts the request then; the vCPU takes the request first and reads
 *    here then. So nothing is asked for that is not done.
 * R2 Several ranges become their hull, many fences become one of everything: a TLB may always forget more.
 */

/** A fence with more ranges pending covers everything. */
const MAX_FENCES = 8

/** One sfence.vma: page -1 = all pages, asid -1 = all address spaces. */
export interface Fence {
  readonly page: number
  readonly count: number
  readonly asid: number
}

/** Written by senders, emptied by the vCPU's task; each in one step. */
export class PendingFlush {
  /** Guest frames: [first, end). */
  first: number = Infinity
  end = 0
  /** null = everything. */
  private fences: Fence[] | null = []

  addFrames(first: number, count: number): void {
    this.first = Math.min(this.first, first)
    this.end = Math.max(this.end, first + count)
  }

  overlaps(first: number, count: number): boolean {
    return first < this.end && this.first < first + count
  }

  clearFrames(): void {
    this.first = Infinity
    this.end = 0
  }

  addFence(page: number, count: number, asid: number): void {
    if (this.fences === null) return
    if ((page === -1 && asid === -1) || this.fences.length === MAX_FENCES) this.fences = null
    else this.fences.push({ page, count, asid })
  }

  /** The fences, which are pending no more; null = everything. */
  takeFences(): readonly Fence[] | null {
    const { fences } = this
    this.fences = []
    return fences
  }
}
