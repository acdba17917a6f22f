/**
 * A shortest schedule that breaks an invariant: the fewest preemptions, then the fewest switches, then the fewest steps.
 *
 * R1 Breadth first over preemptions: a bound is searched whole before the next, so that the first that breaks is least.
 * R2 Within that bound every schedule is run, as far as the number of runs allows; the result says whether it was.
 */
import { bounded } from '../../sched/index.ts'
import { findingOf } from '../scenario.ts'
import type { Run, Scenario } from '../scenario.ts'
import { nextPlan } from './bounded-search.ts'
import { costOf, planOf, shrink } from './shrink.ts'
import type { Attempt, Counterexample, ShrinkOptions } from './shrink.ts'

export interface Shortest extends Counterexample {
  /** Every schedule with as few preemptions was run: none is shorter. */
  readonly least: boolean
}

export interface ShortestOptions extends ShrinkOptions {
  /** Runs at most after it was shrunk. Default 1,500. */
  readonly runs?: number
}

function isShorter(a: Attempt, b: Attempt): boolean {
  const [x, y] = [costOf(a), costOf(b)]
  if (x.preemptions !== y.preemptions) return x.preemptions < y.preemptions
  if (x.switches !== y.switches) return x.switches < y.switches
  return a.run.steps < b.run.steps
}

/** Makes a failing run short, then looks through all schedules with as few preemptions for a shorter one. */
export async function shortest(scenario: Scenario, found: Run, options: ShortestOptions = {}): Promise<Shortest> {
  const example = await shrink(scenario, found, options)
  const finding = findingOf(example.run)
  const parts = options.parts ?? {}
  const again = bounded(planOf(example.run.schedule))
  let best: Attempt = { run: await scenario.run(again, { parts }), taken: again.taken }
  let left = options.runs ?? 1500
  let least = false
  for (let bound = 0; bound <= costOf(best).preemptions && left > 0; bound++) {
    let plan: number[] | null = []
    for (; plan !== null && left > 0 && options.stop?.() !== true; left--) {
      const policy = bounded(plan)
      const run = await scenario.run(policy, { parts })
      const attempt = { run, taken: policy.taken }
      if (findingOf(run) === finding && isShorter(attempt, best)) best = attempt
      plan = nextPlan(policy.taken, bound)
    }
    least = plan === null
  }
  const tried = example.tried + (options.runs ?? 1500) - left
  return { run: best.run, ...costOf(best), tried, fewest: least || example.fewest, least }
}
