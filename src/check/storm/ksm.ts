/** ksm: merges pages of equal content, of one guest or of several, and sometimes takes them apart again. */
import type { Random } from '../../base/index.ts'
import { isPrivate, pickRange } from './storm.ts'
import type { StormKind, StormTarget } from './storm.ts'

const MOST_MERGEABLE = 128
const MOST_UNMERGEABLE = 16

async function operate(target: StormTarget, random: Random): Promise<void> {
  const { mm, layout } = target
  const unmerge = random.oneIn(8)
  const range = pickRange(target, random, unmerge ? MOST_UNMERGEABLE : MOST_MERGEABLE, isPrivate)
  if (range === undefined) return
  await layout.lock()
  try {
    await mm.madvise(range.start, range.length, unmerge ? 'unmergeable' : 'mergeable')
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
