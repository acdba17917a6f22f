/** ksm: merges pages of equal content, of one guest or of several, and sometimes takes them apart again. */
import type { Random } from '../../base/index.ts'
import { isPrivate, pickRange } from './storm.ts'
import type { StormKind, StormTarget } from './storm.ts'

const MOST_PAGES = 48

async function operate(target: StormTarget, random: Random): Promise<void> {
  const { mm, layout } = target
  const range = pickRange(target, random, MOST_PAGES, isPrivate)
  if (range === undefined) return
  await layout.lock()
  try {
    await mm.madvise(range.start, range.length, random.oneIn(6) ? 'unmergeable' : 'mergeable')
  } finally {
    layout.unlock()
  }
  await mm.kernel.ksm.scan()
}

export const ksm: StormKind = {
  name: 'ksm',
  summary: 'merges equal pages, read-only, and takes them apart when somebody writes or on request',
  operate,
}
