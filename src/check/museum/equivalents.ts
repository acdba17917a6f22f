/**
 * Mutants that look like bugs and break nothing here, each with the reason: a check that reported one would be wrong.
 *
 * R1 Each is run like an exhibit, and must stay clean; a reason that is refuted fails the test suite.
 */
import { MmuNotifierSubscriptions } from '../../notifier/index.ts'
import { Kernel } from '../../host/index.ts'
import { Sptes, Vm } from '../../mmu/index.ts'
import type { Memslot } from '../../mmu/index.ts'
import type { Scenario } from '../scenario.ts'
import { youngAskedTooLate } from './ageing.ts'
import { cowAgainstReaders } from './cow-scenario.ts'
import { withParts } from './exhibit.ts'
import { exitAgainstReclaim, exitAgainstUnregister } from './exit-races.ts'
import { mremapAgainstTruncate } from './mremap-late-flush.ts'
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

/** The move takes the page-table lock alone. */
class MovesUnlocked extends Kernel {
  override async takeRmapLocks(): Promise<void> {}
  override dropRmapLocks(): void {}
}

/** Ageing on hardware that keeps no accessed bits: the spte is dropped, and its loss is the answer. */
class AgesByZapping extends Sptes {
  override ageGfns(slot: Memslot, from: number, to: number, clear: boolean): number {
    return clear ? this.zapGfns(slot, from, to, 'invalidate') : super.ageGfns(slot, from, to, clear)
  }
}

class AgesByZappingVm extends Vm {
  protected override createSptes(): Sptes {
    return new AgesByZapping(this)
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
    name: 'age-zaps-without-sequence',
    reason:
      'ageing by dropping sptes (57128468080a made it raise the sequence as well): the page stays where it is, so that what a fault has ' +
      'looked up before is still right',
    scenarios: [withParts(youngAskedTooLate.scenario, { vm: AgesByZappingVm })],
  },
  {
    name: 'moved-without-rmap-lock',
    reason:
      'a walk comes to the new place of a page after the old one, since it joined the list later: it cannot miss the page; ' +
      'what Linux got wrong (97113eb39fa7) was to move a whole table so, without the page-table lock as well',
    scenarios: [withParts(mremapAgainstTruncate, { kernel: MovesUnlocked })],
  },
  {
    name: 'set-pte-first-inside-window',
    reason: 'change_pte inside a start/end pair (6bdb913f0a70) has nothing to change: the start has dropped the spte',
    scenarios: [withParts(cowAgainstReaders('bracketed'), withMm(SetPteFirst))],
  },
]
