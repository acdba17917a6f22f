/** unlink-then-release: the fix that undid the fix. */
import { MmuNotifierSubscriptions } from '../../notifier/index.ts'
import type { MmuNotifier } from '../../notifier/index.ts'
import { exitAgainstReclaim } from './exit-races.ts'
import type { Exhibit } from './exhibit.ts'
import { withSubscriptions } from './parts.ts'

class ClaimByUnlink extends MmuNotifierSubscriptions {
  override async unregister(mn: MmuNotifier): Promise<void> {
    this.checkMayUnregister(mn)
    const idx = await this.readLock()
    await this.claim(mn)
    await this.readUnlock(idx)
    await this.waitForHooks()
    this.forget(mn)
  }

  protected override async releaseList(): Promise<void> {
    const idx = await this.readLock()
    for (let mn = this.list.next; mn !== null; mn = this.list.next) await this.claim(mn)
    await this.readUnlock(idx)
    await this.waitForHooks()
  }

  private async claim(mn: MmuNotifier): Promise<void> {
    await this.lock.lock()
    const isMine = mn.isHashed
    this.list.delInit(mn)
    this.lock.unlock()
    if (isMine) await this.callRelease(mn)
  }
}

export const unlinkThenRelease: Exhibit = {
  name: 'unlink-then-release',
  rank: 5,
  family: 'lifetime',
  fix: {
    commit: 'd34883d4e35c',
    subject: 'mm: mmu_notifier: re-fix freed page still mapped in secondary MMU',
    version: 'v3.10',
  },
  story: [
    'To have release called exactly once, 751efd8610d3 unlinked the client first and took the unlink for the claim ticket. That',
    'is the bug of v3.6 again: exit unlinks, reclaim finds nobody to tell and frees the frame, release comes too late.',
    'Linux went back to release first, and accepts that release may be called twice.',
  ],
  correct: ['mn->ops->release(mn, mm);', 'hlist_del_init_rcu(&mn->hlist);'],
  historical: [
    'if (!hlist_unhashed(&mn->hlist)) {',
    '    hlist_del_init_rcu(&mn->hlist);',
    '    mn->ops->release(mn, mm);',
    '}',
  ],
  breaks: 'I1',
  schedules: 100,
  shortest: { preemptions: 1, steps: 20 },
  scenario: exitAgainstReclaim,
  bug: withSubscriptions(ClaimByUnlink),
}
