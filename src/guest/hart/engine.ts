/** What the vCPU run loop needs of an engine; the reference interpreter and faster ones are interchangeable. */
import type { ExitReason } from './exit.ts'
import type { Hart } from './hart.ts'

export interface Engine {
  readonly hart: Hart
  /**
   * Executes until the budget is used up or something needs the run loop. Synchronous: nothing sleeps.
   * Pending interrupts are taken first, and wherever an instruction makes one takeable.
   * @param budget instructions to try, at least 1; those that trap count too, so that a trap loop ends
   */
  run(budget: number): ExitReason
  /** Makes stores to code visible: SBI remote fence.i. */
  fenceI(): void
}
