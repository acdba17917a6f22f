/** storm: every way in which the host takes pages away, and the registry of them. */
import { client } from './client.ts'
import { dontneed } from './dontneed.ts'
import { fork } from './fork.ts'
import { idle } from './idle.ts'
import { ksm } from './ksm.ts'
import { migrate } from './migrate.ts'
import { mremap } from './mremap.ts'
import { pageout } from './pageout.ts'
import { protect } from './protect.ts'
import { reclaim } from './reclaim.ts'
import type { StormKind } from './storm.ts'
import { unmap } from './unmap.ts'

export { StormCount, StormTarget, stormLoop } from './storm.ts'
export type { StormKind, StormPace, StormRegion } from './storm.ts'

/** All kinds of storm, in the order in which lists show them. */
export const stormKinds: readonly StormKind[] = [
  unmap,
  dontneed,
  protect,
  mremap,
  fork,
  reclaim,
  pageout,
  idle,
  migrate,
  ksm,
  client,
]
