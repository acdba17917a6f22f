/** interval-remove-unlocked-read: a removal that returns before the tree has forgotten the node. */
import { PAGE_SIZE, hva } from '../../base/index.ts'
import {
  IntervalSubscriptions,
  MmuNotifierSubscriptions,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalSetSeq,
} from '../../notifier/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Exhibit } from './exhibit.ts'
import { withSubscriptions } from './parts.ts'

/** Whoever looks without the lock sees the new sequence before the deferred nodes are dealt with. */
class SequenceFirst extends IntervalSubscriptions {
  protected override async thaw(): Promise<void> {
    this.bumpSeq()
    // A spin lock does not stop the other CPUs.
    await this.sched.yieldNow()
    this.applyDeferred()
  }
}

class SequenceFirstSubscriptions extends MmuNotifierSubscriptions {
  protected override newIntervals(): IntervalSubscriptions {
    return new SequenceFirst(this.mm, this.lock, () => this.newId())
  }
}

export const intervalRemoveUnlockedRead: Exhibit = {
  name: 'interval-remove-unlocked-read',
  rank: 12,
  family: 'lifetime',
  fix: {
    commit: '319561669a59',
    subject: 'mm/mmu_notifier.c: fix race in mmu_interval_notifier_remove()',
    version: 'v5.18',
  },
  story: [
    'An interval is removed while an invalidation runs: its node is put aside, and the remover waits for the sequence to change.',
    'The end of the invalidation takes the lock, raises the sequence, and is about to take the node out of the tree. The remover',
    'reads the sequence without the lock, sees it change, returns and frees the node. The repair reads it under the lock.',
  ],
  correct: [
    'wait_event(subscriptions->wq,',
    '    mmu_interval_seq_released(subscriptions, seq)); /* takes the lock */',
  ],
  historical: ['wait_event(subscriptions->wq,', '    READ_ONCE(subscriptions->invalidate_seq) != seq);'],
  breaks: 'I5',
  schedules: 90,
  shortest: { preemptions: 2, steps: 20 },
  scenario: defineScenario({
    name: 'dontneed-against-interval-remove',
    what: 'an interval is removed while pages below it are taken away',
    invariants: ['I5'],
    world: { pages: 1, vm: null, kernel: { frames: 64 } },
    async setup({ mm, ram, thread }) {
      await thread.store64(ram, 1n)
      const client = {
        name: 'mirror',
        invalidate(_range: unknown, seq: number, sub: Parameters<typeof mmuIntervalSetSeq>[0]): boolean {
          mmuIntervalSetSeq(sub, seq)
          return true
        },
      }
      return mmuIntervalNotifierInsert(client, mm, hva(ram), PAGE_SIZE)
    },
    tasks: {
      dontneed: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
      remove: (_, sub) => mmuIntervalNotifierRemove(sub),
    },
  }),
  bug: withSubscriptions(SequenceFirstSubscriptions),
}
