/** The flush of the TLBs in every place but the right one: never, before the zap, and when the window closes. */
import { KvmMmuNotifier, Vm } from '../../mmu/index.ts'
import type { MmuNotifierRange } from '../../notifier/index.ts'
import type { Mutation } from './mutation.ts'

class NeverFlushes extends KvmMmuNotifier {
  protected override async flushZapped(): Promise<void> {}
}

/** What is used between the flush and the zap comes back into the TLB. */
class FlushesFirst extends KvmMmuNotifier {
  override async invalidateRangeStart(range: MmuNotifierRange): Promise<number> {
    await this.vm.flush.remoteAll()
    await this.vm.sched.yieldNow()
    return super.invalidateRangeStart(range)
  }

  protected override async flushZapped(): Promise<void> {}
}

/** By then the frames may have been freed, and the PTEs are gone. */
class FlushesInEnd extends KvmMmuNotifier {
  override async invalidateRangeEnd(range: MmuNotifierRange): Promise<void> {
    if (range.blockable) await this.vm.flush.remoteAll()
    await super.invalidateRangeEnd(range)
  }

  protected override async flushZapped(): Promise<void> {}
}

/** A VM with these hooks. */
function withNotifier(hooks: typeof KvmMmuNotifier): typeof Vm {
  return class MutantVm extends Vm {
    protected override createNotifier(): KvmMmuNotifier {
      return new hooks(this)
    }
  }
}

export const flushMutants: readonly Mutation[] = [
  { family: 'flush', name: 'no-flush', parts: { vm: withNotifier(NeverFlushes) } },
  { family: 'flush', name: 'flush-before-zap', parts: { vm: withNotifier(FlushesFirst) } },
  { family: 'flush', name: 'flush-in-end', parts: { vm: withNotifier(FlushesInEnd) } },
]
