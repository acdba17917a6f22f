/**
 * global-srcu: the claims of commit 21a92735f660, measured. Not a bug but a bargain: one SRCU for all mms instead of one
 * each saves memory, and pays with waits.
 *
 * R1 Virtual time and seeded choices: the waits are the same in every run.
 * R2 Bytes are those of the counters that the domains really have; nothing is computed but the product with the mms.
 */
import { PAGE_SIZE, Random } from '../../base/index.ts'
import { Kernel, Mm } from '../../host/index.ts'
import { SrcuTiny, createSrcu, mmuNotifierRegister, mmuNotifierUnregister } from '../../notifier/index.ts'
import type { Srcu, SrcuKind } from '../../notifier/index.ts'
import { Scheduler } from '../../sched/index.ts'
import { Histogram } from '../histogram.ts'
import { rcuCalloutSleeps } from './rcu-callout-sleeps.ts'
import { clearWithinBound, huntExhibit } from './trial.ts'

const MMS = [10, 100, 1_000, 10_000, 100_000] as const
const CPUS = [4, 64, 1024] as const
const KINDS: readonly SrcuKind[] = ['classic', 'counted', 'tiny']
/** Hooks that are slept through, each by an unregister and by an exit in another mm. */
const HOOKS = 60
/** Virtual nanoseconds of the shortest hook; the longest takes 2^16 times as long. */
const SHORTEST_HOOK = 1_000
const DOUBLINGS = 16

/** Bytes of counters with one SRCU for each of so many mms. One for all has those of a single mm. */
export interface SrcuBytes {
  readonly kind: SrcuKind
  readonly cpus: number
  /** Of one domain: the arrays that it has, added up. */
  readonly domain: number
  /** By number of mms. */
  readonly perMm: readonly { readonly mms: number; readonly bytes: number }[]
}

/** How long somebody in mm B waits while a hook of mm A sleeps. */
export interface SrcuWait {
  readonly who: 'unregister' | 'exit'
  /** Virtual nanoseconds that the hook still slept when the wait began. */
  readonly hook: number
  readonly perMm: number
  readonly global: number
}

export interface SrcuMeasurement {
  /** A sleeping hook under RCU is caught: schedules until then; null = it was not. */
  readonly rcuCaughtAfter: number | null
  /** The same under SRCU: what was run, in exact words, and whether it broke nothing. */
  readonly srcuVerdict: string
  readonly srcuClean: boolean
  readonly bytes: readonly SrcuBytes[]
  readonly waits: readonly SrcuWait[]
  /** The waits of each design, in buckets of powers of two. */
  readonly histograms: { readonly perMm: readonly number[]; readonly global: readonly number[] }
  /** With one for all every wait lasts as long as the hook; with one each, none does. */
  readonly waitsAsClaimed: boolean
}

/** SRCU domains as one for each mm would be, to be counted or weighed. */
export function srcuDomains(kind: SrcuKind, cpus: number, count: number): Srcu[] {
  const sched = new Scheduler()
  return Array.from({ length: count }, (_, mm) => createSrcu(kind, sched, { name: `srcu of mm ${mm}`, cpus }))
}

/** Bytes of the arrays that an object keeps its counters in. */
function counterBytes(domain: object): number {
  let bytes = 0
  for (const value of Object.values(domain) as unknown[]) if (ArrayBuffer.isView(value)) bytes += value.byteLength
  return bytes
}

function measureBytes(): SrcuBytes[] {
  return KINDS.flatMap((kind) =>
    CPUS.map((cpus) => {
      const domain = counterBytes(srcuDomains(kind, cpus, 1)[0]!)
      return { kind, cpus, domain, perMm: MMS.map((mms) => ({ mms, bytes: domain * mms })) }
    }),
  )
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

/** A hook of mm A sleeps; `offset` later somebody in mm B has to wait for a grace period. */
async function waitOf(kernelClass: typeof Kernel, who: SrcuWait['who'], hook: number, offset: number): Promise<number> {
  const kernel = new kernelClass({ frames: 64 })
  return await kernel.run(async () => {
    const slow = await kernel.createMm('A')
    const quick = await kernel.createMm('B')
    const { start } = await slow.mmap({ length: PAGE_SIZE })
    await slow.createThread().store64(start, 1n)
    const sleeps = { name: 'slow', invalidateRangeStart: () => kernel.sched.sleep(hook) }
    const sleeper = await mmuNotifierRegister(sleeps, slow)
    const other = await mmuNotifierRegister({ name: 'quick' }, quick)
    const munmap = kernel.spawn('munmap A', () => slow.munmap(start, PAGE_SIZE))
    await kernel.sched.sleep(offset)
    const began = kernel.sched.now
    if (who === 'unregister') await mmuNotifierUnregister(other, quick)
    else await quick.exit()
    const waited = kernel.sched.now - began
    await kernel.sched.join(munmap)
    await mmuNotifierUnregister(sleeper, slow)
    if (who === 'unregister') await quick.exit()
    else await mmuNotifierUnregister(other, quick)
    await slow.exit()
    return waited
  })
}

/** Hooks of all lengths, evenly over their logarithm, met at any time. */
async function measureWaits(): Promise<SrcuWait[]> {
  const random = new Random(1).stream('hooks')
  const waits: SrcuWait[] = []
  for (let i = 0; i < HOOKS; i++) {
    const hook = Math.round(SHORTEST_HOOK * 2 ** ((random.below(1000) / 1000) * DOUBLINGS))
    const offset = random.between(1, hook - 1)
    for (const who of ['unregister', 'exit'] as const) {
      const perMm = await waitOf(PerMmKernel, who, hook, offset)
      const global = await waitOf(Kernel, who, hook, offset)
      waits.push({ who, hook: hook - offset, perMm, global })
    }
  }
  return waits
}

function bucketsOf(values: readonly number[]): readonly number[] {
  const histogram = new Histogram()
  for (const value of values) histogram.add(value)
  return histogram.buckets
}

/** Measures the three claims. */
export async function measureGlobalSrcu(): Promise<SrcuMeasurement> {
  const waits = await measureWaits()
  const caught = await huntExhibit(rcuCalloutSleeps)
  const clearance = await clearWithinBound(rcuCalloutSleeps)
  return {
    rcuCaughtAfter: caught?.schedules ?? null,
    srcuVerdict: clearance.verdict,
    srcuClean: clearance.violation === null && clearance.complete,
    bytes: measureBytes(),
    waits,
    histograms: {
      perMm: bucketsOf(waits.map(({ perMm }) => perMm)),
      global: bucketsOf(waits.map(({ global }) => global)),
    },
    waitsAsClaimed: waits.every(({ hook, perMm, global }) => global >= hook && perMm < hook),
  }
}
