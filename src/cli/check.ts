/**
 * `umbra check` and `umbra replay`: the explorer at the command line.
 *
 * R1 Ctrl-C and --time end the search between two runs, with the verdict so far; a second Ctrl-C ends the process.
 * R2 A replay is the same run, or it says so: a schedule that asks for what is not possible, and a trace with another
 *    digest, end with exit code 4.
 */
import { KernelError } from '../base/index.ts'
import { explore, scenarios } from '../check/index.ts'
import type { ExploreReport, Run, Scenario } from '../check/index.ts'
import { decodeSchedule, replay } from '../sched/index.ts'
import type { Schedule } from '../sched/index.ts'
import { countText, plural, tableLines, timelineLines } from '../view/index.ts'
import { ExitCode } from './exit-code.ts'
import { UsageError, didYouMean } from './options.ts'
import type { Output } from './output.ts'

export interface CheckValues {
  readonly list: boolean
  readonly policy: string
  readonly seed: number
  readonly depth: number
  readonly schedules: number
  readonly preemptions: number
  readonly time: number | undefined
}

const NAMES = scenarios.map(({ name }) => name)

const unknown = (name: string): UsageError =>
  new UsageError(`no scenario is named '${name}'`, didYouMean(name, NAMES) ?? 'umbra check --list shows all')

/** The scenarios of the names, or of their beginnings. @throws UsageError */
function chosen(names: readonly string[]): readonly Scenario[] {
  if (names.length === 0) return scenarios
  const found = new Set<Scenario>()
  for (const name of names) {
    const exact = scenarios.filter((scenario) => scenario.name === name)
    const begun = exact.length > 0 ? exact : scenarios.filter((scenario) => scenario.name.startsWith(name))
    if (begun.length === 0) throw unknown(name)
    for (const scenario of begun) found.add(scenario)
  }
  return [...found]
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

/** The same run again, with its events. */
const recorded = (scenario: Scenario, schedule: Schedule): Promise<Run> =>
  scenario.run(replay(schedule), { record: true })

const digestText = ({ digest }: Run): string => digest.toString(16).padStart(8, '0')

/** Rate and progress on one line of a terminal. */
class Progress {
  private readonly output: Output
  private readonly began = performance.now()
  private lastDraw = 0
  private runs = 0

  constructor(output: Output) {
    this.output = output
    if (this.isShown) output.beforeWrite = () => this.erase()
  }

  ran(scenario: string, place: string, schedules: number): void {
    this.runs++
    const now = performance.now()
    if (!this.isShown || now - this.lastDraw < 100) return
    this.lastDraw = now
    const rate = Math.round((this.runs * 1000) / Math.max(1, now - this.began))
    this.erase()
    this.output.io.stderr.write(`${place} ${scenario}: ${plural(schedules, 'schedule')}, ${countText(rate)} a second`)
  }

  erase(): void {
    if (this.isShown) this.output.io.stderr.write('\r\x1b[K')
  }

  private get isShown(): boolean {
    const { stderr, env } = this.output.io
    return stderr.isTTY === true && env['TERM'] !== 'dumb' && !this.output.json
  }
}

async function printCounterexample(scenario: Scenario, report: ExploreReport, output: Output): Promise<void> {
  const example = report.counterexample!
  const run = await recorded(scenario, decodeSchedule(example.run.schedule))
  const command = `umbra replay ${scenario.name} ${example.run.schedule} --digest ${digestText(run)}`
  const { violation, failure } = run
  const { preemptions, switches, deviations, tried, fewest } = example
  if (output.json) {
    output.object({
      type: 'counterexample',
      scenario: scenario.name,
      invariant: violation?.invariant ?? null,
      what: violation?.what ?? failure?.message,
      schedule: run.schedule,
      digest: digestText(run),
      steps: run.steps,
      preemptions,
      switches,
      deviations,
      fewestPreemptions: fewest,
      tried,
      replay: command,
    })
    return
  }
  const lines = timelineLines(run.trace, violation)
  for (const line of lines) output.line(line)
  if (failure !== null) output.line(`failed: ${failure.message}`)
  const least = fewest ? ', and none is possible with fewer' : ''
  output.line(
    `${plural(run.steps, 'step')}, ${plural(switches, 'switch').replace('switchs', 'switches')}, ` +
      `${plural(preemptions, 'preemption')}${least} (${plural(tried, 'run')} to make it short)`,
  )
  output.line(command)
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

/** Repeats one run and prints it. */
export async function replaySchedule(
  values: { readonly digest: string | undefined },
  operands: readonly string[],
  output: Output,
): Promise<ExitCode> {
  const [name, text] = operands
  const scenario = scenarios.find((each) => each.name === name)
  if (scenario === undefined) throw unknown(name ?? '')
  if (text === undefined) throw new UsageError('u1:... is missing: the schedule to repeat', 'umbra help replay')
  let schedule: Schedule
  try {
    schedule = decodeSchedule(text)
  } catch (error) {
    if (error instanceof KernelError) throw new UsageError(error.message)
    throw error
  }
  const run = await recorded(scenario, schedule)
  const digest = digestText(run)
  const divergence = diverged(run, text, values.digest, digest)
  if (output.json) {
    const { violation, failure, steps } = run
    output.object({
      type: 'replay',
      scenario: scenario.name,
      invariant: violation?.invariant ?? null,
      what: violation?.what ?? failure?.message ?? null,
      steps,
      digest,
      divergence,
    })
  } else {
    for (const line of timelineLines(run.trace, run.violation, { most: Infinity })) output.line(line)
    if (divergence !== null) output.line(`DIVERGED: ${divergence}`)
    else if (run.failure !== null) output.line(`failed: ${run.failure.message}`)
    else if (run.violation === null) output.line(`no violation in this schedule; digest ${digest}`)
  }
  if (divergence !== null || run.failure !== null) return ExitCode.internal
  return run.violation === null ? ExitCode.consistent : ExitCode.violation
}

/** What differs from the recorded run, or null. */
function diverged(run: Run, text: string, expected: string | undefined, digest: string): string | null {
  if (run.failure !== null && /replay diverged/.test(run.failure.message)) return run.failure.message
  if (run.schedule !== text) {
    return `the run took the decisions ${run.schedule}: it ended before the schedule did, or is of another scenario`
  }
  if (expected !== undefined && expected !== digest)
    return `the trace has digest ${digest}, the recorded one ${expected}`
  return null
}
