/** pageout: MADV_PAGEOUT sends pages to swap whether they were used or not. */
import type { Random } from '../../base/index.ts'
import { pickSpan } from './storm.ts'
import type { StormKind, StormTarget } from './storm.ts'

const MOST_PAGES = 48

async function operate(target: StormTarget, random: Random): Promise<void> {
  const range = pickSpan(target, random, MOST_PAGES)
  await target.layout.lock()
  try {
    await target.mm.madvise(range.start, range.length, 'pageout')
  } finally {
    target.layout.unlock()
  }
}

export const pageout: StormKind = {
  name: 'pageout',
  summary: 'madvise(MADV_PAGEOUT): pages go to swap at once; the guest faults them in again',
  operate,
}
