/**
 * An exhibit: a bug that a real kernel had, standing beside the code that does not have it.
 *
 * R1 The mutant is a subclass or a client of its own; production code knows nothing of it.
 * R2 With the bug the named invariant breaks within `schedules` schedules; without it the same scenario is clean over
 *    as many.
 * R3 A schedule is replayed from its line alone.
 */
import type { Invariant } from '../../base/index.ts'
import { decodeSchedule, pct, random, replay } from '../../sched/index.ts'
import type { Policy } from '../../sched/index.ts'
import type { Run, Scenario } from '../scenario.ts'
import type { Violation } from '../violation.ts'
import type { WorldParts } from '../world.ts'

export const FAMILIES = ['lifetime', 'retry', 'order', 'flush', 'tables', 'bookkeeping', 'context'] as const
/** A room of docs/museum.md. */
export type Family = (typeof FAMILIES)[number]

export interface Fix {
  readonly commit: string
  readonly subject: string
  /** First release with it. */
  readonly version: string
}

export interface Exhibit {
  readonly name: string
  /** Its place in the collection: 1 is the subject of the whole. Relatives share a rank. */
  readonly rank: number
  readonly family: Family
  /** The commit that repaired it, or that it is known by; null for a relative that no kernel is known to have had. */
  readonly fix: Fix | null
  readonly story: readonly string[]
  /** Linux's lines, side by side. */
  readonly correct: readonly string[]
  readonly historical: readonly string[]
  /** The invariant that must break. */
  readonly breaks: Invariant
  /** Schedules within which it does. */
  readonly schedules: number
  /** The next exhibit of a chain: the bug that this one's repair led to. */
  readonly leadsTo?: string
  readonly scenario: Scenario
  /** What has the bug: parts of the world, or the scenario with a client that has it. */
  readonly bug: WorldParts | Scenario
}

/** Ordered events that a schedule of the first kind looks for, and the length that its changes lie within. */
const DEPTH = 3
const LENGTH = 60

/** Two kinds of schedule in turn: few changes of priority, and a stop at every few points. */
const policyOf = (seed: number): Policy =>
  seed % 2 === 1 ? pct(seed, DEPTH, LENGTH) : random(seed, { period: 2 + (seed % 7) })

const isScenario = (bug: WorldParts | Scenario): bug is Scenario => 'run' in bug

/** The scenario of an exhibit as its bug would have it, for a search of one's own. */
export function withBug({ bug, scenario }: Exhibit): Scenario {
  if (isScenario(bug)) return bug
  return { ...scenario, run: (policy, options) => scenario.run(policy, { ...options, parts: bug }) }
}

/** One run of an exhibit, with its bug or without. @throws what ended the run and is no violation */
async function runExhibit(exhibit: Exhibit, isBuggy: boolean, policy: Policy): Promise<Run> {
  const run = await (isBuggy ? withBug(exhibit) : exhibit.scenario).run(policy)
  if (run.failure !== null) throw run.failure
  return run
}

/** A schedule under which the bug shows. */
export interface Catch {
  /** Schedules tried, this one included. */
  readonly schedules: number
  /** `u1:...` */
  readonly schedule: string
  readonly violation: Violation
}

/** Looks for the bug: the first schedule under which the named invariant breaks, or null. */
export async function huntExhibit(exhibit: Exhibit, most: number = exhibit.schedules): Promise<Catch | null> {
  for (let seed = 1; seed <= most; seed++) {
    const { violation, schedule } = await runExhibit(exhibit, true, policyOf(seed))
    if (violation?.invariant === exhibit.breaks) return { schedules: seed, schedule, violation }
  }
  return null
}

/** Replays a line with the bug. @returns the violation, or null */
export async function replayExhibit(exhibit: Exhibit, schedule: string): Promise<Violation | null> {
  return (await runExhibit(exhibit, true, replay(decodeSchedule(schedule)))).violation
}

/** The same scenario without the bug, over the same seeds. @returns the first violation of any invariant, or null */
export async function clearExhibit(exhibit: Exhibit, most: number = exhibit.schedules): Promise<Violation | null> {
  for (let seed = 1; seed <= most; seed++) {
    const { violation } = await runExhibit(exhibit, false, policyOf(seed))
    if (violation !== null) return violation
  }
  return null
}
