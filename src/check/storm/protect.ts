/** protect: takes rights away and gives them back; a guest that is refused waits for the repair. */
import type { Random } from '../../base/index.ts'
import { pickSpan } from './storm.ts'
import type { StormKind, StormTarget } from './storm.ts'

const MOST_PAGES = 64
/** Virtual nanoseconds for which the rights are gone. */
const PAUSE = 20_000

async function operate(target: StormTarget, random: Random): Promise<void> {
  const range = pickSpan(target, random, MOST_PAGES)
  const { mm, sched, layout } = target
  const readOnly = !random.oneIn(4)
  await layout.lock()
  target.damage()
  try {
    await mm.mprotect(range.start, range.length, readOnly ? 'rx' : '-')
    await sched.sleep(random.between(1, PAUSE))
    await mm.mprotect(range.start, range.length, 'rwx')
  } finally {
    target.repair()
    layout.unlock()
  }
}

export const protect: StormKind = {
  name: 'protect',
  summary: 'mprotect to read-only or to nothing, and back',
  operate,
}
