/** museum: bugs of real kernels, and that the auditor finds them. */
import { blockableInNonblockable } from './blockable-in-nonblockable.ts'
import { cachedHpaReloadInWindow } from './cached-hpa-reload-in-window.ts'
import { delistBeforeRelease } from './delist-before-release.ts'
import type { Exhibit } from './exhibit.ts'
import { failedStartNoEnd } from './failed-start-no-end.ts'
import { freeWithoutGrace } from './free-without-grace.ts'
import { rcuCalloutSleeps } from './rcu-callout-sleeps.ts'
import { secondDelete } from './second-delete.ts'
import { setPteFirst } from './set-pte-first.ts'
import { slotSwapInsideWindow } from './slot-swap-inside-window.ts'
import { unlinkThenRelease } from './unlink-then-release.ts'
import { unregisterInsideRelease } from './unregister-inside-release.ts'

export { FAMILIES, clearExhibit, huntExhibit, replayExhibit } from './exhibit.ts'
export type { Catch, Exhibit, Family } from './exhibit.ts'

/** All exhibits by rank. */
export const exhibits: readonly Exhibit[] = [
  rcuCalloutSleeps,
  delistBeforeRelease,
  secondDelete,
  unlinkThenRelease,
  unregisterInsideRelease,
  freeWithoutGrace,
  failedStartNoEnd,
  blockableInNonblockable,
  setPteFirst,
  slotSwapInsideWindow,
  cachedHpaReloadInWindow,
]
