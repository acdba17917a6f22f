/**
 * Deliberate bugs, to show that the auditor sees them: variants that stand beside the production code, which knows
 * nothing of them.
 *
 * ```
 *  munmap                              vcpu0
 *  range start: zaps, but leaves one spte
 *  clears the PTE, range end
 *                                      loads through the spte that was left     <- I1
 *  frees the frame; somebody else gets it                                       <- I2
 * ```
 */
import { KvmMmuNotifier, Vm } from '../mmu/index.ts'
import type { Memslot } from '../mmu/index.ts'

/** Invalidations that go right before one goes wrong: by then the guest runs and the storms are on. */
const RIGHT_ONES = 20

/** Leaves one spte of one invalidation in place. */
class StaleSpteNotifier extends KvmMmuNotifier {
  private rightOnes = RIGHT_ONES

  protected override zapSlotRange(slot: Memslot, first: number, end: number): number {
    const rmap = slot.memory.rmaps[0]!
    const index = rmap.nextMapped(first - slot.baseGfn, end - slot.baseGfn)
    if (index === -1 || --this.rightOnes !== 0) return super.zapSlotRange(slot, first, end)
    const left = slot.baseGfn + index
    const before = left > first ? super.zapSlotRange(slot, first, left) : 0
    return before + (left + 1 < end ? super.zapSlotRange(slot, left + 1, end) : 0)
  }
}

class StaleSpteVm extends Vm {
  protected override createNotifier(): KvmMmuNotifier {
    return new StaleSpteNotifier(this)
  }
}

/** A deliberate bug by name. */
export interface Injection {
  readonly name: string
  /** One line. */
  readonly summary: string
  /** The class of the session's VMs. */
  readonly vmClass: typeof Vm
}

export const injections: readonly Injection[] = [
  {
    name: 'stale-spte',
    summary: 'one invalidation leaves one spte in place',
    vmClass: StaleSpteVm,
  },
]
