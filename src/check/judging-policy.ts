/**
 * A policy that has the world judged at each decision before another policy takes it: as closely as a search over states
 * looks.
 *
 * R1 The decisions are those of the other policy.
 */
import type { Access, Decision, Policy, Task } from '../sched/index.ts'

export class JudgingPolicy implements Policy {
  readonly name: string
  readonly preemptive: boolean
  readonly migrates: boolean
  readonly everyPoint: boolean
  /** Judges the present moment. Throws what it finds. */
  judge: () => void = () => undefined
  private readonly inner: Policy

  constructor(inner: Policy) {
    this.inner = inner
    this.name = inner.name
    this.preemptive = inner.preemptive
    this.migrates = inner.migrates
    this.everyPoint = inner.everyPoint === true
  }

  decide(decision: Decision, count: number, running: Task, ready: readonly Task[]): number {
    if (decision === 'point' || decision === 'next') this.judge()
    return this.inner.decide(decision, count, running, ready)
  }

  stopped(failure: unknown): void {
    this.inner.stopped?.(failure)
  }

  footprint(task: Task, object: object, access: Access): void {
    this.inner.footprint?.(task, object, access)
  }

  began(task: Task): void {
    this.inner.began?.(task)
  }
}
