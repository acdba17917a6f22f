/**
 * `umbra replay`: one run of a scenario again, or its state at one step.
 *
 * R1 A replay is the same run, or it says so: a schedule that asks for what is not possible, and a trace with another
 *    digest, end with exit code 4 and the first step that differs, where that is known.
 * R2 A file that other code recorded is repeated all the same, and said to be one.
 */
import type { Run } from '../check/index.ts'
import { timelineLines } from '../view/index.ts'
import { ExitCode } from './exit-code.ts'
import { UsageError } from './options.ts'
import type { Output } from './output.ts'
import { codeHash } from './result-file.ts'
import { scenarioNamed } from './scenario-names.ts'
import { unseal } from './sealed-schedule.ts'
import { VIEW_NAMES, stateAt } from './state-at.ts'
import { annotate, digestText } from './steps.ts'
import { firstDifference, readViolation, writeViolation } from './violation-file.ts'
import type { ViolationFile } from './violation-file.ts'

export interface ReplayValues {
  readonly digest: string | undefined
  readonly until: number | undefined
  readonly show: string
  readonly out: string | undefined
}

/** What is to be repeated. */
interface Asked {
  readonly name: string
  /** With or without a seal. */
  readonly line: string
  readonly digest: string | undefined
  /** The file that it comes from, or null. */
  readonly file: ViolationFile | null
}

function asked(operands: readonly string[], digest: string | undefined): Asked {
  const [first = '', line] = operands
  if (line !== undefined) return { name: first, line, digest, file: null }
  if (!first.endsWith('.json')) {
    throw new UsageError('u1:... is missing: the schedule to repeat', 'umbra help replay')
  }
  const file = readViolation(first)
  return { name: file.scenario, line: file.schedule, digest: digest ?? file.digest, file }
}

/** Repeats one run and prints it. */
export async function replaySchedule(
  values: ReplayValues,
  operands: readonly string[],
  output: Output,
): Promise<ExitCode> {
  const { name, line, digest: expected, file } = asked(operands, values.digest)
  const isOtherCode = file !== null && file.code !== codeHash([file.scenario])
  if (isOtherCode && !output.json) {
    output.note(`umbra: '${operands[0]}' was recorded with other code than this: the run may be another one`)
  }
  const scenario = await scenarioNamed(name)
  const { text, schedule } = await unseal(name, line)
  if (values.until !== undefined)
    return show(values, await stateAt(name, schedule, values.until, shownIn(values)), output)
  const annotated = await annotate(scenario, schedule)
  const { run, steps, race } = annotated
  const digest = digestText(run)
  const divergence = diverged(run, text, expected, digest) ?? null
  const where = divergence === null || file === null ? null : firstDifference(file, annotated)
  if (output.json) {
    const { violation, failure } = run
    output.object({
      type: 'replay',
      scenario: name,
      invariant: violation?.invariant ?? null,
      what: violation?.what ?? failure?.message ?? null,
      steps: run.steps,
      digest,
      race: race?.map((at) => at + 1) ?? null,
      divergence: where ?? divergence,
      otherCode: isOtherCode,
    })
  } else {
    for (const each of timelineLines(steps, run.violation, { most: Infinity, race })) output.line(each)
    if (divergence !== null) output.line(`DIVERGED: ${divergence}${where === null ? '' : `; ${where}`}`)
    else if (run.failure !== null) output.line(`failed: ${run.failure.message}`)
    else if (run.violation === null) output.line(`no violation in this schedule; digest ${digest}`)
  }
  if (values.out !== undefined) {
    const path = writeViolation(values.out, scenario, annotated)
    if (!output.json) output.line(`written to ${path}`)
  }
  if (divergence !== null || run.failure !== null) return ExitCode.internal
  return run.violation === null ? ExitCode.consistent : ExitCode.violation
}

/** @throws UsageError */
function shownIn({ show: list }: ReplayValues): readonly string[] {
  const names = list.split(',')
  const wrong = names.find((name) => !VIEW_NAMES.includes(name))
  if (wrong !== undefined) throw new UsageError(`--show: '${wrong}' is none of ${VIEW_NAMES.join(', ')}`)
  return names
}

function show({ until }: ReplayValues, states: Awaited<ReturnType<typeof stateAt>>, output: Output): ExitCode {
  for (const [at, { name, lines }] of states.entries()) {
    if (output.json) {
      output.object({ type: 'state', step: until, view: name, lines })
      continue
    }
    if (at > 0) output.line()
    output.line(output.chalk.bold(`${name} after step ${until}`))
    for (const line of lines) output.line(line)
  }
  return ExitCode.consistent
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
