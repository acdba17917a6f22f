/** fork: a child shares every page until it, or the guest, writes; what it writes the guest never sees. */
import { KernelError, PAGE_SIZE } from '../../base/index.ts'
import type { Random } from '../../base/index.ts'
import { isPrivate, pickRange } from './storm.ts'
import type { StormKind, StormTarget } from './storm.ts'

const MOST_STORES = 24
/** Virtual nanoseconds of a child's life after its last store. */
const LIFE = 50_000

async function operate(target: StormTarget, random: Random): Promise<void> {
  const { mm, sched, layout } = target
  await layout.lock()
  let child
  try {
    child = await mm.fork()
  } finally {
    layout.unlock()
  }
  const thread = child.createThread()
  try {
    for (let left = random.between(1, MOST_STORES); left > 0; left--) {
      const range = pickRange(target, random, 1, isPrivate)
      if (range === undefined) break
      const hva = range.start + 8 * random.below(PAGE_SIZE / 8)
      if (random.oneIn(3)) await thread.load64(hva)
      else await thread.store64(hva, random.next64())
    }
    await sched.sleep(random.between(1, LIFE))
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'ENOMEM') throw error
  } finally {
    thread.exit()
    await child.exit()
  }
}

export const fork: StormKind = {
  name: 'fork',
  summary: 'fork; the child writes to some of its pages, so that each copy is made on one side or the other; exit',
  operate,
}
