/** failed-start-no-end: an invalidation that is given up, and not undone. */
import { oomReapMm } from '../../host/index.ts'
import { EAGAIN, MmuNotifierSubscriptions, mmuNotifierRegister, mmuNotifierUnregister } from '../../notifier/index.ts'
import { defineScenario } from '../scenario.ts'
import { guestStore } from '../world.ts'
import type { Exhibit } from './exhibit.ts'
import { withSubscriptions } from './parts.ts'

class NoUndo extends MmuNotifierSubscriptions {
  protected override async undoFailedStart(): Promise<void> {}
}

const reaperAgainstBusyClient = defineScenario({
  name: 'reaper-against-busy-client',
  what: 'the OOM reaper takes memory of a VM, while another client cannot answer without sleeping',
  invariants: ['I6', 'I13'],
  world: { pages: 1, kernel: { frames: 96 } },
  async setup(world) {
    const busy = { is: true }
    const mn = await mmuNotifierRegister(
      { name: 'busy', invalidateRangeStart: (range) => (busy.is && !range.blockable ? -EAGAIN : 0) },
      world.mm,
    )
    await guestStore(world, 0, 7n)
    world.vcpu.exitGuest()
    return { busy, mn }
  },
  tasks: {
    reaper: async ({ mm }) => void (await oomReapMm(mm)),
    async device({ kernel }, { busy }) {
      await kernel.sched.sleep(1000)
      busy.is = false
    },
  },
  end: ({ mm }, { mn }) => mmuNotifierUnregister(mn, mm),
})

export const failedStartNoEnd: Exhibit = {
  name: 'failed-start-no-end',
  rank: 8,
  family: 'bookkeeping',
  fix: {
    commit: 'c2655835fd8c',
    subject: 'mm/mmu_notifiers: ensure range_end() is paired with range_start()',
    version: 'v5.12',
  },
  story: [
    'Two clients listen to an mm. The OOM reaper may not sleep: KVM has counted the invalidation in, the other client is busy and',
    'refuses, the reaper gives up and calls no end. The count of KVM stays raised, and every later fault retries for ever.',
    'The repair calls the end of everybody who has one.',
  ],
  correct: [
    'if (ret) {',
    '    /* Must be -EAGAIN: undo */',
    '    hlist_for_each_entry_rcu(...) subscription->ops->invalidate_range_end(...);',
    '}',
    'return ret;',
  ],
  historical: ['return ret;'],
  breaks: 'I6',
  schedules: 5,
  shortest: { preemptions: 0, steps: 20 },
  scenario: reaperAgainstBusyClient,
  bug: withSubscriptions(NoUndo),
}
