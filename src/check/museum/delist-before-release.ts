/** delist-before-release: first off the list, then told. */
import { MmuNotifierSubscriptions } from '../../notifier/index.ts'
import type { MmuNotifier } from '../../notifier/index.ts'
import { exitAgainstReclaim, unregisterAgainstReclaim } from './exit-races.ts'
import type { Exhibit } from './exhibit.ts'
import { withSubscriptions } from './parts.ts'

/** Before 3ad3d901bbcf: first off the list, then told. */
export class DelistFirst extends MmuNotifierSubscriptions {
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

/** The same order where a client goes of its own accord. */
class DelistsOnUnregister extends MmuNotifierSubscriptions {
  override async unregister(mn: MmuNotifier): Promise<void> {
    this.checkMayUnregister(mn)
    await this.lock.lock()
    this.list.delInit(mn)
    this.lock.unlock()
    const idx = await this.readLock()
    await this.callRelease(mn)
    await this.readUnlock(idx)
    await this.waitForHooks()
    this.forget(mn)
  }
}

export const delistOnUnregister: Exhibit = {
  name: 'delist-before-release-unregister',
  rank: 3,
  family: 'lifetime',
  fix: delistBeforeRelease.fix,
  story: [
    'The same commit turned the same two lines round in unregister. The client is off the list and has not yet dropped what it maps: for',
    'that moment reclaim finds nobody to tell. Whoever goes must be told of everything until he has let go of everything.',
  ],
  correct: ['mn->ops->release(mn, mm);', 'hlist_del_init_rcu(&mn->hlist);'],
  historical: ['hlist_del_rcu(&mn->hlist);', 'if (mn->ops->release) mn->ops->release(mn, mm);'],
  breaks: 'I1',
  schedules: 100,
  shortest: { preemptions: 1, steps: 20 },
  scenario: unregisterAgainstReclaim,
  bug: withSubscriptions(DelistsOnUnregister),
}
