/**
 * The trial of exhibits: with the bug its shortest schedule as a race and a line that repeats it, without it the verdict.
 *
 * R1 A line that is printed has been replayed before.
 */
import { KernelError } from '../../base/index.ts'
import { exhibits, replayExhibit, tryExhibit } from '../../check/index.ts'
import type { Exhibit, Shortest, Trial } from '../../check/index.ts'
import { plural, violationLines } from '../../view/index.ts'
import { ExitCode } from '../exit-code.ts'
import { UsageError } from '../options.ts'
import type { Output } from '../output.ts'
import { clearByProof } from './clear.ts'
import { printRace } from './show.ts'

const commandOf = (exhibit: Exhibit, schedule: string): string => `umbra museum replay ${exhibit.name} ${schedule}`

function lengthText({ run, preemptions, switches, tried, least, fewest }: Shortest): string {
  const known = least ? 'none is shorter' : fewest ? 'none has fewer preemptions' : 'the shortest that was found'
  const swapped = `${switches} ${switches === 1 ? 'switch' : 'switches'}`
  return `${plural(run.steps, 'step')}, ${swapped}, ${plural(preemptions, 'preemption')}: ${known} (${plural(tried, 'run')})`
}

/** Tries one exhibit and prints what came out. @returns true when it holds */
export async function runOne(exhibit: Exhibit, output: Output, brief = false): Promise<boolean> {
  const trial = await tryExhibit(exhibit, clearByProof)
  if (output.json) printObject(trial, output)
  else if (brief && trial.holds) printBrief(trial, output)
  else print(trial, output)
  return trial.holds
}

function printObject({ exhibit, found, shortest, replays, clearance, holds }: Trial, output: Output): void {
  const { name, breaks } = exhibit
  output.object({
    type: 'museum-run',
    name,
    breaks,
    foundAfter: found?.schedules ?? null,
    schedule: shortest?.run.schedule ?? null,
    what: shortest?.run.violation?.what ?? null,
    steps: shortest?.run.steps ?? null,
    switches: shortest?.switches ?? null,
    preemptions: shortest?.preemptions ?? null,
    leastOfAll: shortest?.least ?? false,
    replays,
    without: clearance.verdict,
    violationWithoutBug: clearance.violation?.what ?? null,
    holds,
  })
}

function printBrief({ exhibit, found, shortest, clearance }: Trial, output: Output): void {
  const after = `found by schedule ${found!.schedules}`
  const length = `${shortest!.run.steps} steps, ${plural(shortest!.preemptions, 'preemption')}`
  output.line(
    `${exhibit.name.padEnd(34)} ${exhibit.breaks.padEnd(4)} ${after}; shortest: ${length}, ${shortest!.run.schedule}`,
  )
  output.line(`${' '.repeat(39)} without it: ${clearance.verdict}`)
}

function print({ exhibit, found, shortest, replayed, replays, clearance }: Trial, output: Output): void {
  const { bold, green, red } = output.chalk
  output.line(bold(exhibit.name))
  if (found === null || shortest === null || replayed === null) {
    output.line(red(`with the bug: ${exhibit.breaks} did not break in ${plural(exhibit.schedules, 'schedule')}`))
  } else {
    output.line(`with the bug: found by schedule ${found.schedules}; the shortest:`)
    printRace(exhibit, replayed, output)
    output.line(lengthText(shortest))
    const { preemptions, steps } = exhibit.shortest
    if (shortest.preemptions > preemptions || shortest.run.steps > steps) {
      output.line(red(`longer than stated: ${plural(steps, 'step')}, ${plural(preemptions, 'preemption')}`))
    }
    output.line(replays ? commandOf(exhibit, shortest.run.schedule) : red('the schedule does not replay'))
  }
  if (clearance.violation === null) output.line(green(`without it: ${clearance.verdict}`))
  else for (const line of violationLines(clearance.violation)) output.line(red(`without it: ${line}`))
}

/** Tries them all: two lines for each that holds. */
export async function runAll(output: Output): Promise<ExitCode> {
  let held = 0
  for (const exhibit of exhibits) if (await runOne(exhibit, output, true)) held++
  if (output.json) output.object({ type: 'museum', exhibits: exhibits.length, held })
  else output.line(`${held} of ${exhibits.length} bugs found, and gone without the bug`)
  return held === exhibits.length ? ExitCode.consistent : ExitCode.violation
}

/** One run with the bug again. @throws UsageError for a schedule that is none, or that is of another scenario */
export async function replayLine(exhibit: Exhibit, schedule: string | undefined, output: Output): Promise<ExitCode> {
  if (schedule === undefined) {
    throw new UsageError('u1:... is missing: the schedule to repeat', `umbra museum run ${exhibit.name} prints one`)
  }
  const run = await replayExhibit(exhibit, schedule).catch((error: unknown) => {
    throw error instanceof KernelError ? new UsageError(error.message) : error
  })
  const { failure, violation, steps } = run
  const diverged = failure?.message ?? (run.schedule === schedule ? null : `the run took the decisions ${run.schedule}`)
  if (output.json) {
    const what = violation?.what ?? null
    output.object({
      type: 'replay',
      exhibit: exhibit.name,
      invariant: violation?.invariant ?? null,
      what,
      steps,
      diverged,
    })
  } else {
    printRace(exhibit, run, output)
    if (diverged !== null) output.line(`DIVERGED: ${diverged}`)
    else if (violation === null) output.line('no violation in this schedule')
  }
  if (diverged !== null) return ExitCode.internal
  return violation === null ? ExitCode.consistent : ExitCode.violation
}
