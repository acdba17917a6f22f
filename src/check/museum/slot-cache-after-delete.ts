/** slot-cache-after-delete: the memslot that was hit last is remembered longer than it exists. */
import { PAGE_SIZE } from '../../base/index.ts'
import { PageFaults, Vm } from '../../mmu/index.ts'
import type { Memslot, PageFault } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import { FIRST_GFN, runGuest } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

class RemembersSlot extends PageFaults {
  private last: Memslot | null = null

  protected override findSlot(fault: PageFault): Memslot | null {
    if (this.last?.contains(fault.frame) !== true) this.last = super.findSlot(fault)
    return this.last
  }
}

class RemembersSlotVm extends Vm {
  protected override createFaults(): PageFaults {
    return new RemembersSlot(this)
  }
}

export const slotCacheAfterDelete: Exhibit = {
  name: 'slot-cache-after-delete',
  rank: 29,
  family: 'tables',
  fix: { commit: '0774a964ef56', subject: 'KVM: Fix out of range accesses to memslots', version: 'v5.7' },
  story: [
    'CVE-2020-36313. The index of the memslot that was hit last is kept, to save the search. A slot is deleted, the array becomes',
    'shorter, the index stays: the next fault uses a slot that is no more. Here it is the slot itself that is kept.',
    'The repair resets the index when a slot is deleted.',
  ],
  correct: ['if (atomic_read(&slots->lru_slot) >= slots->used_slots)', '    atomic_set(&slots->lru_slot, 0);'],
  historical: ['slot = atomic_read(&slots->lru_slot);'],
  breaks: 'I10',
  schedules: 10,
  shortest: { preemptions: 0, steps: 40 },
  scenario: defineScenario({
    name: 'memslot-delete-against-guest',
    what: 'a memslot is deleted while a guest uses its pages',
    invariants: ['I2', 'I10'],
    world: { pages: 2, kernel: { frames: 96 } },
    async setup(world) {
      await world.thread.store64(world.ram, 1n)
      await runGuest(world, [{ load: 0 }])
    },
    tasks: {
      memslot: ({ vm, ram }) => vm.setMemslot({ id: 0, gpa: FIRST_GFN * PAGE_SIZE, length: 0, hva: ram }),
      vcpu0: (world) => runGuest(world, [{ load: 1 }]),
    },
  }),
  bug: { vm: RemembersSlotVm },
}
