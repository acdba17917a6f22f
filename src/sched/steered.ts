/**
 * A policy that a search steers: it follows a plan as far as the plan goes, then the default, and remembers each
 * decision that arose, so that the search can plan the next run.
 *
 * R1 A plan names answers by the number of the decision (`planned`) or by task and time (`segments`); an answer that is
 *    not possible becomes the default.
 * R2 What is remembered of a decision says which answers are fair (see fairness.ts); the default always is.
 */
import { Fairness } from './fairness.ts'
import type { Decision, Policy } from './policy.ts'
import type { Task } from './task.ts'

/** One decision of a run. */
export interface Taken {
  readonly kind: Decision
  /** Possible answers. */
  readonly count: number
  /** Bit per answer that a fair run does not give. */
  readonly unfair: number
  readonly choice: number
  /** Who ran, and who runs now. */
  readonly from: string
  readonly to: string
}

/** A task runs for so many decisions. */
export interface TaskSegment {
  readonly task: string
  readonly decisions: number
}

export interface Steered extends Policy {
  /** What was decided so far. */
  readonly taken: readonly Taken[]
}

abstract class Steering implements Steered {
  abstract readonly name: string
  readonly preemptive = true
  readonly migrates = false
  readonly taken: Taken[] = []
  private readonly fairness = new Fairness()

  decide(kind: Decision, count: number, running: Task, ready: readonly Task[]): number {
    const unfair = this.fairness.decide(kind, running, ready)
    const wanted = this.wanted(kind, running, ready)
    const choice = wanted < count ? wanted : 0
    const from = running.name
    const to = kind === 'next' ? ready[choice]!.name : kind === 'point' && choice > 0 ? ready[choice - 1]!.name : from
    this.taken.push({ kind, count, unfair, choice, from, to })
    return choice
  }

  protected abstract wanted(kind: Decision, running: Task, ready: readonly Task[]): number
}

class Planned extends Steering {
  readonly name = 'bounded'
  private readonly plan: readonly number[]

  constructor(plan: readonly number[]) {
    super()
    this.plan = plan
  }

  protected wanted(): number {
    return this.plan[this.taken.length] ?? 0
  }
}

class Segmented extends Steering {
  readonly name = 'segments'
  private readonly segments: readonly TaskSegment[]
  private readonly values: readonly number[]
  private at = 0
  private left: number
  private value = 0

  constructor(segments: readonly TaskSegment[], values: readonly number[]) {
    super()
    this.segments = segments
    this.values = values
    this.left = segments[0]?.decisions ?? 0
  }

  protected wanted(kind: Decision, running: Task, ready: readonly Task[]): number {
    if (kind === 'value') return this.values[this.value++] ?? 0
    for (;;) {
      const segment = this.segments[this.at]
      if (segment === undefined) return 0
      if (this.left > 0) {
        const stays = kind === 'point' && segment.task === running.name
        const index = ready.findIndex((task) => task.name === segment.task)
        if (stays || index >= 0) {
          this.left--
          return stays ? 0 : kind === 'next' ? index : index + 1
        }
      }
      this.left = this.segments[++this.at]?.decisions ?? 0
    }
  }
}

/** The answers of a plan by the number of the decision, then the default. */
export function bounded(plan: readonly number[] = []): Steered {
  return new Planned(plan)
}

/** Tasks in an order, each for a while: a run told in a way that survives leaving parts of it out. */
export function inSegments(segments: readonly TaskSegment[], values: readonly number[] = []): Steered {
  return new Segmented(segments, values)
}
