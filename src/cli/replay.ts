/**
 * `umbra replay`: one run of a scenario again.
 *
 * R1 A replay is the same run, or it says so: a schedule that asks for what is not possible, and a trace with another
 *    digest, end with exit code 4.
 */
import { KernelError } from '../base/index.ts'
import type { Run } from '../check/index.ts'
import { decodeSchedule } from '../sched/index.ts'
import type { Schedule } from '../sched/index.ts'
import { timelineLines } from '../view/index.ts'
import { digestText, recorded } from './counterexample.ts'
import { ExitCode } from './exit-code.ts'
import { UsageError } from './options.ts'
import type { Output } from './output.ts'
import { scenarioNamed } from './scenario-names.ts'

/** Repeats one run and prints it. */
export async function replaySchedule(
  values: { readonly digest: string | undefined },
  operands: readonly string[],
  output: Output,
): Promise<ExitCode> {
  const [name, text] = operands
  const scenario = await scenarioNamed(name ?? '')
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
