/**
 * global-srcu: the claims of commit 21a92735f660, measured. Not a bug but a bargain: one SRCU for all mms instead of one
 * each saves memory, and pays with waits.
 *
 * R1 Virtual time: the figures are the same in every run.
 */
import { PAGE_SIZE } from '../../base/index.ts'
import { Kernel, Mm } from '../../host/index.ts'
import { mmuNotifierRegister, mmuNotifierUnregister, SrcuTiny } from '../../notifier/index.ts'
import type { Srcu } from '../../notifier/index.ts'
import { clearWithinBound, huntExhibit } from './trial.ts'
import { rcuCalloutSleeps } from './rcu-callout-sleeps.ts'

/** Words of 8 bytes that one SRCU takes on each CPU (v3.7: c[2] and seq[2]). */
const WORDS_PER_CPU = 4

export interface SrcuBytes {
  readonly mms: number
  readonly cpus: number
  /** Bytes of counters with one SRCU for each mm, and with one for all. */
  readonly perMm: number
  readonly global: number
}

export interface SrcuWait {
  /** Virtual nanoseconds that a hook of mm A sleeps. */
  readonly hook: number
  /** Virtual nanoseconds that the unregister of mm B takes meanwhile. */
  readonly perMm: number
  readonly global: number
}

export interface SrcuMeasurement {
  /** A sleeping hook under RCU is caught: schedules until then; null = it was not. */
  readonly rcuCaughtAfter: number | null
  /** The same under SRCU broke nothing. */
  readonly srcuClean: boolean
  readonly bytes: readonly SrcuBytes[]
  readonly waits: readonly SrcuWait[]
}

/** An mm with a domain of its own: the design that the commit decided against. */
class PerMmSrcu extends Mm {
  override readonly srcu: Srcu = new SrcuTiny(this.sched, { name: `srcu of ${this.name}` })
}

class PerMmKernel extends Kernel {
  protected override newMm(...[id, name, root]: Parameters<Kernel['newMm']>): Mm {
    return new PerMmSrcu(this, id, name, root)
  }
}

async function waitOf(kernelClass: typeof Kernel, hook: number): Promise<number> {
  const kernel = new kernelClass({ frames: 64 })
  return await kernel.run(async () => {
    const slow = await kernel.createMm('A')
    const quick = await kernel.createMm('B')
    const { start } = await slow.mmap({ length: PAGE_SIZE })
    await slow.createThread().store64(start, 1n)
    const sleeper = await mmuNotifierRegister(
      { name: 'slow', invalidateRangeStart: () => kernel.sched.sleep(hook) },
      slow,
    )
    const other = await mmuNotifierRegister({ name: 'quick' }, quick)
    const munmap = kernel.spawn('munmap A', () => slow.munmap(start, PAGE_SIZE))
    await kernel.sched.sleep(10)
    const began = kernel.sched.now
    await mmuNotifierUnregister(other, quick)
    const waited = kernel.sched.now - began
    await kernel.sched.join(munmap)
    await mmuNotifierUnregister(sleeper, slow)
    await slow.exit()
    await quick.exit()
    return waited
  })
}

/** Measures the three claims. */
export async function measureGlobalSrcu(): Promise<SrcuMeasurement> {
  const bytes: SrcuBytes[] = []
  for (const mms of [100, 10_000, 100_000]) {
    for (const cpus of [4, 64, 4096]) {
      const domain = WORDS_PER_CPU * 8 * cpus
      bytes.push({ mms, cpus, perMm: domain * mms, global: domain })
    }
  }
  const waits: SrcuWait[] = []
  for (const hook of [1_000, 10_000, 100_000, 1_000_000, 10_000_000]) {
    waits.push({ hook, perMm: await waitOf(PerMmKernel, hook), global: await waitOf(Kernel, hook) })
  }
  const caught = await huntExhibit(rcuCalloutSleeps)
  return {
    rcuCaughtAfter: caught?.schedules ?? null,
    srcuClean: (await clearWithinBound(rcuCalloutSleeps)).violation === null,
    bytes,
    waits,
  }
}
