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
import { KvmMmuNotifier, Vm, rmapIndex } from '../mmu/index.ts'
import type { Backing, Memslot, VmOptions } from '../mmu/index.ts'

/** Makes the VM of a session. */
export type VmFactory = (backing: Backing, options: VmOptions) => Vm

/** Invalidations that go right before one goes wrong: by then the guest runs and the storms are on. */
const RIGHT_ONES = 20

/** Leaves one spte of one invalidation in place. */
class StaleSpteNotifier extends KvmMmuNotifier {
  private rightOnes = RIGHT_ONES

  protected override zapSlotRange(slot: Memslot, first: number, end: number): number {
    const rmap = slot.memory.rmaps[0]!
    const index = rmap.nextMapped(rmapIndex(slot.baseGfn, first, 0), rmapIndex(slot.baseGfn, end - 1, 0) + 1)
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
  readonly createVm: VmFactory
}

export const injections: readonly Injection[] = [
  {
    name: 'stale-spte',
    summary: 'one invalidation leaves one spte in place',
    createVm: (backing, options) => new StaleSpteVm(backing, options),
  },
]
