/** A walk of the guest's own tables by the hypervisor, as shadow paging needs it (struct guest_walker, paging_tmpl.h). */
import type { PagingMode } from '../hardware/index.ts'

/** The tables that a guest address led through, and the leaf that it arrived at. */
export class GuestWalk {
  /** Guest virtual page number. Immutable. */
  readonly page: number
  /** Immutable. */
  readonly mode: PagingMode
  /** Guest frame of the table at each level, 0 = leaf tables; -1 below the leaf. */
  readonly tableFrames: number[]
  /** The PTE read at each level, as halves. */
  readonly low: number[]
  readonly high: number[]
  /** Level of the guest's leaf. */
  leafLevel = 0
  /** Guest frame that the page maps to. */
  frame = 0

  constructor(page: number, mode: PagingMode) {
    this.page = page
    this.mode = mode
    this.tableFrames = Array.from({ length: mode.levels }, () => -1)
    this.low = Array.from({ length: mode.levels }, () => 0)
    this.high = Array.from({ length: mode.levels }, () => 0)
  }
}
