/** rcu-callout-sleeps: the bug that the one global SRCU was made to end. */
import { PAGE_SIZE } from '../../base/index.ts'
import { Kernel } from '../../host/index.ts'
import { SrcuTiny, mmuNotifierRegister, mmuNotifierSrcu, mmuNotifierUnregister } from '../../notifier/index.ts'
import type { Srcu } from '../../notifier/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Exhibit } from './exhibit.ts'

/** Plain RCU's notion of a reader: whoever sleeps has passed a quiescent state, and protects nothing any more. */
class SleepersAreGone extends SrcuTiny {
  protected override isQuiet(idx: number): boolean {
    return this.readers.on(idx).every((task) => task.state === 'blocked')
  }
}

class RcuKernel extends Kernel {
  protected override newSrcu(): Srcu {
    return new SleepersAreGone(this.sched, { name: 'mmu_notifier_rcu', lockClass: mmuNotifierSrcu })
  }
}

const munmapAgainstUnregister = defineScenario({
  name: 'sleeping-hook-against-unregister',
  what: 'a client unregisters while munmap is in its hook, which sleeps',
  invariants: ['I5'],
  world: { pages: 1, vm: null, kernel: { frames: 64 } },
  async setup({ kernel, mm, ram, thread }) {
    await thread.store64(ram, 1n)
    return mmuNotifierRegister({ name: 'device', invalidateRangeStart: () => kernel.sched.sleep(1000) }, mm)
  },
  tasks: {
    munmap: ({ mm, ram }) => mm.munmap(ram, PAGE_SIZE),
    unregister: ({ mm }, mn) => mmuNotifierUnregister(mn, mm),
  },
})

export const rcuCalloutSleeps: Exhibit = {
  name: 'rcu-callout-sleeps',
  rank: 1,
  family: 'lifetime',
  fix: {
    commit: '21a92735f660',
    subject: 'mm: mmu_notifier: have mmu_notifiers use a global SRCU so they may safely schedule',
    version: 'v3.7',
  },
  story: [
    'munmap enters an RCU read section, finds a client on the list and calls its invalidate_range_start. The hook sleeps: it',
    'waits for a lock, a device, a TLB acknowledgement. To RCU a context switch is a quiescent state, so the read section',
    'protects nothing any more. Unregister unlinks the client, waits for a grace period, which is over at once, and returns;',
    'the client frees its memory, and the hook wakes up in it. Under SRCU the grace period waits for the sleeper.',
  ],
  correct: [
    'id = srcu_read_lock(&srcu);',
    'hlist_for_each_entry_rcu(mn, ...) mn->ops->invalidate_range_start(...);',
    'srcu_read_unlock(&srcu, id);',
    '...',
    'synchronize_srcu(&srcu);',
  ],
  historical: [
    'rcu_read_lock();',
    'hlist_for_each_entry_rcu(mn, ...) mn->ops->invalidate_range_start(...);',
    'rcu_read_unlock();',
    '...',
    'synchronize_rcu();',
  ],
  breaks: 'I5',
  schedules: 10,
  shortest: { preemptions: 0, steps: 20 },
  leadsTo: 'change-pte-made-vacuous',
  scenario: munmapAgainstUnregister,
  bug: { kernel: RcuKernel },
}
