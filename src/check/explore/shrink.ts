/**
 * Makes a failing schedule short: fewer preemptions first, then fewer switches, then fewer decisions.
 *
 * A schedule is told as segments - this task for so many decisions, then that one - and parts are left out or brought
 * together as long as the same invariant breaks. An answer that is no longer possible is passed over, so that what is
 * left still means something.
 *
 * R1 The result was run: its schedule replays, whatever was tried on the way.
 */
import { bounded, decodeSchedule, inSegments } from '../../sched/index.ts'
import type { TaskSegment, Steered, Taken } from '../../sched/index.ts'
import { findingOf } from '../scenario.ts'
import type { Run, Scenario } from '../scenario.ts'
import { searchBounded } from './bounded-search.ts'
import { runOptionsOf } from './hunt.ts'
import type { SearchOptions } from './hunt.ts'

/** A failing run, and what it took. */
export interface Counterexample {
  readonly run: Run
  /** Times that a task was stopped although it could go on. */
  readonly preemptions: number
  /** Times that another task went on, for whatever reason. */
  readonly switches: number
  /** Decisions that were not the default: the length of the schedule. */
  readonly deviations: number
  /** Decisions in all. */
  readonly decisions: number
  /** Runs made to get here. */
  readonly tried: number
  /** Every schedule with fewer preemptions was run, and none breaks anything. */
  readonly fewest: boolean
}

export interface ShrinkOptions extends SearchOptions {
  /** Runs at most. Default 400. */
  readonly tries?: number
}

/** A run and the decisions that made it. */
export interface Attempt {
  readonly run: Run
  readonly taken: readonly Taken[]
}

/** What a schedule costs. */
export type Cost = Pick<Counterexample, 'preemptions' | 'switches' | 'deviations' | 'decisions'>

function segmentsOf(taken: readonly Taken[]): TaskSegment[] {
  const segments: { task: string; decisions: number }[] = []
  for (const { kind, to } of taken) {
    if (kind === 'value' || kind === 'cpu') continue
    const last = segments.at(-1)
    if (last?.task === to) last.decisions++
    else segments.push({ task: to, decisions: 1 })
  }
  return segments
}

const valuesOf = (taken: readonly Taken[]): number[] =>
  taken.filter(({ kind }) => kind === 'value').map(({ choice }) => choice)

/** Counts the decisions of a run. */
export function costOf({ taken }: Attempt): Cost {
  return {
    preemptions: taken.filter(({ kind, choice }) => kind === 'point' && choice > 0).length,
    switches: Math.max(0, segmentsOf(taken).length - 1),
    deviations: taken.filter(({ choice }) => choice > 0).length,
    decisions: taken.length,
  }
}

function isShorter(a: Attempt, b: Attempt): boolean {
  const [x, y] = [costOf(a), costOf(b)]
  for (const key of ['preemptions', 'switches', 'deviations', 'decisions'] as const) {
    if (x[key] !== y[key]) return x[key] < y[key]
  }
  return false
}

class Shrinker {
  tried = 0
  best: Attempt
  private readonly scenario: Scenario
  private readonly options: ShrinkOptions
  private readonly finding: string

  constructor(scenario: Scenario, first: Attempt, options: ShrinkOptions) {
    this.scenario = scenario
    this.best = first
    this.options = options
    this.finding = findingOf(first.run)!
  }

  get isOver(): boolean {
    return this.tried >= (this.options.tries ?? 400) || this.options.stop?.() === true
  }

  /** Runs a plan; keeps it when it breaks the same invariant in a shorter way. */
  async attempt(policy: Steered): Promise<boolean> {
    this.tried++
    const run = await this.scenario.run(policy, runOptionsOf(this.options))
    if (findingOf(run) !== this.finding) return false
    const attempt = { run, taken: policy.taken }
    if (!isShorter(attempt, this.best)) return false
    this.best = attempt
    return true
  }

  /** Leaves out runs of segments, long ones first. */
  async dropSegments(): Promise<boolean> {
    let better = false
    for (let size = segmentsOf(this.best.taken).length >> 1; size >= 1; size >>= 1) {
      for (let at = 0; !this.isOver;) {
        const segments = segmentsOf(this.best.taken)
        if (at + size > segments.length) break
        const rest = [...segments.slice(0, at), ...segments.slice(at + size)]
        if (await this.attempt(inSegments(rest, valuesOf(this.best.taken)))) better = true
        else at += size
      }
    }
    return better
  }

  /** Brings a segment together with the one before of the same task. */
  async mergeSegments(): Promise<boolean> {
    let better = false
    for (let at = 2; !this.isOver;) {
      const segments = segmentsOf(this.best.taken)
      if (at >= segments.length) break
      const before = segments.findLastIndex(({ task }, index) => index < at && task === segments[at]!.task)
      if (before >= 0) {
        const merged = segments.filter((_, index) => index !== at)
        const decisions = segments[before]!.decisions + segments[at]!.decisions
        merged[before] = { task: segments[at]!.task, decisions }
        if (await this.attempt(inSegments(merged, valuesOf(this.best.taken)))) {
          better = true
          continue
        }
      }
      at++
    }
    return better
  }

  /** Takes the default instead of a deviation. */
  async dropDeviations(): Promise<boolean> {
    let better = false
    for (let at = this.best.taken.length - 1; at >= 0 && !this.isOver; at--) {
      if ((this.best.taken[at]?.choice ?? 0) === 0) continue
      const plan = this.best.taken.map(({ choice }, index) => (index === at ? 0 : choice))
      if (await this.attempt(bounded(plan))) better = true
    }
    return better
  }
}

/** The answers of a schedule by the number of the decision. */
export function planOf(schedule: string): number[] {
  const plan: number[] = []
  const { deviations } = decodeSchedule(schedule)
  for (let i = 0; i < deviations.length; i += 2) {
    while (plan.length < deviations[i]!) plan.push(0)
    plan.push(deviations[i + 1]!)
  }
  return plan
}

/** Shrinks a failing run, then looks for one with fewer preemptions. */
export async function shrink(scenario: Scenario, found: Run, options: ShrinkOptions = {}): Promise<Counterexample> {
  const policy = bounded(planOf(found.schedule))
  const run = await scenario.run(policy, runOptionsOf(options))
  const first = { run: findingOf(run) === findingOf(found) ? run : found, taken: policy.taken }
  const shrinker = new Shrinker(scenario, first, options)
  for (let better = true; better && !shrinker.isOver;) {
    const dropped = await shrinker.dropSegments()
    const merged = await shrinker.mergeSegments()
    const defaulted = await shrinker.dropDeviations()
    better = dropped || merged || defaulted
  }
  const { preemptions } = costOf(shrinker.best)
  let fewest = preemptions === 0
  if (!fewest && options.stop?.() !== true) {
    const tries = options.tries ?? 400
    const search = await searchBounded(scenario, { ...options, preemptions: preemptions - 1, schedules: tries })
    shrinker.tried += search.schedules
    fewest = search.complete
    if (search.found !== null) {
      const best = bounded(planOf(search.found.schedule))
      await shrinker.attempt(best)
      fewest = search.exhausted === costOf(shrinker.best).preemptions - 1
    }
  }
  return { run: shrinker.best.run, ...costOf(shrinker.best), tried: shrinker.tried, fewest }
}
