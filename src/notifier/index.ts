/** notifier: SRCU, and the mmu_notifier list that every callout walks under it. */
export { CalloutFigures, CalloutStats } from './callout-stats.ts'
export { createSrcu } from './create-srcu.ts'
export { IntervalSubscriptions, MmuIntervalNotifier } from './interval-notifier.ts'
export type { MmuIntervalNotifierOps } from './interval-notifier.ts'
export { mmuNotifierSrcu, notifierLockClasses, subscriptionsLock } from './locks.ts'
export * from './mmu-interval-notifier.ts'
export {
  mmHasNotifiers,
  mmuNotifierCallSrcu,
  mmuNotifierChangePte,
  mmuNotifierClearFlushYoung,
  mmuNotifierClearYoung,
  mmuNotifierGet,
  mmuNotifierGetLocked,
  mmuNotifierInvalidatePage,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierPut,
  mmuNotifierRegister,
  mmuNotifierRegisterLocked,
  mmuNotifierRelease,
  mmuNotifierSubscriptionsDestroy,
  mmuNotifierSynchronize,
  mmuNotifierTestYoung,
  mmuNotifierUnregister,
  mmuNotifierUnregisterNoRelease,
} from './mmu-notifier.ts'
export { MmuNotifier, NotifierList } from './notifier-list.ts'
export type { NotifierMm } from './notifier-mm.ts'
export { CALLOUTS, EAGAIN, mmuNotifierRange } from './ops.ts'
export type { Callout, Hook, MmuNotifierEvent, MmuNotifierOps, MmuNotifierRange, RangeOptions } from './ops.ts'
export { Rcu } from './rcu.ts'
export { SrcuClassic } from './srcu-classic.ts'
export { SrcuCounted } from './srcu-counted.ts'
export { SrcuTiny } from './srcu-tiny.ts'
export { SrcuStats } from './srcu.ts'
export type { Srcu, SrcuCallback, SrcuKind, SrcuOptions } from './srcu.ts'
export { MmuNotifierSubscriptions } from './subscriptions.ts'
