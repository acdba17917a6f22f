/** What ends a run of a scenario and is no violation: a mistake in the scenario, named with its place. */
import { TaskFailure } from '../sched/index.ts'

/** Frames of the rooms below a scenario: a place in them is not where the mistake is. */
const OWN = /[/\\]src[/\\](?:base|sched|hardware|notifier|host|mmu|guest)[/\\]/

/** `file:line:column` of the innermost frame that is not Umbra's own, or null. */
function placeOf(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  for (const line of error.stack?.split('\n') ?? []) {
    const place = /^ +at (?:async )?(?:.*\()?(?<place>[^()\s]+:\d+:\d+)\)?$/.exec(line)?.groups?.['place']
    if (place !== undefined && !place.startsWith('node:') && !OWN.test(place)) return place.replace('file://', '')
  }
  return null
}

export class ScenarioFailure extends Error {
  /** @param stage what was going on; in the other two than `tasks` the scenario is alone with its world */
  constructor(stage: 'setup' | 'tasks' | 'end', error: unknown) {
    const cause = error instanceof TaskFailure ? error.cause : error
    const why = cause instanceof Error ? cause.message : String(cause)
    const who = error instanceof TaskFailure && stage === 'tasks' ? `task ${error.task}` : stage
    const place = placeOf(cause)
    super(`${who} failed: ${why}${place === null ? '' : `, at ${place}`}`, { cause: error })
    this.name = 'ScenarioFailure'
  }
}
