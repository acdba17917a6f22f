/** second-delete: the seed's own unregister, whose delete is not idempotent. */
import { MmuNotifierSubscriptions } from '../../notifier/index.ts'
import type { MmuNotifier } from '../../notifier/index.ts'
import { exitAgainstUnregister } from './exit-races.ts'
import type { Exhibit } from './exhibit.ts'
import { withSubscriptions } from './parts.ts'

class SeedSubscriptions extends MmuNotifierSubscriptions {
  protected override async unlink(mn: MmuNotifier): Promise<void> {
    await this.lock.lock()
    this.list.del(mn)
    this.lock.unlock()
  }

  protected override async releaseList(): Promise<void> {
    await this.callReleaseOfAll()
    await this.unlinkAll()
    await this.waitForHooks()
  }
}

export const secondDelete: Exhibit = {
  name: 'second-delete',
  rank: 4,
  family: 'lifetime',
  fix: {
    commit: '751efd8610d3',
    subject: 'mmu_notifier_unregister NULL Pointer deref and multiple ->release() callouts',
    version: 'v3.9',
  },
  story: [
    'Unregister looks, without the lock, whether the client is still listed: it is. Exit takes it off the list. Unregister calls',
    'release, takes the lock and deletes the client a second time: the way back is a null pointer, and it writes through it.',
    'The commit that Umbra is about has this bug: a faithful port of it fails here. The repair that lasts deletes with',
    'hlist_del_init_rcu, which does nothing the second time.',
  ],
  correct: [
    'spin_lock(&mm->mmu_notifier_mm->lock);',
    'hlist_del_init_rcu(&mn->hlist);',
    'spin_unlock(&mm->mmu_notifier_mm->lock);',
  ],
  historical: [
    'spin_lock(&mm->mmu_notifier_mm->lock);',
    'hlist_del_rcu(&mn->hlist);',
    'spin_unlock(&mm->mmu_notifier_mm->lock);',
  ],
  breaks: 'I5',
  schedules: 30,
  shortest: { preemptions: 1, steps: 60 },
  leadsTo: 'unlink-then-release',
  scenario: exitAgainstUnregister,
  bug: withSubscriptions(SeedSubscriptions),
}
