/** unmap: takes shared file pages away and maps them again; the file keeps their content. */
import type { Random } from '../../base/index.ts'
import { isShared, pickRange } from './storm.ts'
import type { StormKind, StormTarget } from './storm.ts'

const MOST_PAGES = 96
/** Virtual nanoseconds for which the hole stays open. */
const HOLE = 20_000

async function operate(target: StormTarget, random: Random): Promise<void> {
  const range = pickRange(target, random, MOST_PAGES, isShared)
  if (range === undefined) return
  const { region, start, length } = range
  const leavesHole = random.oneIn(4)
  await target.layout.lock()
  target.damage()
  try {
    if (leavesHole) {
      await target.mm.munmap(start, length)
      await target.sched.sleep(random.between(1, HOLE))
    }
    const offset = region.offset + start - region.start
    await target.mm.mmap({ addr: start, length, fixed: true, shared: true, file: region.file!, offset, prot: 'rwx' })
  } finally {
    target.repair()
    target.layout.unlock()
  }
}

export const unmap: StormKind = {
  name: 'unmap',
  summary: 'munmap and mmap again, sometimes with a hole in between that the guest falls into',
  operate,
}
