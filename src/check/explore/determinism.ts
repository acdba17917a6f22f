/**
 * Is a scenario a function of its schedule? Everything that a search says rests on it: a run that cannot be repeated
 * proves nothing, and its schedule replays to something else.
 */
import { bounded, random } from '../../sched/index.ts'
import type { Policy } from '../../sched/index.ts'
import { findingOf } from '../scenario.ts'
import type { Run, Scenario } from '../scenario.ts'
import type { WorldParts } from '../world.ts'

/** What differs between two runs under the same policy. */
function difference(first: Run, second: Run): string | null {
  for (const [index, { event, stamp }] of first.trace.entries()) {
    const other = second.trace[index]
    if (other === undefined) return `the second run ends after ${index} events, the first after ${first.trace.length}`
    const [one, two] = [describe(event, stamp), describe(other.event, other.stamp)]
    if (one !== two) return `event ${index + 1} is ${one} in the first run and ${two} in the second`
  }
  if (second.trace.length > first.trace.length) {
    return `the first run ends after ${first.trace.length} events, the second after ${second.trace.length}`
  }
  if (first.schedule !== second.schedule)
    return `the first run decides ${first.schedule}, the second ${second.schedule}`
  const [one, two] = [findingOf(first), findingOf(second)]
  return one === two
    ? null
    : `the first run ends with ${one ?? 'no violation'}, the second with ${two ?? 'no violation'}`
}

function describe(event: Run['trace'][number]['event'], stamp: Run['trace'][number]['stamp']): string {
  const values = Object.entries(event)
    .filter(([key, value]) => key !== 'name' && typeof value !== 'object')
    .map(([key, value]) => `${key}=${String(value)}`)
  return `${event.name} of ${stamp.task} (${values.join(' ')})`
}

/** Runs the scenario twice under each of a few policies. @returns what differed, or null */
export async function nondeterminismOf(scenario: Scenario, parts: WorldParts = {}): Promise<string | null> {
  const policies: readonly (() => Policy)[] = [() => bounded(), () => random(1, { values: true })]
  for (const policy of policies) {
    const first = await scenario.run(policy(), { record: true, parts })
    const second = await scenario.run(policy(), { record: true, parts })
    const differs = difference(first, second)
    if (differs !== null) return differs
  }
  return null
}
