/**
 * All schedules of a scenario within a number of preemptions, one run each (iterative context bounding, Musuvathi and
 * Qadeer, PLDI 2007): most bugs need one or two preemptions, and there are few such schedules.
 *
 * A preemption stops a task that could go on. Who runs when a task blocks, ends or yields, and the values of open
 * choices, are free: every possibility is tried.
 *
 * R1 Depth first over recorded decisions: a run repeats a prefix, answers one decision differently, then takes defaults.
 * R2 Unfair answers are left out: a task that waits in a loop would have endless schedules.
 */
import { bounded } from '../../sched/index.ts'
import type { Taken } from '../../sched/index.ts'
import { findingOf } from '../scenario.ts'
import type { Run, Scenario } from '../scenario.ts'
import { runOptionsOf } from './hunt.ts'
import type { SearchOptions, SearchResult } from './hunt.ts'
import { partExplored } from './remaining.ts'

export interface BoundedOptions extends SearchOptions {
  /** Preemptions in one schedule, at most. Default 2. */
  readonly preemptions?: number
  /** Runs at most, over all bounds. Default: no limit. */
  readonly schedules?: number
}

export interface BoundedResult extends SearchResult {
  /** The largest bound that was exhausted, or -1. */
  readonly exhausted: number
  /** Schedules within that bound. */
  readonly within: number
}

const costOf = (kind: Taken['kind'], choice: number): number => (kind === 'point' && choice > 0 ? 1 : 0)

/** The plan of the next run within the bound, or null when none is left. */
export function nextPlan(taken: readonly Taken[], bound: number): number[] | null {
  const spent: number[] = [0]
  for (const { kind, choice } of taken) spent.push(spent.at(-1)! + costOf(kind, choice))
  for (let i = taken.length - 1; i >= 0; i--) {
    const { kind, count, unfair, choice } = taken[i]!
    let next = choice + 1
    while (next < count && (unfair & (1 << next)) !== 0) next++
    if (next < count && spent[i]! + costOf(kind, next) <= bound) {
      return [...taken.slice(0, i).map((each) => each.choice), next]
    }
  }
  return null
}

/** Runs still to be made within the bound, by what the tree so far has taken. */
function left(taken: readonly Taken[], bound: number, made: number): number {
  const explored = partExplored(taken, bound)
  return explored > 0 ? Math.round(made / explored) - made : Infinity
}

/** Tries bound 0, then 1, and so on. */
export async function searchBounded(scenario: Scenario, options: BoundedOptions = {}): Promise<BoundedResult> {
  const most = options.schedules ?? Infinity
  const top = options.preemptions ?? 2
  let schedules = 0
  let exhausted = -1
  let within = 0
  const result = (found: Run | null): BoundedResult => ({
    schedules,
    found,
    complete: exhausted === top,
    exhausted,
    within,
  })
  for (let bound = 0; bound <= top; bound++) {
    let inBound = 0
    for (let plan: number[] | null = []; plan !== null;) {
      if (schedules >= most || options.stop?.() === true) return result(null)
      const policy = bounded(plan)
      const run = await scenario.run(policy, runOptionsOf(options))
      schedules++
      inBound++
      options.onRun?.(schedules, () => Math.min(most - schedules, left(policy.taken, bound, inBound)))
      if (findingOf(run) !== null) return result(run)
      plan = nextPlan(policy.taken, bound)
    }
    exhausted = bound
    within = inBound
  }
  return result(null)
}
