/** dontneed: MADV_DONTNEED on shared file pages: every translation goes, the file keeps the content. */
import type { Random } from '../../base/index.ts'
import { isShared, pickRange } from './storm.ts'
import type { StormKind, StormTarget } from './storm.ts'

const MOST_PAGES = 128

async function operate(target: StormTarget, random: Random): Promise<void> {
  const range = pickRange(target, random, MOST_PAGES, isShared)
  if (range === undefined) return
  // A hole of the unmap storm is not to be advised about: the two exclude each other.
  await target.layout.lock()
  try {
    await target.mm.madvise(range.start, range.length, 'dontneed')
  } finally {
    target.layout.unlock()
  }
}

export const dontneed: StormKind = {
  name: 'dontneed',
  summary: 'madvise(MADV_DONTNEED) on shared file pages; the guest faults them in again',
  operate,
}
