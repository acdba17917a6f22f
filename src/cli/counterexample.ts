/** Prints a run that broke something, and the line that repeats it. */
import type { Finding, Run, Scenario } from '../check/index.ts'
import { decodeSchedule, replay } from '../sched/index.ts'
import type { Schedule } from '../sched/index.ts'
import { plural, timelineLines } from '../view/index.ts'
import type { Output } from './output.ts'

/** The same run again, with its events. */
export const recorded = (scenario: Scenario, schedule: Schedule): Promise<Run> =>
  scenario.run(replay(schedule), { record: true })

/** Of its trace. */
export const digestText = ({ digest }: Run): string => digest.toString(16).padStart(8, '0')

/** The timeline, what is known about its length, and the command. */
export async function printCounterexample(scenario: Scenario, finding: Finding, output: Output): Promise<void> {
  const run = await recorded(scenario, decodeSchedule(finding.schedule))
  const digest = digestText(run)
  const { schedule, invariant, what, preemptions, switches, deviations, tried, fewest } = finding
  const command = `umbra replay ${scenario.name} ${schedule} --digest ${digest}`
  if (output.json) {
    output.object({
      type: 'counterexample',
      scenario: scenario.name,
      invariant,
      what,
      schedule,
      digest,
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
  const { violation, failure } = run
  for (const line of timelineLines(run.trace, violation)) output.line(line)
  if (failure !== null) output.line(`failed: ${failure.message}`)
  const least = fewest ? ', and none is possible with fewer' : ''
  output.line(
    `${plural(run.steps, 'step')}, ${plural(switches, 'switch').replace('switchs', 'switches')}, ` +
      `${plural(preemptions, 'preemption')}${least} (${plural(tried, 'run')} to make it short)`,
  )
  output.line(command)
}
