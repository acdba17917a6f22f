/** The explorer: it finds planted bugs, what it finds replays and is short, and the code itself is clean. */
import test from 'ava'
import { KernelBug } from '../../src/base/index.ts'
import type { Invariant } from '../../src/base/index.ts'
import {
  boundedVerdict,
  defineScenario,
  explore,
  findingOf,
  hunt,
  huntVerdict,
  nextPlan,
  scenarios,
  searchBounded,
  shrink,
} from '../../src/check/index.ts'
import type { Scenario, WorldParts } from '../../src/check/index.ts'
import { Kernel } from '../../src/host/index.ts'
import { KvmMmuNotifier, PageFaults, Vm } from '../../src/mmu/index.ts'
import { SrcuTiny, mmuNotifierSrcu } from '../../src/notifier/index.ts'
import type { Srcu } from '../../src/notifier/index.ts'
import { bounded, decodeSchedule, replay } from '../../src/sched/index.ts'
import { partExplored } from '../../src/check/explore/remaining.ts'
import { timelineLines } from '../../src/view/index.ts'

const LONG = process.env['UMBRA_LONG'] === '1'

const named = (name: string): Scenario => scenarios.find((scenario) => scenario.name === name)!

class NeverRetries extends PageFaults {
  protected override stale(): null {
    return null
  }
}
class NoRetryVm extends Vm {
  protected override createFaults(): PageFaults {
    return new NeverRetries(this)
  }
}
class SkipsFlush extends KvmMmuNotifier {
  protected override flushZapped(): Promise<void> {
    return Promise.resolve()
  }
}
class NoFlushVm extends Vm {
  protected override createNotifier(): KvmMmuNotifier {
    return new SkipsFlush(this)
  }
}
class SkipsZap extends KvmMmuNotifier {
  protected override zapSlotRange(): number {
    return 0
  }
}
class NoZapVm extends Vm {
  protected override createNotifier(): KvmMmuNotifier {
    return new SkipsZap(this)
  }
}
class NeverWaits extends SrcuTiny {
  override synchronize(): Promise<void> {
    return Promise.resolve()
  }
}
class NoWaitKernel extends Kernel {
  protected override newSrcu(): Srcu {
    return new NeverWaits(this.sched, { name: 'mmu_notifier_srcu', lockClass: mmuNotifierSrcu })
  }
}

interface Mutant {
  readonly what: string
  readonly scenario: string
  readonly parts: WorldParts
  readonly finds: readonly Invariant[]
  /** Schedules of pct that find it, whatever the seed of the hunt. */
  readonly within: number
  /** Preemptions of the shortest schedule. */
  readonly preemptions: number
}

const mutants: readonly Mutant[] = [
  {
    what: 'a fault maps what it looked up before an invalidation',
    scenario: 'dontneed-vs-fault',
    parts: { vm: NoRetryVm },
    finds: ['I10', 'I1', 'I2'],
    within: 300,
    preemptions: 2,
  },
  {
    what: 'the same under shadow paging',
    scenario: 'unmap-vs-fault-shadow',
    parts: { vm: NoRetryVm },
    finds: ['I10', 'I1', 'I2'],
    within: 300,
    preemptions: 2,
  },
  {
    what: 'a zap without a flush',
    scenario: 'dontneed-vs-warm',
    parts: { vm: NoFlushVm },
    finds: ['I1'],
    within: 30,
    preemptions: 0,
  },
  {
    what: 'an invalidation without a zap',
    scenario: 'unmap-vs-warm',
    parts: { vm: NoZapVm },
    finds: ['I1'],
    within: 30,
    preemptions: 0,
  },
  {
    what: 'an unregister that does not wait',
    scenario: 'unregister-vs-unmap',
    parts: { kernel: NoWaitKernel },
    finds: ['I5'],
    within: 30,
    preemptions: 0,
  },
  {
    what: 'a grace period that does not wait',
    scenario: 'srcu-tiny-synchronize',
    parts: { createSrcu: (_kind, sched, options) => new NeverWaits(sched, options) },
    finds: ['I5'],
    within: 30,
    preemptions: 1,
  },
]

for (const { what, scenario: name, parts, finds, within, preemptions } of mutants) {
  test(`found within ${within} schedules, shrunk and replayed: ${what} (${name})`, async (t) => {
    const scenario = named(name)
    for (let seed = 1; seed <= (LONG ? 25 : 1); seed++) {
      const { found, schedules } = await hunt(scenario, { parts, seed, schedules: within })
      if (found === null) return t.fail(`seed ${seed}: not found in ${schedules} schedules`)
      const { invariant } = found.violation!
      t.true(finds.includes(invariant), `seed ${seed}: ${findingOf(found)}`)
      if (seed > 1) continue
      const short = await shrink(scenario, found, { parts })
      t.true(short.preemptions <= preemptions, `${short.preemptions} preemptions`)
      t.true(short.deviations <= Math.max(1, decodeSchedule(found.schedule).deviations.length / 2))
      const again = await scenario.run(replay(decodeSchedule(short.run.schedule)), { parts, record: true })
      const twice = await scenario.run(replay(decodeSchedule(short.run.schedule)), { parts, record: true })
      t.is(again.violation?.invariant, invariant)
      t.is(again.digest, twice.digest)
      t.is(again.schedule, short.run.schedule)
      t.regex(timelineLines(again.trace, again.violation).join('\n'), new RegExp(`${invariant} violated: `))
      const clean = await scenario.run(replay(decodeSchedule(short.run.schedule), {}))
      t.is(clean.violation, null, 'the schedule breaks the mutant only')
    }
  })
}

test('bounded search runs each schedule once, and all of them', async (t) => {
  // Two tasks of two steps: with their points, all orders of the four steps that keep each task's own order.
  const orders = new Set<string>()
  let runs = 0
  const scenario = defineScenario<string[]>({
    name: 'orders',
    what: 'two tasks of two steps',
    invariants: [],
    world: { vm: null, pages: 1 },
    setup: () => Promise.resolve([]),
    tasks: {
      a: async ({ kernel }, steps) => {
        steps.push('a1')
        if (kernel.sched.contended) await kernel.sched.point(steps, 'w', 'a')
        steps.push('a2')
      },
      b: async ({ kernel }, steps) => {
        steps.push('b1')
        if (kernel.sched.contended) await kernel.sched.point(steps, 'w', 'b')
        steps.push('b2')
      },
    },
    end: (_world, steps) => {
      runs++
      orders.add(steps.join(' '))
      return Promise.resolve()
    },
  })
  const none = await searchBounded(scenario, { preemptions: 0 })
  t.is(boundedVerdict(none), 'no violation within 0 preemptions (2 schedules)')
  t.is(orders.size, 2)
  runs = 0
  const result = await searchBounded(scenario, { preemptions: 2 })
  t.is(orders.size, 6)
  t.is(result.within, 6)
  t.is(runs, 2 + 4 + 6, 'bounds 0, 1 and 2, each schedule once a bound')
  t.is(boundedVerdict(result), 'no violation within 2 preemptions (6 schedules)')
})

async function waits({ kernel }: { kernel: Kernel }, state: { done: boolean }): Promise<void> {
  while (!state.done) await kernel.sched.yieldNow()
}

test('tasks that wait for another one by yielding in turn have few fair schedules', async (t) => {
  const scenario = defineScenario<{ done: boolean }>({
    name: 'waits',
    what: 'two tasks wait for a third',
    invariants: [],
    world: { vm: null, pages: 1 },
    setup: () => Promise.resolve({ done: false }),
    tasks: {
      a: waits,
      b: waits,
      c: (_world, state) => {
        state.done = true
        return Promise.resolve()
      },
    },
  })
  const result = await searchBounded(scenario, { preemptions: 1, schedules: 1000 })
  t.true(result.complete)
  t.is(result.found, null)
})

test('a plan within the bound is the next in depth-first order', (t) => {
  const taken = [
    { kind: 'next', count: 2, unfair: 0, choice: 0, from: 'm', to: 'a' },
    { kind: 'point', count: 2, unfair: 0, choice: 0, from: 'a', to: 'a' },
  ] as const
  t.deepEqual(nextPlan(taken, 1), [0, 1])
  t.deepEqual(nextPlan(taken, 0), [1])
  t.is(nextPlan([{ ...taken[0], choice: 1 }], 0), null)
})

test('the words of a verdict say what was run', async (t) => {
  t.is(huntVerdict({ schedules: 1, found: null, complete: false }), 'no violation in 1 schedule')
  const report = await explore(named('get-put'), { policy: 'pct', schedules: 20 })
  t.is(report.verdict, 'no violation in 20 schedules')
  const cut = await searchBounded(named('unmap-vs-fault'), { preemptions: 1, schedules: 10 })
  t.is(boundedVerdict(cut), 'no violation within 0 preemptions (2 schedules)')
  t.false(cut.complete)
  const stopped = await explore(named('unmap-vs-fault'), { stop: () => true })
  t.true(stopped.stopped)
  t.is(stopped.schedules, 0)
})

const one = (body: (world: { kernel: Kernel }) => Promise<void>): Scenario =>
  defineScenario({
    name: 'one',
    what: 'one task',
    invariants: [],
    world: { vm: null, pages: 1 },
    tasks: { one: body },
  })

test('a task without an end is I11, a deadlock I8, a foreign failure is named', async (t) => {
  const endless = one(async ({ kernel }) => {
    for (;;) {
      kernel.trace.emit({ name: 'sched_process_exit', task: 'nobody' })
      await kernel.sched.yieldNow()
    }
  })
  t.is((await endless.run(bounded(), { limit: 200 })).violation?.invariant, 'I11')
  const stuck = one(async ({ kernel }) => {
    await kernel.srcu.readLock()
    const waits = kernel.spawn('waits', () => kernel.srcu.synchronize())
    await kernel.sched.join(waits)
  })
  t.is((await stuck.run(bounded())).violation?.invariant, 'I8')
  const throws = await one(() => Promise.reject(new KernelBug('mine'))).run(bounded())
  t.is(throws.violation, null)
  t.regex(throws.failure?.message ?? '', /task one failed: mine/)
})

test('kept: schedules in which the auditor saw what was not wrong', async (t) => {
  for (const [name, schedule] of [
    ['exit-unregister-reclaim', 'u1:BgI'], // reclaim reaches a page through the rmap during another task's exit
    ['dirty-log-vs-writer', 'u1:BwE'], // a sweep between a write-protection and its flush
    ['dirty-log-vs-writer-shadow', 'u1:BwE'],
    ['huge-split-vs-warm', 'u1:AAEAAQEBAAEBAQ'], // a pending flush of one page covers the large TLB entry it is in
  ] as const) {
    const run = await named(name).run(replay(decodeSchedule(schedule)))
    t.is(findingOf(run), null, name)
  }
})

test('kept: a TLB kept a part of a large leaf that went because of another part', async (t) => {
  const run = await named('huge-split-vs-warm-small-leaves').run(replay(decodeSchedule('u1:AAE')))
  t.is(findingOf(run), null)
})

test('kept: a VM ended while a vCPU was about to enter its SRCU', async (t) => {
  const run = await named('destroy-vs-fault-vs-dontneed').run(replay(decodeSchedule('u1:AAIIAQECCwEAAg')))
  t.is(run.violation, null)
})

test('there are at least 24 scenarios, and each is clean', async (t) => {
  t.timeout(600_000)
  t.true(scenarios.length >= 24)
  t.is(new Set(scenarios.map(({ name }) => name)).size, scenarios.length)
  for (const scenario of scenarios) {
    for (const policy of ['pct', 'random'] as const) {
      const { found } = await hunt(scenario, { policy, schedules: LONG ? 40 : 2 })
      t.is(found, null, found === null ? '' : `${scenario.name}: ${findingOf(found)} ${found.schedule}`)
    }
  }
})

test('what a bounded search has left is estimated from where it is in its tree', async (t) => {
  const scenario = named('unmap-vs-fault')
  const made: number[] = []
  const { schedules, within } = await searchBounded(scenario, {
    preemptions: 1,
    onRun: (count, left) => {
      made[count] = count + left!()
    },
  })
  const before = schedules - within
  const half = made[before + (within >> 1)]!
  t.true(half > schedules / 3 && half < schedules * 3, `${half} estimated half-way, ${schedules} made`)
  t.is(partExplored([{ kind: 'next', count: 2, unfair: 0, choice: 1, from: 'a', to: 'b' }], 0), 0.5)
})

test('a hunt with pct changes priorities all along a run, even if the default run is short', async (t) => {
  const state = { isHalfDone: false }
  const scenario = defineScenario({
    name: 'quick-and-slow',
    what: 'the first task ends before the second has begun',
    invariants: ['I7'],
    world: { vm: null, pages: 1 },
    tasks: {
      quick: async () => {
        if (state.isHalfDone) throw new KernelBug('it came in between', 'I7')
      },
      slow: async ({ kernel: { sched } }) => {
        for (let at = 0; at < 40; at++) {
          state.isHalfDone = at === 20
          if (sched.contended) await sched.point(state, 'w', 'on its way')
        }
      },
    },
  })
  t.not((await hunt(scenario, { schedules: 400, depth: 2 })).found, null)
})
