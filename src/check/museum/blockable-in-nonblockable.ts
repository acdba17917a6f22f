/** blockable-in-nonblockable: a hook that sleeps where its caller may not. */
import { oomReapMm } from '../../host/index.ts'
import { KvmMmuNotifier, Vm } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import { guestStore } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

class AlwaysSleeps extends KvmMmuNotifier {
  protected override lockMmu(): Promise<void> {
    return this.vm.mmuLock.lock()
  }
}

class AlwaysSleepsVm extends Vm {
  protected override createNotifier(): KvmMmuNotifier {
    return new AlwaysSleeps(this)
  }
}

const reaperAgainstVm = defineScenario({
  name: 'reaper-against-vm',
  what: 'the OOM reaper takes memory of a VM, and may not sleep',
  invariants: ['I13'],
  world: { pages: 1, kernel: { frames: 96 } },
  async setup(world) {
    await guestStore(world, 0, 7n)
    world.vcpu.exitGuest()
  },
  tasks: { reaper: async ({ mm }) => void (await oomReapMm(mm)) },
})

export const blockableInNonblockable: Exhibit = {
  name: 'blockable-in-nonblockable',
  rank: 9,
  family: 'context',
  fix: {
    commit: '93065ac753e4',
    subject: 'mm, oom: distinguish blockable mode for mmu notifiers',
    version: 'v4.19',
  },
  story: [
    'The OOM reaper frees a victim so that others get on; it must not wait for anything that waits for memory. A hook that sleeps',
    'on its mmu_lock, held by a fault that waits for memory, closes the circle. The repair tells the hook whether it may sleep;',
    'if not, it must get through without, or say so.',
  ],
  correct: [
    'if (mmu_notifier_range_blockable(range))',
    '    mutex_lock(&lock);',
    'else if (!mutex_trylock(&lock))',
    '    return -EAGAIN;',
  ],
  historical: ['mutex_lock(&lock);'],
  breaks: 'I13',
  schedules: 5,
  shortest: { preemptions: 0, steps: 10 },
  scenario: reaperAgainstVm,
  bug: { vm: AlwaysSleepsVm },
}
