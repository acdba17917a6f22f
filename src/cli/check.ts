/**
 * `umbra check`: the explorer at the command line.
 *
 * R1 Ctrl-C and --time end the search between two runs, with the verdict so far; a second Ctrl-C ends the process.
 */
import { explore, scenarios } from '../check/index.ts'
import { plural, tableLines } from '../view/index.ts'
import { printCounterexample } from './counterexample.ts'
import { ExitCode } from './exit-code.ts'
import type { Output } from './output.ts'
import { Progress } from './progress.ts'
import { chosen } from './scenario-names.ts'

export interface CheckValues {
  readonly list: boolean
  readonly policy: string
  readonly seed: number
  readonly depth: number
  readonly schedules: number
  readonly preemptions: number
  readonly time: number | undefined
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

/** Explores the scenarios. */
export async function check(values: CheckValues, names: readonly string[], output: Output): Promise<ExitCode> {
  if (values.list) return list(output)
  const wanted = chosen(names)
  const ends = values.time === undefined ? Infinity : performance.now() + values.time * 1000
  let interrupts = 0
  const onInterrupt = (): void => {
    if (++interrupts > 1) process.exit(130)
  }
  const stop = (): boolean => interrupts > 0 || output.closed || performance.now() >= ends
  const progress = new Progress(output)
  process.on('SIGINT', onInterrupt)
  process.on('SIGTERM', onInterrupt)
  let schedules = 0
  let explored = 0
  let violated = 0
  let failed = 0
  try {
    for (const [index, scenario] of wanted.entries()) {
      if (stop()) break
      const report = await explore(scenario, {
        policy: values.policy as 'pct' | 'random' | 'bounded' | 'all',
        seed: values.seed,
        depth: values.depth,
        schedules: values.schedules,
        preemptions: values.preemptions,
        stop,
        onRun: (count) => progress.ran(scenario.name, `[${index + 1}/${wanted.length}]`, count),
      })
      schedules += report.schedules
      if (!report.stopped) explored++
      const { counterexample } = report
      if (counterexample !== null) {
        if (counterexample.run.violation === null) failed++
        else violated++
      }
      if (output.json) {
        const { verdict, stopped } = report
        output.object({ type: 'scenario', name: scenario.name, verdict, schedules: report.schedules, stopped })
      } else {
        const paint = counterexample === null ? output.chalk.green : output.chalk.red.bold
        output.line(`${scenario.name.padEnd(38)} ${paint(report.verdict)}${report.stopped ? ' (stopped)' : ''}`)
      }
      if (counterexample !== null) await printCounterexample(scenario, report, output)
    }
  } finally {
    process.off('SIGINT', onInterrupt)
    process.off('SIGTERM', onInterrupt)
    progress.erase()
  }
  const unfinished = wanted.length - explored
  const exitCode =
    violated > 0
      ? ExitCode.violation
      : failed > 0
        ? ExitCode.internal
        : unfinished > 0
          ? ExitCode.budget
          : ExitCode.consistent
  const parts = [plural(wanted.length, 'scenario'), plural(schedules, 'schedule')]
  if (unfinished > 0) parts.push(`${unfinished} not finished`)
  const message = violated > 0 ? `VIOLATION in ${plural(violated, 'scenario')}` : failed > 0 ? 'FAILED' : 'no violation'
  if (output.json)
    output.object({ type: 'verdict', exitCode, scenarios: wanted.length, schedules, violated, failed, unfinished })
  else output.line(`${message}: ${parts.join(', ')}`)
  return exitCode
}
