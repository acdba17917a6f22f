/** mremap: moves a piece of guest memory out of the guest's reach and back; its pages stay, their addresses change. */
import { KernelError } from '../../base/index.ts'
import type { Random } from '../../base/index.ts'
import { pickRange } from './storm.ts'
import type { StormKind, StormTarget } from './storm.ts'

const MOST_PAGES = 32
/** Virtual nanoseconds for which the pages are elsewhere. */
const AWAY = 10_000
/** An address that no guest memory occupies. */
const ELSEWHERE = 0x20_0000_0000

async function operate(target: StormTarget, random: Random): Promise<void> {
  const range = pickRange(target, random, MOST_PAGES)
  if (range === undefined) return
  const { mm, sched, layout } = target
  const { start, length } = range
  await layout.lock()
  target.damage()
  try {
    await mm.mremap(start, length, length, { to: ELSEWHERE })
    await sched.sleep(random.between(1, AWAY))
    await mm.mremap(ELSEWHERE, length, length, { to: start })
  } catch (error) {
    // A range that advice or protection has cut into several mappings does not move in one go.
    if (!(error instanceof KernelError) || error.code !== 'EFAULT') throw error
  } finally {
    target.repair()
    layout.unlock()
  }
}

export const mremap: StormKind = {
  name: 'mremap',
  summary: 'moves a piece of guest memory to another address and back',
  operate,
}
