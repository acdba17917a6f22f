/**
 * Probabilistic concurrency testing: every task gets a random priority, the highest that can run runs, and at `depth - 1`
 * random places the running task falls below all others (Burckhardt et al., ASPLOS 2010). A bug that needs d ordered
 * events is met with a chance of at least 1 / (tasks * length^(d - 1)) a run.
 *
 * R1 A task that yields falls below all others as well: whoever waits for another task's progress lets it make some.
 * R2 Repeatable from its seed; it draws nothing from the kernel's own random numbers.
 */
import { Random } from '../base/index.ts'
import type { Decision, Policy } from './policy.ts'
import type { Task } from './task.ts'

/** Priorities to draw from: enough that two tasks hardly ever share one. */
const PRIORITIES: number = 2 ** 30
/** Switch points of a run of a small scenario, roughly; change points lie within. */
const DEFAULT_LENGTH = 150

class Pct implements Policy {
  readonly name = 'pct'
  readonly preemptive = true
  readonly migrates = false
  private readonly random: Random
  /** By pid; larger runs first. */
  private readonly priorities = new Map<number, number>()
  /** Numbers of the points at which the running task falls, ascending. */
  private readonly changes: readonly number[]
  private lowest = 0
  private points = 0

  constructor(seed: number, depth: number, length: number) {
    this.random = new Random(seed).stream('pct')
    const changes: number[] = []
    for (let i = 1; i < depth; i++) changes.push(this.random.between(1, Math.max(1, length)))
    this.changes = changes.toSorted((a, b) => a - b)
  }

  decide(decision: Decision, count: number, running: Task, ready: readonly Task[]): number {
    if (decision === 'value') return this.random.below(count)
    if (decision === 'cpu') return 0
    if (decision === 'next') {
      if (ready.includes(running)) this.lower(running)
      return this.highest(ready)
    }
    this.points++
    if (this.changes.includes(this.points)) this.lower(running)
    const best = this.highest(ready)
    return this.priority(ready[best]!) > this.priority(running) ? best + 1 : 0
  }

  private highest(ready: readonly Task[]): number {
    let best = 0
    for (let i = 1; i < ready.length; i++) if (this.priority(ready[i]!) > this.priority(ready[best]!)) best = i
    return best
  }

  private priority(task: Task): number {
    let priority = this.priorities.get(task.pid)
    if (priority === undefined) {
      priority = this.random.below(PRIORITIES)
      this.priorities.set(task.pid, priority)
    }
    return priority
  }

  private lower(task: Task): void {
    this.priorities.set(task.pid, --this.lowest)
  }
}

/**
 * Priorities at random, and few changes of them: finds a bug that needs few ordered events much sooner than `random`.
 * @param depth ordered events to look for; `depth - 1` changes of priority
 * @param length switch points of the run, roughly; the changes lie within
 */
export function pct(seed: number, depth: number, length: number = DEFAULT_LENGTH): Policy {
  return new Pct(seed, depth, length)
}
