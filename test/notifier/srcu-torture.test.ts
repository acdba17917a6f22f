/**
 * Torture of SRCU after rcutorture: an object that was replaced moves one stage along a pipe at each grace period; a
 * reader that meets one beyond stage 1 saw a grace period that was too short.
 */
import test from 'ava'
import { Random } from '../../src/base/index.ts'
import { Rcu } from '../../src/notifier/index.ts'
import type { Srcu } from '../../src/notifier/index.ts'
import { SrcuClassic } from '../../src/notifier/srcu-classic.ts'
import { SrcuCounted } from '../../src/notifier/srcu-counted.ts'
import { SrcuTiny } from '../../src/notifier/srcu-tiny.ts'
import type { Scheduler } from '../../src/sched/index.ts'
import { firstFailure, underSchedules } from './schedules.ts'
import type { ScheduleOptions } from './schedules.ts'

const PIPE_STAGES = 10

/** What readers look at: stage 0 while current, 1 when replaced, +1 per grace period. */
interface Element {
  stage: number
}

/** The structure under torture. */
class Pipe {
  current: Element = { stage: 0 }
  private readonly replaced: Element[] = []
  freed = 0

  replace(): Element {
    const old = this.current
    this.current = { stage: 0 }
    old.stage = 1
    this.replaced.push(old)
    return old
  }

  /** A grace period is over that began after the last of `elements` was replaced. */
  advance(elements: readonly Element[]): void {
    for (const element of elements) {
      element.stage++
      if (element.stage >= PIPE_STAGES) this.freed++
    }
  }

  /** All that were replaced so far and are still in the pipe. */
  inFlight(): readonly Element[] {
    return this.replaced.filter((element) => element.stage < PIPE_STAGES)
  }
}

interface Load {
  readonly readers: number
  readonly sections: number
  readonly writers: number
  readonly updates: number
}

const LIGHT: Load = { readers: 3, sections: 3, writers: 2, updates: 3 }
const LONG: Load = { readers: 4, sections: 30, writers: 3, updates: 24 }

async function readOnce(sched: Scheduler, srcu: Srcu, pipe: Pipe, random: Random, depth: number): Promise<void> {
  const idx = sched.contended || depth > 0 ? await srcu.readLock() : srcu.readLockFast()
  const element = pipe.current
  if (random.oneIn(2) && sched.contended) await sched.point(pipe, 'r', 'reader')
  if (random.oneIn(4)) await sched.sleep(random.between(1, 2000))
  if (depth < 2 && random.oneIn(4)) await readOnce(sched, srcu, pipe, random, depth + 1)
  if (random.oneIn(3)) await sched.yieldNow()
  if (element.stage > 1) throw new Error(`grace period too short: a reader met stage ${element.stage}`)
  await srcu.readUnlock(idx)
}

/** One update by one of the ways to wait for a grace period. */
async function updateOnce(sched: Scheduler, srcu: Srcu, pipe: Pipe, random: Random): Promise<void> {
  pipe.replace()
  const elements = pipe.inFlight()
  switch (random.below(5)) {
    case 0:
      srcu.call(() => pipe.advance(elements))
      break
    case 1:
      await srcu.synchronizeExpedited()
      pipe.advance(elements)
      break
    case 2: {
      const cookie = srcu.startPoll()
      while (!srcu.pollState(cookie)) await sched.sleep(500)
      pipe.advance(elements)
      break
    }
    default:
      await srcu.synchronize()
      pipe.advance(elements)
  }
}

/** Readers and writers together, then a barrier, and all callbacks have run. */
async function torture(sched: Scheduler, srcu: Srcu, seed: number, load: Load): Promise<Pipe> {
  const pipe = new Pipe()
  const tasks = []
  for (let r = 0; r < load.readers; r++) {
    const random = new Random(seed).stream(`reader${r}`)
    tasks.push(
      sched.spawn(`reader${r}`, async () => {
        for (let i = 0; i < load.sections; i++) await readOnce(sched, srcu, pipe, random, 0)
      }),
    )
  }
  for (let w = 0; w < load.writers; w++) {
    const random = new Random(seed).stream(`writer${w}`)
    tasks.push(
      sched.spawn(`writer${w}`, async () => {
        for (let i = 0; i < load.updates; i++) await updateOnce(sched, srcu, pipe, random)
      }),
    )
  }
  let posted = 0
  let ran = 0
  for (let i = 0; i < 5; i++) {
    if (sched.contended) await sched.point(pipe, 'w', 'post')
    posted++
    srcu.call(() => void ran++)
  }
  await srcu.barrier()
  if (ran !== posted) throw new Error(`barrier returned after ${ran} of ${posted} callbacks`)
  for (const task of tasks) await sched.join(task)
  return pipe
}

const kinds = { tiny: SrcuTiny, classic: SrcuClassic, counted: SrcuCounted }

for (const [kind, Kind] of Object.entries(kinds)) {
  test(`${kind}: no grace period is too short in 500 schedules of readers that sleep, nest and migrate`, async (t) => {
    let freed = 0
    await underSchedules(500, async (sched, seed) => {
      const srcu: Srcu = new Kind(sched, { name: 'torture' })
      await torture(sched, srcu, seed, LIGHT)
      if (!(await srcu.cleanup())) throw new Error('cleanup found a reader when all had left')
    })
    await underSchedules(
      20,
      async (sched, seed) => {
        freed += (await torture(sched, new Kind(sched, { name: 'torture' }), seed, LONG)).freed
      },
      { cpus: 4 },
    )
    t.true(freed > 100, `elements went all the way through the pipe: ${freed}`)
  })

  test(`${kind}: cleanup under a reader leaks the domain, which goes on working`, async (t) => {
    await underSchedules(100, async (sched, seed) => {
      const srcu: Srcu = new Kind(sched, { name: 'torture' })
      let isReading = false
      const reader = sched.spawn('reader', async () => {
        const idx = await srcu.readLock()
        isReading = true
        await sched.sleep(100_000)
        isReading = false
        await srcu.readUnlock(idx)
      })
      await sched.sleep(50_000)
      t.true(isReading)
      t.false(await srcu.cleanup())
      await torture(sched, srcu, seed, { readers: 1, sections: 1, writers: 1, updates: 1 })
      await sched.join(reader)
      t.true(await srcu.cleanup())
    })
  })
}

class NoFirstScan extends SrcuClassic {
  protected override async firstScan(): Promise<boolean> {
    return true
  }
}

class NoSecondScan extends SrcuClassic {
  protected override async secondScan(): Promise<boolean> {
    return true
  }
}

class NoSeqValidation extends SrcuClassic {
  protected override async isSeqUnchanged(): Promise<boolean> {
    return true
  }
}

class CountedNoFirstScan extends SrcuCounted {
  protected override async firstScan(): Promise<boolean> {
    return true
  }
}

class CountedNoSecondScan extends SrcuCounted {
  protected override async secondScan(): Promise<boolean> {
    return true
  }
}

/** Sums the locks first: a reader that enters and leaves in between hides one that stays. */
class CountedLocksFirst extends SrcuCounted {
  protected override async activeIdxCheck(idx: number): Promise<boolean> {
    const locks = await this.sum(this.locks, idx, 'locks')
    return (await this.sum(this.unlocks, idx, 'unlocks')) === locks
  }
}

/** Fetches the index in one step and counts in the next, which only two scans could bear. */
class TinyLateReader extends SrcuTiny {
  override async readLock(): Promise<number> {
    const idx = ((this.words[0]! + 1) & 2) >> 1
    if (this.sched.contended) await this.sched.point(this, 'w', 'late')
    this.nesting[idx]!++
    this.entered(idx)
    return idx
  }
}

/** A reader that sleeps counts as gone, as a context switch does for plain RCU. */
class TinySleepersGone extends SrcuTiny {
  protected override isQuiet(idx: number): boolean {
    return this.readers.on(idx).every((task) => task.state === 'blocked')
  }
}

/** One reader that stays inside while two others come and go: their counts must not hide it from a sum. */
async function hiddenReader(sched: Scheduler, srcu: Srcu): Promise<void> {
  const pipe = new Pipe()
  sched.spawn('sleeper', async () => {
    const idx = await srcu.readLock()
    const element = pipe.current
    await sched.sleep(1_000_000)
    if (element.stage > 1) throw new Error(`grace period too short: a reader met stage ${element.stage}`)
    await srcu.readUnlock(idx)
  })
  for (const name of ['passer0', 'passer1']) {
    sched.spawn(name, async () => {
      for (let i = 0; i < 4; i++) {
        const idx = await srcu.readLock()
        if (sched.contended) await sched.point(pipe, 'r', name)
        await srcu.readUnlock(idx)
      }
    })
  }
  await sched.yieldNow()
  pipe.replace()
  const elements = pipe.inFlight()
  await srcu.synchronize()
  pipe.advance(elements)
}

const mutants: readonly {
  readonly name: string
  readonly Mutant: typeof SrcuTiny | typeof SrcuClassic | typeof SrcuCounted
}[] = [
  { name: 'classic without its first scan', Mutant: NoFirstScan },
  { name: 'classic without its second scan', Mutant: NoSecondScan },
  { name: 'counted without its first scan', Mutant: CountedNoFirstScan },
  { name: 'counted without its second scan', Mutant: CountedNoSecondScan },
  { name: 'counted that sums the locks first', Mutant: CountedLocksFirst },
  { name: 'tiny with a reader that is late to count', Mutant: TinyLateReader },
  { name: 'a domain in which sleeping readers count as gone', Mutant: TinySleepersGone },
]

for (const { name, Mutant } of mutants) {
  test(`the torture catches ${name}`, async (t) => {
    const failure = await firstFailure(4000, async (sched, seed) => {
      await torture(sched, new Mutant(sched, { name: 'mutant' }), seed, LIGHT)
    })
    t.regex(failure?.message ?? 'nothing found', /grace period too short/)
  })
}

const withoutSeqValidation = (sched: Scheduler): Promise<void> =>
  hiddenReader(sched, new NoSeqValidation(sched, { name: 'mutant' }))

test('classic needs the validation of seq once readers migrate, and only then', async (t) => {
  const options: ScheduleOptions = { cpus: 3, period: 8 }
  const count = 15_000
  const failure = await firstFailure(count, withoutSeqValidation, options)
  t.regex(failure?.message ?? 'nothing found', /grace period too short/)
  await underSchedules(2000, (sched) => hiddenReader(sched, new SrcuClassic(sched, { name: 'm' })), options)
  t.is(await firstFailure(2000, withoutSeqValidation, { ...options, migrate: false }), null)
})

async function rcuReader(sched: Scheduler, rcu: Rcu, pipe: Pipe, sleeps: boolean): Promise<void> {
  for (let i = 0; i < 3; i++) {
    rcu.readLock()
    const element = pipe.current
    if (sched.contended) await sched.point(pipe, 'r', 'reader')
    rcu.readLock()
    if (sched.contended) await sched.point(pipe, 'r', 'nested reader')
    if (sleeps) await sched.sleep(100)
    rcu.readUnlock()
    if (element.stage > 1) throw new Error(`grace period too short: a reader met stage ${element.stage}`)
    rcu.readUnlock()
    if (sched.contended) await sched.point(pipe, 'r', 'between sections')
  }
}

async function tortureRcu(sched: Scheduler, rcu: Rcu, sleeps: boolean): Promise<void> {
  const pipe = new Pipe()
  for (let r = 0; r < 3; r++) sched.spawn(`reader${r}`, () => rcuReader(sched, rcu, pipe, sleeps))
  for (let w = 0; w < 2; w++) {
    sched.spawn(`writer${w}`, async () => {
      for (let i = 0; i < 3; i++) {
        pipe.replace()
        const elements = pipe.inFlight()
        await rcu.synchronize()
        pipe.advance(elements)
      }
    })
  }
}

/** RCU as it would be if it did not mind: readers may sleep, and a sleeping one counts as gone. */
class SleepyRcu extends Rcu {
  protected override isQuiet(idx: number): boolean {
    return this.readers.on(idx).every((task) => task.state === 'blocked')
  }

  protected override enterContext(): void {}

  protected override leaveContext(): void {}
}

test('RCU: no grace period is too short while readers do not sleep, and a reader that sleeps is reported', async (t) => {
  await underSchedules(500, (sched) => tortureRcu(sched, new Rcu(sched), false))
  const failure = await firstFailure(1, (sched) => tortureRcu(sched, new Rcu(sched), true))
  t.regex(failure?.message ?? 'nothing found', /I13: BUG: sleeping function called from invalid context.*rcu_read_lock/)
})

test('RCU loses a reader that sleeps unreported: why sleepable hooks need SRCU', async (t) => {
  const failure = await firstFailure(200, (sched) => tortureRcu(sched, new SleepyRcu(sched), true))
  t.regex(failure?.message ?? 'nothing found', /grace period too short/)
})
