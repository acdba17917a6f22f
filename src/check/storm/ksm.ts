/** ksm: merges pages of equal content, of one guest or of several, and sometimes takes them apart again. */
import type { Random } from '../../base/index.ts'
import { isPrivate, pickRange } from './storm.ts'
import type { StormKind, StormTarget } from './storm.ts'

const MOST_UNMERGEABLE = 16

async function operate(target: StormTarget, random: Random): Promise<void> {
  const { mm, layout } = target
  const apart = random.oneIn(8) ? pickRange(target, random, MOST_UNMERGEABLE, isPrivate) : undefined
  await layout.lock()
  try {
    if (apart !== undefined) await mm.madvise(apart.start, apart.length, 'unmergeable')
    for (const region of target.regions) {
      if (apart === undefined && isPrivate(region)) await mm.madvise(region.start, region.length, 'mergeable')
    }
  } finally {
    layout.unlock()
  }
  // A page is merged only when two scans in a row find it unchanged.
  await mm.kernel.ksm.scan()
  await mm.kernel.ksm.scan()
}

export const ksm: StormKind = {
  name: 'ksm',
  summary: 'merges equal pages, read-only, and takes them apart when somebody writes or on request',
  operate,
}
