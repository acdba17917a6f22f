/**
 * client: another notifier client comes and goes, as a device driver does whose hooks sleep until the device answers.
 *
 * Its unregister waits for a grace period of the one SRCU: for every hook that sleeps just then, of whatever client and
 * whatever mm.
 */
import type { Random } from '../../base/index.ts'
import { mmuNotifierRegister, mmuNotifierUnregister } from '../../notifier/index.ts'
import type { MmuNotifierOps, MmuNotifierRange } from '../../notifier/index.ts'
import type { Scheduler } from '../../sched/index.ts'
import type { StormKind, StormTarget } from './storm.ts'

/** Virtual nanoseconds that the device takes to answer, and that the client stays. */
const ANSWER = 4_000
const STAY = 60_000

/** A device that must be told before pages go, and takes its time. */
class SleepyDevice implements MmuNotifierOps {
  readonly name = 'device'
  private readonly sched: Scheduler
  private readonly random: Random

  constructor(sched: Scheduler, random: Random) {
    this.sched = sched
    this.random = random
  }

  async invalidateRangeStart(range: MmuNotifierRange): Promise<void> {
    if (range.blockable) await this.sched.sleep(this.random.between(1, ANSWER))
  }

  async release(): Promise<void> {
    await this.sched.sleep(this.random.between(1, ANSWER))
  }
}

async function operate(target: StormTarget, random: Random): Promise<void> {
  const { mm, sched } = target
  const registration = await mmuNotifierRegister(new SleepyDevice(sched, random), mm)
  await sched.sleep(random.between(1, STAY))
  await mmuNotifierUnregister(registration, mm)
}

export const client: StormKind = {
  name: 'client',
  summary: 'a device driver registers, sleeps in its hooks, and unregisters, which waits for every sleeping hook',
  operate,
}
