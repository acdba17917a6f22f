/** Prints a run that broke something, writes its file, and prints the line that repeats it. */
import type { Finding, Scenario } from '../check/index.ts'
import { decodeSchedule } from '../sched/index.ts'
import { plural, timelineLines } from '../view/index.ts'
import type { Output } from './output.ts'
import { annotate, digestText } from './steps.ts'
import { replayCommand, writeViolation } from './violation-file.ts'

/**
 * The timeline, what is known about its length, the file and the command.
 * @param folder where the file goes
 */
export async function printCounterexample(
  scenario: Scenario,
  finding: Finding,
  folder: string,
  output: Output,
): Promise<void> {
  const annotated = await annotate(scenario, decodeSchedule(finding.schedule))
  const { run, steps, race, withoutCalls, failedAt } = annotated
  const digest = digestText(run)
  const { schedule, invariant, what, preemptions, switches, deviations, tried, fewest } = finding
  const command = replayCommand(scenario.name, schedule, digest)
  const file = writeViolation(folder, scenario, annotated)
  if (output.json) {
    output.object({
      type: 'counterexample',
      scenario: scenario.name,
      invariant,
      what,
      failedAt,
      schedule,
      digest,
      steps: run.steps,
      preemptions,
      switches,
      deviations,
      fewestPreemptions: fewest,
      tried,
      race: race?.map((at) => at + 1) ?? null,
      file,
      replay: command,
    })
    return
  }
  const { violation, failure } = run
  for (const line of timelineLines(steps, violation, { race })) output.line(line)
  if (failure !== null) output.line(`failed${failedAt === null ? '' : ` at ${failedAt}`}: ${failure.message}`)
  if (withoutCalls !== null) output.line(`calls and locals are not known: ${withoutCalls}`)
  const least = fewest ? ', and none is possible with fewer' : ''
  output.line(
    `${plural(run.steps, 'step')}, ${plural(switches, 'switch').replace('switchs', 'switches')}, ` +
      `${plural(preemptions, 'preemption')}${least} (${plural(tried, 'run')} to make it short)`,
  )
  output.line(`written to ${file}`)
  output.line(command)
}
