/** Parts of a world that several exhibits replace. */
import { Kernel, Mm } from '../../host/index.ts'
import type { MmuNotifierSubscriptions } from '../../notifier/index.ts'
import type { WorldParts } from '../world.ts'

/** A world whose mms are of this class. */
export function withMm(mmClass: typeof Mm): WorldParts {
  class ExhibitKernel extends Kernel {
    protected override newMm(...[id, name, root]: Parameters<Kernel['newMm']>): Mm {
      return new mmClass(this, id, name, root)
    }
  }
  return { kernel: ExhibitKernel }
}

/** A world whose mms keep their notifiers in this way. */
export function withSubscriptions(subscriptions: typeof MmuNotifierSubscriptions): WorldParts {
  class ExhibitMm extends Mm {
    override newNotifierSubscriptions(): MmuNotifierSubscriptions {
      return new subscriptions(this)
    }
  }
  return withMm(ExhibitMm)
}
