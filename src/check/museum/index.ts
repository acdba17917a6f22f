/** museum: bugs of real kernels, and that the auditor finds them. */
import { agesFirstPageOnly, youngAskedTooLate } from './ageing.ts'
import { blockableInNonblockable } from './blockable-in-nonblockable.ts'
import { cachedHpaReloadInWindow } from './cached-hpa-reload-in-window.ts'
import { changePteMadeVacuous } from './change-pte-made-vacuous.ts'
import { delistBeforeRelease, delistOnUnregister } from './delist-before-release.ts'
import { dirtyLogFamily } from './dirty-log.ts'
import type { Exhibit } from './exhibit.ts'
import { failedStartNoEnd } from './failed-start-no-end.ts'
import { flushAfterFree } from './flush-after-free.ts'
import { freeWithoutGrace } from './free-without-grace.ts'
import { retryFamily } from './no-retry.ts'
import { foreignRefcount } from './foreign-refcount.ts'
import { guestTableFamily } from './guest-table-bugs.ts'
import { intervalRemoveUnlockedRead } from './interval-remove-unlocked-read.ts'
import { invalidatePageAfterUnlock } from './invalidate-page-after-unlock.ts'
import { iteratorAdvancesAfterYield } from './iterator-advances-after-yield.ts'
import { linkBeforeSync } from './link-before-sync.ts'
import { mremapLateFlush } from './mremap-late-flush.ts'
import { pfnCacheFamily } from './pfn-cache.ts'
import { slotCacheAfterDelete } from './slot-cache-after-delete.ts'
import { rcuCalloutSleeps } from './rcu-callout-sleeps.ts'
import { readLockReclaims } from './read-lock-reclaims.ts'
import { secondDelete } from './second-delete.ts'
import { seqTruncated } from './seq-truncated.ts'
import { setPteFirst } from './set-pte-first.ts'
import { slotDeletedInsideWindow, slotSwapInsideWindow } from './slot-swap-inside-window.ts'
import { staleRoot } from './stale-root.ts'
import { unlinkThenRelease } from './unlink-then-release.ts'
import { freeInsideRelease, unregisterInsideRelease } from './unregister-inside-release.ts'
import { unsyncNotAtomic } from './unsync-not-atomic.ts'
import { vmaReadBeforeSeq } from './vma-read-before-seq.ts'
import { windowFamily } from './window-order.ts'
import { writableAssumed } from './writable-assumed.ts'
import { yieldFamily } from './yield-family.ts'

export { FAMILIES, withBug, withParts } from './exhibit.ts'
export { equivalentMutants } from './equivalents.ts'
export type { EquivalentMutant } from './equivalents.ts'
export { mutants } from './families.ts'
export { clearWithinBound, huntExhibit, replayExhibit, shortestOf, tryExhibit } from './trial.ts'
export type { Catch, Clear, Clearance, HuntExhibitOptions, Trial } from './trial.ts'
export { mutationScore } from './score.ts'
export type { Mutant } from './families.ts'
export type { Fate, Score, ScoreOptions } from './score.ts'
export { measureGlobalSrcu, srcuDomains } from './global-srcu.ts'
export type { SrcuBytes, SrcuMeasurement, SrcuWait } from './global-srcu.ts'
export type { Exhibit, Family, Fix } from './exhibit.ts'

/** All exhibits by rank. */
export const exhibits: readonly Exhibit[] = [
  rcuCalloutSleeps,
  delistBeforeRelease,
  delistOnUnregister,
  secondDelete,
  unlinkThenRelease,
  unregisterInsideRelease,
  freeInsideRelease,
  freeWithoutGrace,
  failedStartNoEnd,
  blockableInNonblockable,
  setPteFirst,
  changePteMadeVacuous,
  intervalRemoveUnlockedRead,
  slotSwapInsideWindow,
  slotDeletedInsideWindow,
  staleRoot,
  seqTruncated,
  cachedHpaReloadInWindow,
  ...retryFamily,
  vmaReadBeforeSeq,
  ...windowFamily,
  ...yieldFamily,
  mremapLateFlush,
  flushAfterFree,
  invalidatePageAfterUnlock,
  agesFirstPageOnly,
  youngAskedTooLate,
  ...dirtyLogFamily,
  ...guestTableFamily,
  linkBeforeSync,
  iteratorAdvancesAfterYield,
  readLockReclaims,
  unsyncNotAtomic,
  writableAssumed,
  foreignRefcount,
  slotCacheAfterDelete,
  ...pfnCacheFamily,
]

/** The chains of repairs, each from its first bug: exhibits that no repair led to, and what their repairs led to. */
export function chains(): Exhibit[][] {
  const followers = new Set(exhibits.map(({ leadsTo }) => leadsTo))
  const all: Exhibit[][] = []
  for (const first of exhibits) {
    if (first.leadsTo === undefined || followers.has(first.name)) continue
    const chain = [first]
    for (let next = first.leadsTo; ;) {
      const link = exhibits.find(({ name }) => name === next)
      if (link === undefined) break
      chain.push(link)
      if (link.leadsTo === undefined) break
      next = link.leadsTo
    }
    all.push(chain)
  }
  return all
}
