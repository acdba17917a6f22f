/**
 * The calls of include/linux/mmu_notifier.h, by their names.
 *
 * R1 An mm that never had a notifier pays one comparison a call.
 */
import { KernelError } from '../base/index.ts'
import type { Hva } from '../base/index.ts'
import { MmuNotifier } from './notifier-list.ts'
import type { NotifierMm } from './notifier-mm.ts'
import type { MmuNotifierOps, MmuNotifierRange } from './ops.ts'
import type { Srcu, SrcuCallback } from './srcu.ts'
import type { MmuNotifierSubscriptions } from './subscriptions.ts'

/** Has the mm ever had a notifier? Callers may skip preparations otherwise. */
export const mmHasNotifiers = (mm: NotifierMm): boolean => mm.notifierSubscriptions !== null

/**
 * Registers a client on an mm: from here on its hooks are called. Takes the mmap lock for writing; sleeps. The caller
 * holds a user reference of the mm, and no lock of a VM.
 * @param client a notifier, or the hooks to make one of
 * @returns the notifier, for `mmuNotifierUnregister`
 * @throws KernelError EINTR when a signal came first
 */
export async function mmuNotifierRegister(client: MmuNotifier | MmuNotifierOps, mm: NotifierMm): Promise<MmuNotifier> {
  await mm.mmapLock.downWrite()
  try {
    return await mmuNotifierRegisterLocked(client, mm)
  } finally {
    mm.mmapLock.upWrite()
  }
}

/** The same for a caller that holds the mmap lock for writing (__mmu_notifier_register). */
export async function mmuNotifierRegisterLocked(
  client: MmuNotifier | MmuNotifierOps,
  mm: NotifierMm,
): Promise<MmuNotifier> {
  const mn = client instanceof MmuNotifier ? client : new MmuNotifier(client)
  await subscriptionsFor(mm).registerLocked(mn)
  return mn
}

/**
 * Takes a notifier out for good; when it returns none of its hooks runs or will run. Once per register, before or after
 * the mm's exit, never inside a hook. Sleeps.
 */
export async function mmuNotifierUnregister(mn: MmuNotifier, mm: NotifierMm): Promise<void> {
  await existing(mm).unregister(mn)
}

/** Unlinks a notifier at once, without release and without waiting (v3.17 to v5.3). */
export async function mmuNotifierUnregisterNoRelease(mn: MmuNotifier, mm: NotifierMm): Promise<void> {
  await existing(mm).unregisterNoRelease(mn)
}

/** The first act of an exiting mm, before it frees any page (__mmu_notifier_release). Sleeps. */
export async function mmuNotifierRelease(mm: NotifierMm): Promise<void> {
  await mm.notifierSubscriptions?.release()
}

/** The last act, when the structure is freed (mmu_notifier_subscriptions_destroy). */
export function mmuNotifierSubscriptionsDestroy(mm: NotifierMm): void {
  mm.notifierSubscriptions?.destroy()
}

/**
 * Announces that a range is about to change: when it returns 0, no client has a translation of it, and none will make
 * one until the end.
 * @returns 0, or -EAGAIN when the range is not blockable and a client would have slept: then there is no end to call
 */
export async function mmuNotifierInvalidateRangeStart(range: MmuNotifierRange): Promise<number> {
  if (range.blockable) range.mm.sched.mightSleep('mmu_notifier_invalidate_range_start')
  emitWindow('mmu_notifier_invalidate_range_start', range, 0)
  const subscriptions = range.mm.notifierSubscriptions
  const result = subscriptions === null ? 0 : await subscriptions.invalidateRangeStart(range)
  emitWindow('mmu_notifier_invalidate_range_started', range, result)
  return result
}

/** The range has changed: clients may map it again. Once for every start that returned 0. */
export async function mmuNotifierInvalidateRangeEnd(range: MmuNotifierRange): Promise<void> {
  if (range.blockable) range.mm.sched.mightSleep('mmu_notifier_invalidate_range_end')
  emitWindow('mmu_notifier_invalidate_range_end', range, 0)
  await range.mm.notifierSubscriptions?.invalidateRangeEnd(range)
  emitWindow('mmu_notifier_invalidate_range_ended', range, 0)
}

/** A page has left the page table (until v4.13). */
export async function mmuNotifierInvalidatePage(mm: NotifierMm, address: Hva): Promise<void> {
  await mm.notifierSubscriptions?.invalidatePage(address)
}

/** The page at `address` is about to get this PTE. Before the PTE is set, or the guest could read the old page last. */
export async function mmuNotifierChangePte(mm: NotifierMm, address: Hva, pte: number): Promise<void> {
  await mm.notifierSubscriptions?.changePte(address, pte)
}

/** Clears the accessed bits of all clients, with a flush. @returns whether any was set */
export async function mmuNotifierClearFlushYoung(mm: NotifierMm, start: Hva, end: Hva): Promise<boolean> {
  return mm.notifierSubscriptions === null ? false : await mm.notifierSubscriptions.clearFlushYoung(start, end)
}

/** Clears the accessed bits of all clients, without a flush. @returns whether any was set */
export async function mmuNotifierClearYoung(mm: NotifierMm, start: Hva, end: Hva): Promise<boolean> {
  return mm.notifierSubscriptions === null ? false : await mm.notifierSubscriptions.clearYoung(start, end)
}

/** Has any client used the page? */
export async function mmuNotifierTestYoung(mm: NotifierMm, address: Hva): Promise<boolean> {
  return mm.notifierSubscriptions === null ? false : await mm.notifierSubscriptions.testYoung(address)
}

/**
 * The notifier that these ops have on this mm, made by their `allocNotifier` if there is none; with a reference, to be
 * dropped by `mmuNotifierPut`. Takes the mmap lock for writing; sleeps.
 */
export async function mmuNotifierGet(ops: MmuNotifierOps, mm: NotifierMm): Promise<MmuNotifier> {
  await mm.mmapLock.downWrite()
  try {
    return await mmuNotifierGetLocked(ops, mm)
  } finally {
    mm.mmapLock.upWrite()
  }
}

/** The same for a caller that holds the mmap lock for writing. */
export async function mmuNotifierGetLocked(ops: MmuNotifierOps, mm: NotifierMm): Promise<MmuNotifier> {
  const found = mm.notifierSubscriptions === null ? null : await mm.notifierSubscriptions.findGet(ops)
  if (found !== null) return found
  if (ops.allocNotifier === undefined) throw new KernelError('EINVAL', 'mmuNotifierGet needs ops with allocNotifier')
  return await mmuNotifierRegisterLocked(ops.allocNotifier(mm), mm)
}

/**
 * Drops a reference. After the last one the notifier is unlinked, and freed by `freeNotifier` after a grace period;
 * `release` is not called. Does not sleep: legal inside a hook.
 */
export async function mmuNotifierPut(mn: MmuNotifier): Promise<void> {
  if (mn.mm === null) throw new KernelError('EINVAL', `${mn.describe()} was never registered`)
  await existing(mn.mm).put(mn)
}

/** Runs the callback when no hook that now runs is left: for freeing a notifier. */
export function mmuNotifierCallSrcu(srcu: Srcu, callback: SrcuCallback): void {
  srcu.call(callback)
}

/** Waits until everything that was put or posted before has been freed: before a client's code goes away. */
export async function mmuNotifierSynchronize(srcu: Srcu): Promise<void> {
  await srcu.barrier()
}

export function subscriptionsFor(mm: NotifierMm): MmuNotifierSubscriptions {
  return mm.notifierSubscriptions ?? mm.newNotifierSubscriptions()
}

function existing(mm: NotifierMm): MmuNotifierSubscriptions {
  if (mm.notifierSubscriptions === null) throw new KernelError('EINVAL', `mm ${mm.id} never had a notifier`)
  return mm.notifierSubscriptions
}

function emitWindow(
  name:
    | 'mmu_notifier_invalidate_range_start'
    | 'mmu_notifier_invalidate_range_started'
    | 'mmu_notifier_invalidate_range_end'
    | 'mmu_notifier_invalidate_range_ended',
  range: MmuNotifierRange,
  result: number,
): void {
  const { trace } = range.mm.sched
  if (!trace.on) return
  const { start, end, event, blockable } = range
  trace.emit({ name, mm: range.mm.id, start, end, event, blockable, result })
}
