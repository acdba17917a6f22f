/** The explorer: its scheduler against fast-check's, what its invariants cost, and what a second core gives. */
import fc from 'fast-check'
import { planUnits, scenarios } from '../src/check/index.ts'
import type { AuditLevel, Scenario, SearchConfig } from '../src/check/index.ts'
import { SharedWords } from '../src/cli/check-budget.ts'
import { LocalPool, ThreadPool } from '../src/cli/pool.ts'
import type { UnitPool } from '../src/cli/pool.ts'
import { UnitRunner } from '../src/cli/units.ts'
import { Scheduler, bounded, random } from '../src/sched/index.ts'
import { quietCalls } from './measure.ts'
import { ratio, time } from './report.ts'
import type { Report, Subject, Table, Target } from './report.ts'
import { ToyProtocol } from './toy-protocol.ts'

/** Rounds of each of the toy's two kinds of task, and runs in one sample. */
const ROUNDS = 10
const RUNS = 100
const SCENARIO = 'unmap-vs-fault'
const TARGET = 10
/** Schedules of the speed-up: enough that starting threads does not count. */
const SPREAD = 1000

export const explorer: Subject = {
  name: 'explorer',
  title: 'The explorer',
  async measure(): Promise<Report> {
    const schedulers = await compareSchedulers()
    const tables = [schedulers.table, await auditorCost(), await speedUp()]
    return { tables, targets: [schedulers.target] }
  },
}

const perSecond = (nanoseconds: number): string => Math.round(1e9 / nanoseconds).toLocaleString('en')

/** Three tasks of the toy under Umbra's scheduler. @returns steps */
async function umbraRun(seed: number): Promise<number> {
  const sched = new Scheduler({ policy: random(seed, { period: 2 }) })
  const toy = new ToyProtocol(() => sched.point(toy, 'w', 'toy'))
  await sched.run('main', async () => {
    const tasks = [
      sched.spawn('host', () => toy.host(ROUNDS)),
      sched.spawn('guest', () => toy.guest(ROUNDS)),
      sched.spawn('other', () => toy.guest(ROUNDS)),
    ]
    for (const task of tasks) await sched.join(task)
  })
  return toy.steps
}

/** The same tasks under fast-check's, as a property that it runs. @returns steps */
async function fastCheckRuns(seed: number): Promise<number> {
  let steps = 0
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (scheduler) => {
      const toy = new ToyProtocol(() => scheduler.schedule(Promise.resolve()))
      const tasks = Promise.all([toy.host(ROUNDS), toy.guest(ROUNDS), toy.guest(ROUNDS)])
      await scheduler.waitFor(tasks)
      steps += toy.steps
    }),
    { numRuns: RUNS, seed },
  )
  return steps
}

async function compareSchedulers(): Promise<{ table: Table; target: Target }> {
  let ours = 0
  let theirs = 0
  const [umbra, fastCheck] = (await quietCalls(40, [
    {
      prepare: () => undefined,
      run: async () => {
        ours = 0
        for (let run = 0; run < RUNS; run++) ours += await umbraRun(run)
      },
    },
    {
      prepare: () => undefined,
      run: async () => {
        theirs = await fastCheckRuns(1)
      },
    },
  ])) as [number, number]
  const row = (name: string, total: number, steps: number): string[] => [
    name,
    time(total / steps),
    perSecond(total / steps),
    perSecond(total / RUNS),
  ]
  const faster = fastCheck / theirs / (umbra / ours)
  return {
    table: {
      title: `three tasks of an unmap-and-fault protocol, ${Math.round(ours / RUNS)} points a run, invariants checked at each`,
      columns: ['', 'a step', 'steps a second', 'schedules a second'],
      rows: [row('Umbra, random', umbra, ours), row("fast-check's scheduler", fastCheck, theirs)],
      note: `A step is one point passed. Umbra takes ${ratio(faster)} as many a second.`,
    },
    target: {
      promise: `a step takes at most a tenth of one of fast-check's scheduler`,
      measured: ratio(faster),
      isMet: faster >= TARGET,
    },
  }
}

const scenarioOfBench = (): Scenario => scenarios.find(({ name }) => name === SCENARIO)!

async function auditorCost(): Promise<Table> {
  const scenario = scenarioOfBench()
  const levels: readonly AuditLevel[] = ['off', 'sampled', 'all']
  const measuring = bounded()
  const { steps: events } = await scenario.run(measuring)
  const points = measuring.taken.length
  const runs = await quietCalls(
    60,
    levels.map((audit) => ({ prepare: () => undefined, run: () => scenario.run(bounded(), { audit }) })),
  )
  return {
    title: `scenario ${SCENARIO}: one run with building and taking down its world (${points} decisions, ${events} events)`,
    columns: ['auditor', 'a run', 'schedules a second', 'events a second', 'the auditor, an event'],
    rows: levels.map((level, index) => [
      level,
      time(runs[index]!),
      perSecond(runs[index]!),
      perSecond(runs[index]! / events),
      index === 0 ? '-' : time(Math.max(0, runs[index]! - runs[0]!) / events),
    ]),
    note: 'At level all, which a search uses, each event is judged and every 100 events all translations.',
  }
}

async function speedUp(): Promise<Table> {
  const scenario = scenarioOfBench()
  const config: SearchConfig = {
    policy: 'pct',
    seed: 1,
    depth: 0,
    schedules: SPREAD,
    preemptions: 1,
    states: 1,
    coverage: false,
  }
  const plan = [{ scenario: SCENARIO, units: planUnits(SCENARIO, config) }]
  const search = async (pool: UnitPool): Promise<void> => {
    await new UnitRunner(plan, pool, () => false).run(() => Promise.resolve())
  }
  const alone = new LocalPool([scenario], config, () => false, { onRun: () => undefined, onStates: () => undefined })
  const threads = [1, 2].map((size) => new ThreadPool(size, config, new SharedWords(Infinity)))
  const pools: [string, UnitPool][] = [
    ['this thread', alone],
    ['1 worker', threads[0]!],
    ['2 workers', threads[1]!],
  ]
  for (const [, pool] of pools) await search(pool)
  const times = await quietCalls(
    5,
    pools.map(([, pool]) => ({ prepare: () => undefined, run: () => search(pool) })),
  )
  for (const pool of threads) await pool.close()
  return {
    title: `${SPREAD.toLocaleString('en')} schedules of ${SCENARIO} in ${plan[0]!.units.length} units`,
    columns: ['', 'the search', 'schedules a second', 'against this thread'],
    rows: pools.map(([name], index) => [
      name,
      time(times[index]!),
      perSecond(times[index]! / SPREAD),
      ratio(times[0]! / times[index]!),
    ]),
  }
}
