/**
 * The lock classes of this room. A hook runs inside the SRCU section: whatever it locks comes inside, and nobody waits
 * for a grace period while he holds it.
 */
import { lockClass } from '../sched/index.ts'
import type { LockClass } from '../sched/index.ts'

/** The one domain of a kernel that all callouts share. */
export const mmuNotifierSrcu: LockClass = lockClass({
  name: 'mmu_notifier_srcu',
  type: 'srcu',
  protects:
    'Notifiers that a callout may still see: unregister and exit wait for its readers before anything is freed.',
})

export const subscriptionsLock: LockClass = lockClass({
  name: 'mmu_notifier_subscriptions.lock',
  type: 'spinlock',
  protects: 'The list of notifiers of one mm, their reference counts, its interval tree and its invalidation sequence.',
  inside: [mmuNotifierSrcu],
})

export const notifierLockClasses: readonly LockClass[] = [mmuNotifierSrcu, subscriptionsLock]
