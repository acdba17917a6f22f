/**
 * A scenario of the user's own must be a function of its decisions: it is run twice and compared before it is explored.
 *
 * R1 What differs is named: the scenario, the first step, and the lines that it came from.
 */
import type { RecordedEvent, Run, Scenario } from '../check/index.ts'
import { decodeSchedule, random, replay } from '../sched/index.ts'
import type { Policy } from '../sched/index.ts'
import { eventText } from '../view/index.ts'
import { UsageError } from './options.ts'
import { SourceLines } from './steps.ts'

interface Told {
  readonly run: Run
  readonly sources: readonly (string | null)[]
}

async function tell(scenario: Scenario, policy: Policy): Promise<Told> {
  const lines = new SourceLines()
  const sources: (string | null)[] = []
  const run = await scenario.run(policy, { record: true, watch: () => void sources.push(lines.ofCaller()) })
  return { run, sources }
}

const stepText = (step: RecordedEvent | undefined, source: string | null | undefined): string =>
  step === undefined ? 'the end' : `${step.stamp.task}: ${eventText(step.event)} (${source ?? 'no line'})`

/** @throws UsageError when two runs with the same decisions differ */
export async function checkRepeatable(scenario: Scenario): Promise<void> {
  const first = await tell(scenario, random(1))
  const second = await tell(scenario, replay(decodeSchedule(first.run.schedule)))
  if (first.run.digest === second.run.digest) return
  const length = Math.max(first.run.trace.length, second.run.trace.length)
  for (let at = 0; at < length; at++) {
    const [was, is] = [first, second].map(({ run, sources }) => stepText(run.trace[at], sources[at]))
    if (was === is) continue
    throw new UsageError(
      `'${scenario.name}' is not deterministic: two runs with the same decisions differ at step ${at + 1}: ${was}, then ${is}`,
      'keep nothing between runs, and take no time, no random number and nothing else from outside',
    )
  }
}
