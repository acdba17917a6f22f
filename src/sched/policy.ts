/**
 * Scheduling policies: who runs next, and what an open choice becomes.
 *
 * One interface serves production and checking; the scheduler and everything above it is the same code under each.
 *
 * R1 A policy sees numbers and task names only; it never changes a task.
 * R2 The answer 0 is the default: go on with the running task, else the one that is ready longest, else value 0.
 */
import { KernelError, Random } from '../base/index.ts'
import type { Schedule } from './schedule.ts'
import type { Task } from './task.ts'

/**
 * What is being decided.
 * - `next`: the running task stopped; which of `ready` runs
 * - `point`: a switch point; 0 = the running task goes on, i = `ready[i - 1]` runs instead
 * - `cpu`: how many CPUs further the resumed task wakes up
 * - `value`: a choice that the code left open
 */
export type Decision = 'next' | 'point' | 'cpu' | 'value'

/** How a step uses the object that its switch point names. */
export type Access = 'r' | 'w'

export interface Policy {
  readonly name: string
  /** May a switch point stop the running task? */
  readonly preemptive: boolean
  /** May a task wake up on another CPU? */
  readonly migrates: boolean
  /**
   * Decides. Called only when there is more than one possibility.
   * @param count possibilities; the answer is in [0, count)
   */
  decide(decision: Decision, count: number, running: Task, ready: readonly Task[]): number
  /**
   * With this, decisions are left open: the task has parked, and nothing runs until `Scheduler.answer`. Told also of a
   * `next` with one possibility. `decide` is asked for values only.
   */
  opened?(decision: 'next' | 'point', count: number): void
  /** Told how the run ended: null, or what `Scheduler.run` throws. */
  stopped?(failure: unknown): void
  /** Told at each switch point what the step that begins there accesses. */
  footprint?(task: Task, object: object, access: Access): void
}

class Fifo implements Policy {
  readonly name = 'fifo'
  readonly preemptive = false
  readonly migrates = false

  decide(): number {
    return 0
  }
}

/** Production: a task runs until it blocks or yields; then the one that is ready longest. */
export function fifo(): Policy {
  return new Fifo()
}

export interface RandomPolicyOptions {
  /** One switch point in so many stops the running task. Default 4. */
  readonly period?: number
  /** Tasks wake up on a random CPU. Default false. */
  readonly migrate?: boolean
  /** Open choices become random values; otherwise they stay 0. Default false. */
  readonly values?: boolean
}

class RandomPolicy implements Policy {
  readonly name = 'random'
  readonly preemptive = true
  readonly migrates: boolean
  private readonly random: Random
  private readonly period: number
  private readonly values: boolean

  constructor(seed: number, options: RandomPolicyOptions) {
    this.random = new Random(seed).stream('policy')
    this.period = options.period ?? 4
    this.migrates = options.migrate ?? false
    this.values = options.values ?? false
  }

  decide(decision: Decision, count: number): number {
    if (decision === 'point') return this.random.oneIn(this.period) ? this.random.between(1, count - 1) : 0
    if (decision === 'value' && !this.values) return 0
    return this.random.below(count)
  }
}

/** Every decision at random, repeatable from its seed. */
export function random(seed: number, options: RandomPolicyOptions = {}): Policy {
  return new RandomPolicy(seed, options)
}

class Replay implements Policy {
  readonly name = 'replay'
  readonly preemptive = true
  readonly migrates: boolean
  private readonly deviations: readonly number[]
  private next = 0
  private decision = 0

  constructor(schedule: Schedule, migrates: boolean) {
    this.deviations = schedule.deviations
    this.migrates = migrates
  }

  decide(kind: Decision, count: number, running: Task): number {
    const number = this.decision++
    if (this.deviations[this.next] !== number) return 0
    const value = this.deviations[this.next + 1]!
    this.next += 2
    if (value >= count) {
      throw new KernelError(
        'EINVAL',
        `replay diverged at decision ${number} (${kind}, task ${running.name}): the schedule asks for ${value} of ${count}`,
      )
    }
    return value
  }
}

/**
 * Repeats a recorded run.
 * @param options.migrate as the recorded policy had it
 */
export function replay(schedule: Schedule, options: { migrate?: boolean } = {}): Policy {
  return new Replay(schedule, options.migrate ?? false)
}
