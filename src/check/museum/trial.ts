/**
 * The trial of an exhibit: found with the bug, told by its shortest schedule, replayed from its line, and gone without
 * the bug.
 *
 * R1 A hunt is PCT of one depth and nothing else: what it needs is a property of the bug and its scenario.
 * R2 PCT spreads its changes over the switch points that the tasks have when each of them meets another that could run.
 */
import { decodeSchedule, pct, replay } from '../../sched/index.ts'
import { boundedVerdict, searchBounded, shortest, switchPoints } from '../explore/index.ts'
import type { Shortest, ShortestOptions } from '../explore/index.ts'
import type { Run, Scenario } from '../scenario.ts'
import type { Violation } from '../violation.ts'
import { withBug } from './exhibit.ts'
import type { Exhibit } from './exhibit.ts'

/** Ordered events that a schedule looks for. */
const DEPTH = 3
/** Keeps the schedules of two seeds apart. */
const SEED_STRIDE = 1_000_003

/** A schedule under which the bug shows. */
export interface Catch {
  /** Schedules tried, this one included. */
  readonly schedules: number
  readonly run: Run
}

export interface HuntExhibitOptions {
  /** Default 1. */
  readonly seed?: number
  /** Schedules at most. Default: what the exhibit states. */
  readonly most?: number
}

/**
 * Looks for the bug: the first schedule under which the named invariant breaks, or null.
 * @throws what ended a run and is no violation
 */
export async function huntExhibit(exhibit: Exhibit, options: HuntExhibitOptions = {}): Promise<Catch | null> {
  const points = await switchPoints(exhibit.scenario)
  const wanted = { seed: options.seed ?? 1, most: options.most ?? exhibit.schedules, points }
  const { run, schedules } = await huntFor(withBug(exhibit), wanted, ({ invariant }) => invariant === exhibit.breaks)
  return run === null ? null : { run, schedules }
}

/** What a hunt came to: the run, or null after so many schedules. */
interface Hunted {
  readonly run: Run | null
  readonly schedules: number
}

/** Looks for a violation of any invariant. */
export async function huntAny(scenario: Scenario, options: { readonly most: number }): Promise<Hunted> {
  const points = await switchPoints(scenario)
  return huntFor(scenario, { seed: 1, most: options.most, points }, () => true)
}

async function huntFor(
  scenario: Scenario,
  { seed, most, points }: { readonly seed: number; readonly most: number; readonly points: number },
  isIt: (violation: Violation) => boolean,
): Promise<Hunted> {
  for (let schedules = 1; schedules <= most; schedules++) {
    const run = await scenario.run(pct(seed * SEED_STRIDE + schedules, DEPTH, points))
    if (run.failure !== null) throw run.failure
    if (run.violation !== null && isIt(run.violation)) return { schedules, run }
  }
  return { schedules: most, run: null }
}

/** Replays a line with the bug, with its events. */
export async function replayExhibit(exhibit: Exhibit, schedule: string): Promise<Run> {
  const scenario = withBug(exhibit)
  return scenario.run(replay(decodeSchedule(schedule)), { record: true })
}

/** The shortest schedule that shows the bug. */
export async function shortestOf(exhibit: Exhibit, found: Run, options: ShortestOptions = {}): Promise<Shortest> {
  const scenario = withBug(exhibit)
  return shortest(scenario, found, options)
}

/** What is known of a scenario without the bug. */
export interface Clearance {
  /** In exact words. */
  readonly verdict: string
  /** Runs made. */
  readonly schedules: number
  readonly violation: Violation | null
  /** It covers what the exhibit claims. */
  readonly complete: boolean
}

/** Clears a scenario without its bug, as far as the exhibit claims. */
export type Clear = (exhibit: Exhibit) => Promise<Clearance>

/** Runs every schedule within the preemptions that the exhibit states, or fewer. */
export async function clearWithinBound(exhibit: Exhibit, most: number = Infinity): Promise<Clearance> {
  const result = await searchBounded(exhibit.scenario, { preemptions: Math.min(most, exhibit.cleanWithin ?? 2) })
  if (result.found?.failure != null) throw result.found.failure
  const violation = result.found?.violation ?? null
  const verdict = violation === null ? boundedVerdict(result) : `${violation.invariant} violated`
  return { verdict, schedules: result.schedules, violation, complete: result.complete }
}

/** What a trial came to. */
export interface Trial {
  readonly exhibit: Exhibit
  readonly found: Catch | null
  /** Null when the bug was not found. */
  readonly shortest: Shortest | null
  /** The shortest run again, from its line. */
  readonly replayed: Run | null
  /** It was the same run. */
  readonly replays: boolean
  readonly clearance: Clearance
  /** The bug is found as stated, its shortest schedule is as short as stated and replays, and without it all is clean. */
  readonly holds: boolean
}

/** Tries an exhibit. */
export async function tryExhibit(exhibit: Exhibit, clear: Clear = (each) => clearWithinBound(each)): Promise<Trial> {
  const found = await huntExhibit(exhibit)
  const short = found === null ? null : await shortestOf(exhibit, found.run)
  const replayed = short === null ? null : await replayExhibit(exhibit, short.run.schedule)
  const clearance = await clear(exhibit)
  const replays =
    short !== null &&
    replayed !== null &&
    replayed.violation?.what === short.run.violation?.what &&
    replayed.schedule === short.run.schedule
  const isShort =
    short !== null && short.preemptions <= exhibit.shortest.preemptions && short.run.steps <= exhibit.shortest.steps
  const holds = replays && isShort && clearance.complete && clearance.violation === null
  return { exhibit, found, shortest: short, replayed, replays, clearance, holds }
}
