/**
 * `umbra check`: the explorer at the command line.
 *
 * R1 What it prints on stdout is the same with any number of workers.
 */
import { availableParallelism } from 'node:os'
import { nondeterminismOf, planUnits, scenarios } from '../check/index.ts'
import type { Scenario, SearchConfig } from '../check/index.ts'
import { tableLines } from '../view/index.ts'
import { Budget, StateCount } from './check-budget.ts'
import { CheckReport } from './check-report.ts'
import { printCounterexample } from './counterexample.ts'
import { ExitCode } from './exit-code.ts'
import { UsageError } from './options.ts'
import type { Output } from './output.ts'
import { LocalPool, ThreadPool } from './pool.ts'
import type { UnitPool } from './pool.ts'
import { litmus } from './litmus.ts'
import { Progress } from './progress.ts'
import { codeHash, writeResults } from './result-file.ts'
import { chosen, fileOf } from './scenario-names.ts'
import { UnitRunner, unitsOfShard } from './units.ts'
import type { Shard } from './units.ts'
import { version } from './version.ts'

export interface CheckValues extends Omit<SearchConfig, 'policy'> {
  readonly list: boolean
  readonly litmus: boolean
  readonly 'why-states': boolean
  readonly policy: string
  readonly time: number | undefined
  readonly memory: number | undefined
  readonly workers: number
  readonly shard: string
  readonly out: string | undefined
  readonly violations: string
}

function list(output: Output): ExitCode {
  if (output.json) {
    for (const { name, what, invariants, tasks } of scenarios) {
      output.object({ type: 'scenario', name, what, invariants, tasks })
    }
  } else {
    const rows = scenarios.map(({ name, what, invariants }) => [name, invariants.join(' '), what])
    for (const line of tableLines(['scenario', 'invariants', 'what meets'], rows)) output.line(line)
  }
  return ExitCode.consistent
}

/** @throws UsageError */
function parseShard(text: string): Shard {
  const [, number, of] = /^(\d+)\/(\d+)$/.exec(text) ?? []
  const shard = { number: Number(number), of: Number(of) }
  if (shard.number >= 1 && shard.number <= shard.of) return shard
  throw new UsageError(`--shard is '${text}'; expected I/N with I from 1 to N, such as 1/4`)
}

/** Explores the scenarios. */
export async function check(values: CheckValues, operands: readonly string[], output: Output): Promise<ExitCode> {
  if (values.list) return list(output)
  if (values.litmus) return litmus(values, output)
  const shard = parseShard(values.shard)
  const wanted = await chosen(operands)
  for (const scenario of wanted) if (fileOf(scenario.name) !== undefined) await requireDeterminism(scenario)
  const budget = new Budget(output, values.time, values.memory)
  if (values['why-states']) {
    const { why } = await import('./why-states.ts')
    let code: ExitCode = ExitCode.consistent
    await budget.during(async () => {
      code = await why(wanted, values.states, () => budget.isOver(), output)
    })
    return code
  }
  const { seed, depth, schedules, preemptions, states, coverage } = values
  const config: SearchConfig = {
    // A proof restores states and makes no runs: there would be nothing to measure.
    policy: coverage && values.policy === 'prove' ? 'all' : (values.policy as SearchConfig['policy']),
    seed,
    depth,
    schedules,
    preemptions,
    states,
    coverage,
  }
  const plan = unitsOfShard(
    wanted.map(({ name }) => ({ scenario: name, units: planUnits(name, config) })),
    shard,
  )
  const progress = new Progress(output)
  const pool = createPool(wanted, config, values.workers, budget, progress)
  const runner = new UnitRunner(plan, pool, () => budget.isOver())
  const report = new CheckReport(output, runner)
  const byName = new Map(wanted.map((scenario) => [scenario.name, scenario]))
  let reported = 0
  const reportNext = async (): Promise<void> => {
    const next = plan[reported++]!
    await report.add(next, (finding) =>
      printCounterexample(byName.get(next.scenario)!, finding, values.violations, output),
    )
  }
  progress.begin(runner, () => `[${reported + 1}/${plan.length}] ${plan[reported]?.scenario}:`, budget.shared)
  try {
    await budget.during(() =>
      runner.run(async () => {
        while (reported < plan.length && runner.isSettled(plan[reported]!)) await reportNext()
      }),
    )
  } finally {
    progress.end()
    await pool.close()
  }
  while (reported < plan.length) await reportNext()
  if (values.out !== undefined) {
    const names = wanted.map(({ name }) => name)
    const asked = { version: version(), code: codeHash(names), ...config, scenarios: names, totalShards: shard.of }
    writeResults(values.out, { asked, shards: [shard.number], results: runner.results, died: runner.died })
  }
  return report.end(budget.reason())
}

/** A shipped scenario is tested for it. @throws UsageError */
async function requireDeterminism(scenario: Scenario): Promise<void> {
  const differs = await nondeterminismOf(scenario)
  if (differs === null) return
  throw new UsageError(
    `${scenario.name} is not deterministic: ${differs}`,
    'take randomness from kernel.random or sched.choose, time from sched.now, and keep no state between two runs',
  )
}

function createPool(
  wanted: readonly Scenario[],
  config: SearchConfig,
  workers: number,
  budget: Budget,
  progress: Progress,
): UnitPool {
  const size = workers === 0 ? availableParallelism() : workers
  if (size > 1) return new ThreadPool(size, config, budget.shared)
  const count = new StateCount(budget.shared)
  return new LocalPool(wanted, config, () => budget.isOver(), {
    onRun: (schedules, left) => {
      budget.shared.ran()
      progress.ran(schedules, left)
    },
    onStates: (states, depth) => {
      count.saw(states)
      progress.proves(states, depth)
    },
  })
}
