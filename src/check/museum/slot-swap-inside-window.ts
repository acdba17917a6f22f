/** slot-swap-inside-window: start and end see different memslots. */
import { PAGE_SIZE } from '../../base/index.ts'
import { Vm, VmMemslots } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import { FIRST_GFN } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

class NoWait extends VmMemslots {
  protected override async waitForInvalidations(): Promise<void> {}
}

class NoWaitVm extends Vm {
  protected override createMemslots(): VmMemslots {
    return new NoWait(this)
  }
}

const dontneedAgainstMemslot = defineScenario({
  name: 'dontneed-against-memslot',
  what: 'a memslot appears over a range while the host takes its pages away',
  invariants: ['I6'],
  world: { pages: 1, kernel: { frames: 96 } },
  async setup({ vm, thread, ram }) {
    await vm.setMemslot({ id: 0, gpa: 0, length: 0, hva: 0 })
    await thread.store64(ram, 1n)
  },
  tasks: {
    dontneed: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
    memslot: ({ vm, ram }) => vm.setMemslot({ id: 1, gpa: FIRST_GFN * PAGE_SIZE, length: PAGE_SIZE, hva: ram }),
  },
})

const dontneedAgainstDelete = defineScenario({
  name: 'dontneed-against-slot-delete',
  what: 'a memslot is deleted while the host takes its page away',
  invariants: ['I6', 'I11'],
  world: { pages: 1, kernel: { frames: 48 } },
  setup: ({ thread, ram }) => thread.store64(ram, 1n),
  tasks: {
    dontneed: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
    memslot: ({ vm, ram }) => vm.setMemslot({ id: 0, gpa: FIRST_GFN * PAGE_SIZE, length: 0, hva: ram }),
  },
})

export const slotSwapInsideWindow: Exhibit = {
  name: 'slot-swap-inside-window',
  rank: 13,
  family: 'bookkeeping',
  fix: {
    commit: '52ac8b358b0c',
    subject: 'KVM: Block memslot updates across range_start() and range_end()',
    version: 'v5.16',
  },
  story: [
    'A start that hits no memslot does not take mmu_lock and counts nothing. A memslot over the range is installed; the end hits it',
    'and lowers a count that was never raised. The repair counts open invalidations whether they hit or not, and a slot change',
    'waits until there is none. The wait is not fair: a stream of invalidations can keep a slot change out for long.',
  ],
  correct: ['while (kvm->mn_active_invalidate_count) schedule();', 'rcu_assign_pointer(kvm->memslots[as_id], slots);'],
  historical: ['rcu_assign_pointer(kvm->memslots[as_id], slots);'],
  breaks: 'I6',
  schedules: 40,
  shortest: { preemptions: 1, steps: 30 },
  scenario: dontneedAgainstMemslot,
  bug: { vm: NoWaitVm },
}

export const slotDeletedInsideWindow: Exhibit = {
  name: 'slot-deleted-inside-window',
  rank: 13,
  family: 'bookkeeping',
  fix: slotSwapInsideWindow.fix,
  story: [
    'The mirror of slot-swap-inside-window: the start hits a memslot and raises the count; the memslot is deleted; the end hits nothing',
    'and does not lower it. The count stays raised for ever, and every later fault of the VM finds an invalidation open and retries.',
  ],
  correct: slotSwapInsideWindow.correct,
  historical: slotSwapInsideWindow.historical,
  breaks: 'I6',
  schedules: 60,
  shortest: { preemptions: 1, steps: 40 },
  scenario: dontneedAgainstDelete,
  bug: { vm: NoWaitVm },
}
