/** The calls of interval notifiers, by their names in include/linux/mmu_notifier.h. */
import { KernelBug, KernelError } from '../base/index.ts'
import type { Hva } from '../base/index.ts'
import { MmuIntervalNotifier } from './interval-notifier.ts'
import type { IntervalSubscriptions, MmuIntervalNotifierOps } from './interval-notifier.ts'
import { subscriptionsFor } from './mmu-notifier.ts'
import type { NotifierMm } from './notifier-mm.ts'

/**
 * Subscribes to [start, start + length). The caller holds a user reference of the mm, and not its mmap lock; sleeps.
 * @param client an interval notifier, or the ops to make one of
 * @param length bytes, at least 1
 * @throws KernelError EINVAL for an empty or overflowing interval, or an mm without users; EINTR
 */
export async function mmuIntervalNotifierInsert(
  client: MmuIntervalNotifier | MmuIntervalNotifierOps,
  mm: NotifierMm,
  start: Hva,
  length: number,
): Promise<MmuIntervalNotifier> {
  await prepare(mm)
  return await mmuIntervalNotifierInsertLocked(client, mm, start, length)
}

/** The same on an mm that has had an interval notifier already, or whose mmap lock the caller holds for writing. */
export async function mmuIntervalNotifierInsertLocked(
  client: MmuIntervalNotifier | MmuIntervalNotifierOps,
  mm: NotifierMm,
  start: Hva,
  length: number,
): Promise<MmuIntervalNotifier> {
  if (!(length > 0) || !Number.isSafeInteger(start + length)) {
    throw new KernelError(
      'EINVAL',
      `interval of ${length} bytes at ${start}: expected a length above 0 that does not overflow`,
    )
  }
  if (mm.users <= 0) throw new KernelError('EINVAL', `interval notifier on mm ${mm.id}, which has no users left`)
  if (mm.notifierSubscriptions?.intervals == null) await subscriptionsFor(mm).registerLocked(null)
  const sub = client instanceof MmuIntervalNotifier ? client : new MmuIntervalNotifier(client)
  if (sub.mm !== null) throw new KernelBug(`${sub.describe()} is inserted twice`)
  sub.mm = mm
  sub.start = start
  sub.last = start + length - 1
  mm.grab()
  await intervalsOf(mm).insert(sub)
  return sub
}

/**
 * Unsubscribes. When it returns, `invalidate` does not run and will not. Sleeps while an invalidation of the mm is
 * under way, so the caller holds no lock that `invalidate` takes.
 * @throws KernelBug I8 inside an invalidation
 */
export async function mmuIntervalNotifierRemove(sub: MmuIntervalNotifier): Promise<void> {
  const mm = mmOf(sub)
  await intervalsOf(mm).remove(sub)
  sub.mm = null
  mm.drop()
}

/**
 * Begins to read the pages of the interval; sleeps while it is being invalidated.
 * @returns the sequence for `mmuIntervalReadRetry`
 */
export async function mmuIntervalReadBegin(sub: MmuIntervalNotifier): Promise<number> {
  return await intervalsOf(mmOf(sub)).readBegin(sub)
}

/** Under the user's lock: did an invalidation come since `readBegin`? Then what was read must not be used. */
export const mmuIntervalReadRetry = (sub: MmuIntervalNotifier, seq: number): boolean => sub.sequence[0] !== seq

/** The same without the lock, to give up early: a "no" is only a guess. */
export const mmuIntervalCheckRetry = (sub: MmuIntervalNotifier, seq: number): boolean => sub.sequence[0] !== seq

/** In `invalidate`, under the user's lock, always, before anything is dropped. */
export function mmuIntervalSetSeq(sub: MmuIntervalNotifier, seq: number): void {
  sub.sequence[0] = seq
}

async function prepare(mm: NotifierMm): Promise<void> {
  if (mm.notifierSubscriptions?.intervals != null) return
  await mm.mmapLock.downWrite()
  try {
    await subscriptionsFor(mm).registerLocked(null)
  } finally {
    mm.mmapLock.upWrite()
  }
}

function mmOf(sub: MmuIntervalNotifier): NotifierMm {
  if (sub.mm === null) throw new KernelError('EINVAL', `${sub.describe()} is not inserted`)
  return sub.mm
}

function intervalsOf(mm: NotifierMm): IntervalSubscriptions {
  const intervals = mm.notifierSubscriptions?.intervals ?? null
  if (intervals === null) throw new KernelError('EINVAL', `mm ${mm.id} never had an interval notifier`)
  return intervals
}
