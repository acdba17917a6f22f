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
import { Invalidation, KvmMmuNotifier, Vm } from '../mmu/index.ts'
import type { Memslot, RetryReason } from '../mmu/index.ts'

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

/** Zaps, and tells the vCPUs nothing: they go on with what their TLBs hold. */
class StaleTlbNotifier extends KvmMmuNotifier {
  private rightOnes = RIGHT_ONES

  protected override async flushZapped(first: number, count: number): Promise<void> {
    if (--this.rightOnes > 0) await super.flushZapped(first, count)
  }
}

class StaleTlbVm extends Vm {
  protected override createNotifier(): KvmMmuNotifier {
    return new StaleTlbNotifier(this)
  }
}

/** Maps what was looked up before an invalidation, without looking again. */
class NoRetry extends Invalidation {
  override retry(): RetryReason | null {
    return null
  }
}

class NoRetryVm extends Vm {
  protected override createInvalidation(): Invalidation {
    return new NoRetry()
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
  {
    name: 'stale-tlb',
    summary: 'invalidations zap their sptes without flushing the TLBs of the vCPUs',
    vmClass: StaleTlbVm,
  },
  {
    name: 'no-retry',
    summary: 'a fault maps what it looked up although an invalidation has come in between',
    vmClass: NoRetryVm,
  },
]
