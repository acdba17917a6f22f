/**
 * Mutants that look like bugs and break nothing here, each with the reason: a check that reported one would be wrong.
 *
 * R1 Each is run like an exhibit, and must stay clean; a reason that is refuted fails the test suite.
 */
import { MmuNotifierSubscriptions } from '../../notifier/index.ts'
import { ShadowMmu, ShadowSync, Vm } from '../../mmu/index.ts'
import type { Mmu } from '../../mmu/index.ts'
import type { Scenario } from '../scenario.ts'
import { cowAgainstReaders } from './cow-scenario.ts'
import { withParts } from './exhibit.ts'
import { exitAgainstReclaim, exitAgainstUnregister } from './exit-races.ts'
import { guestTableFamily } from './guest-table-bugs.ts'
import { withMm, withSubscriptions } from './parts.ts'
import { SetPteFirst } from './set-pte-first.ts'

export interface EquivalentMutant {
  readonly name: string
  /** Why it breaks nothing. */
  readonly reason: string
  /** Played with the mutant. */
  readonly scenarios: readonly Scenario[]
}

class ExitSkipsSync extends MmuNotifierSubscriptions {
  protected override async releaseList(): Promise<void> {
    await this.callReleaseOfAll()
    await this.unlinkAll()
  }
}

class LinksUnsynced extends ShadowSync {
  override async sync(): Promise<void> {}
}

class LinksUnsyncedMmu extends ShadowMmu {
  protected override createSync(vm: Vm): ShadowSync {
    return new LinksUnsynced(vm)
  }
}

class LinksUnsyncedVm extends Vm {
  protected override createMmu(): Mmu {
    return new LinksUnsyncedMmu(this)
  }
}

export const equivalentMutants: readonly EquivalentMutant[] = [
  {
    name: 'exit-skips-sync',
    reason:
      'release comes before unlinking: a hook that still runs finds the pages unmapped, and unregister waits for it',
    scenarios: [exitAgainstReclaim, exitAgainstUnregister].map((scenario) =>
      withParts(scenario, withSubscriptions(ExitSkipsSync)),
    ),
  },
  {
    name: 'set-pte-first-inside-window',
    reason: 'change_pte inside a start/end pair (6bdb913f0a70) has nothing to change: the start has dropped the spte',
    scenarios: [withParts(cowAgainstReaders('bracketed'), withMm(SetPteFirst))],
  },
  {
    name: 'link-before-sync',
    reason:
      'a shadow page that is linked out of sync (65855ed8b034) is compared at the fence that RISC-V asks of a guest before it ' +
      'may rely on a new PTE; without the fence the old translation is allowed',
    scenarios: guestTableFamily.map(({ scenario }) => withParts(scenario, { vm: LinksUnsyncedVm })),
  },
]
