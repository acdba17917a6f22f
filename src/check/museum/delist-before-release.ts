/** delist-before-release: first off the list, then told. */
import { MmuNotifierSubscriptions } from '../../notifier/index.ts'
import type { MmuNotifier } from '../../notifier/index.ts'
import { exitAgainstReclaim } from './exit-races.ts'
import type { Exhibit } from './exhibit.ts'
import { withSubscriptions } from './parts.ts'

class DelistFirst extends MmuNotifierSubscriptions {
  protected override async releaseList(): Promise<void> {
    const idx = await this.readLock()
    const all: MmuNotifier[] = []
    for (let mn = this.list.next; mn !== null; mn = mn.next) all.push(mn)
    await this.unlinkAll()
    for (const mn of all) await this.callRelease(mn)
    await this.readUnlock(idx)
    await this.waitForHooks()
  }
}

export const delistBeforeRelease: Exhibit = {
  name: 'delist-before-release',
  rank: 3,
  family: 'lifetime',
  fix: {
    commit: '3ad3d901bbcf',
    subject: 'mm: mmu_notifier: fix freed page still mapped in secondary MMU',
    version: 'v3.6',
  },
  story: [
    'Exit takes the client off the list and calls its release after that. In between reclaim comes through the rmap, clears a',
    'PTE, finds no client to tell and frees the frame, while an spte still maps it. Reported as a bad page state during a',
    'migration test. The repair calls release while the client is still listed.',
  ],
  correct: ['hlist_for_each_entry_rcu(mn, ...) mn->ops->release(mn, mm);', 'hlist_del_init_rcu(&mn->hlist);'],
  historical: ['hlist_del_init(&mn->hlist);', 'if (mn->ops->release) mn->ops->release(mn, mm);'],
  breaks: 'I1',
  schedules: 100,
  shortest: { preemptions: 1, steps: 20 },
  leadsTo: 'second-delete',
  scenario: exitAgainstReclaim,
  bug: withSubscriptions(DelistFirst),
}
