/** iterator-advances-after-yield: the walk starts again, and steps over what it has not looked at. */
import { PAGE_SIZE } from '../../base/index.ts'
import { KvmMmuNotifier, Vm } from '../../mmu/index.ts'
import type { Memslot } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import { guestStore, runGuest } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

/** need_resched is an open choice; after a yield the loop's step is taken once too often. */
class AdvancesAfterYield extends KvmMmuNotifier {
  protected override zapSlotRange(slot: Memslot, first: number, end: number): number {
    let zapped = 0
    for (let frame = first; frame < end; frame++) {
      if (this.vm.sched.choose(2, 'need_resched') === 1) continue
      zapped += super.zapSlotRange(slot, frame, frame + 1)
    }
    return zapped
  }
}

class AdvancesAfterYieldVm extends Vm {
  protected override createNotifier(): KvmMmuNotifier {
    return new AdvancesAfterYield(this)
  }
}

export const iteratorAdvancesAfterYield: Exhibit = {
  name: 'iterator-advances-after-yield',
  rank: 24,
  family: 'tables',
  fix: {
    commit: '3a0f64de479c',
    subject: "KVM: x86/mmu: Don't advance iterator after restart due to yielding",
    version: 'v5.16',
  },
  story: [
    'CVE-2021-47094. The zap of a range holds mmu_lock for long, so it yields when others wait, and starts again where it was. The',
    "loop's own step then moves on by one: the entry at which it yielded is never looked at, and one spte survives into a time in",
    'which its frame is free. The repair does not step after a restart.',
  ],
  correct: ['if (iter->yielded) {', '    iter->yielded = false;', '    return;', '}'],
  historical: ['/* tdp_iter_next() steps, yielded or not */'],
  breaks: 'I1',
  schedules: 5,
  shortest: { preemptions: 0, steps: 20 },
  scenario: defineScenario({
    name: 'dontneed-of-three-pages',
    what: 'three pages that a guest has used are taken away',
    invariants: ['I1', 'I2'],
    world: { pages: 3, kernel: { frames: 96 } },
    async setup(world) {
      for (let page = 0; page < 3; page++) await guestStore(world, page, 1n)
    },
    tasks: {
      dontneed: ({ mm, ram }) => mm.madvise(ram, 3 * PAGE_SIZE, 'dontneed'),
      vcpu0: (world) => runGuest(world, [{ load: 1 }]),
    },
  }),
  bug: { vm: AdvancesAfterYieldVm },
}
