/**
 * A world that a search drives: between two steps no task runs, and its state can be captured.
 *
 * R1 Nothing but the policy below tells it from an ordinary run: decisions are left open instead of being taken.
 * R2 A step is one answer and what follows, up to the next moment at which there is more than one possibility, or at
 *    which all tasks of the scenario have ended.
 */
import { KernelError, pfn } from '../../base/index.ts'
import { TaskHandle } from '../frames/park.ts'
import type { Frame } from '../frames/runtime.ts'
import { Snapshots } from '../frames/snapshots.ts'
import { tracker } from '../frames/touched.ts'
import type { Footprint } from '../frames/touched.ts'
import type { Names } from '../frames/state-hash.ts'
import { encodeSchedule } from '../../sched/index.ts'
import type { Decision, Policy, Scheduler } from '../../sched/index.ts'
import { sleepersOf } from '../scenario.ts'
import type { Scenario, StartedRun } from '../scenario.ts'
import type { WorldParts } from '../world.ts'

/** One open choice of the code, as it was taken. */
export interface TakenValue {
  readonly count: number
  readonly choice: number
}

/** Leaves decisions open, and answers open choices from a plan. */
class LeavesOpen implements Policy {
  static readonly opaque = true
  readonly name = 'prove'
  readonly preemptive = true
  readonly migrates = false
  open: 'next' | 'point' | null = null
  hasEnded = false
  failure: unknown = null
  plan: readonly number[] = []
  readonly values: TakenValue[] = []
  decide(_kind: Decision, count: number): number {
    const planned = this.plan[this.values.length] ?? 0
    const choice = planned < count ? planned : 0
    this.values.push({ count, choice })
    return choice
  }

  opened(decision: 'next' | 'point'): void {
    this.open = decision
  }

  stopped(failure: unknown): void {
    this.hasEnded = true
    this.failure = failure
  }
}

/** What a step came to. */
export type StepEnd = 'open' | 'ended' | 'failed'

export class LiveWorld {
  readonly snapshots: Snapshots
  private readonly policy: LeavesOpen
  private readonly run: StartedRun
  private readonly sched: Scheduler
  /** Of the last step: masks of the tasks that ran, and of those that could not at some moment. */
  ran = 0
  stopped = 0
  /** Steps leave footprints. Only where modules tell what they touch. */
  isWatched = false

  private constructor(run: StartedRun, policy: LeavesOpen, names: Names) {
    this.run = run
    this.policy = policy
    const { kernel, auditor, progress } = run
    const { sched } = kernel
    this.sched = sched
    this.snapshots = new Snapshots({
      roots: { kernel, auditor, ...(progress.world === null ? {} : { world: progress.world }) },
      memory: kernel.memory,
      extra: () => (sched.isTimed ? sched.now : -1),
      names,
    })
  }

  /** Runs the setup. @throws KernelError EINVAL where frames cannot be seen; whatever the setup throws */
  static open(scenario: Scenario, parts: WorldParts, names: Names): LiveWorld {
    const policy = new LeavesOpen()
    const run = scenario.start(policy, { parts })
    if (run.kernel.sched.livingTasks().some(({ handle }) => !((handle as object) instanceof TaskHandle))) {
      throw new KernelError('EINVAL', 'the rooms were not lowered: states cannot be seen')
    }
    const { sched } = run.kernel
    while (!policy.hasEnded && sched.candidates.length === 1 && run.progress.left !== 0) sched.answer(0)
    const world = new LiveWorld(run, policy, names)
    return world
  }

  /** How many answers the open decision has; 0 when the run has ended. */
  get answers(): number {
    return this.policy.hasEnded ? 0 : this.sched.candidates.length
  }

  /** Who runs under an answer. */
  runner(answer: number): number {
    return this.sched.candidates[answer]!.pid
  }

  nameOf(pid: number): string {
    return this.sched.livingTasks().find((task) => task.pid === pid)?.name ?? `task ${pid}`
  }

  /** Who runs under each answer, by pid. */
  get runners(): readonly number[] {
    return this.policy.hasEnded ? [] : this.sched.candidates.map(({ pid }) => pid)
  }

  /** The task that could go on at a switch point, 0 when the last one stopped by itself. */
  get current(): number {
    return this.policy.open === 'point' ? this.runner(0) : 0
  }

  get values(): readonly TakenValue[] {
    return this.policy.values
  }

  /** The run so far, as one line for replay. */
  get schedule(): string {
    return encodeSchedule(this.sched.schedule)
  }

  /** What ended the run, or null. */
  get failure(): unknown {
    return this.policy.failure
  }

  /** All tasks of the scenario have ended. */
  get isEnding(): boolean {
    return this.run.progress.left === 0
  }

  /** Gives an answer and goes on to the next one. The last step of a run ends with what the end itself shows. */
  step(answer: number, plan: readonly number[]): StepEnd {
    const { policy } = this
    this.snapshots.leave()
    if (this.isWatched) tracker.begin(this.run.kernel.memory)
    policy.plan = plan
    policy.values.length = 0
    policy.hasEnded = false
    policy.failure = null
    const wasEnding = this.isEnding
    this.ran = 0
    this.stopped = 0
    this.answer(answer)
    while (this.answers === 1 && (wasEnding || !this.isEnding)) this.answer(0)
    try {
      if (policy.failure !== null) return 'failed'
      if (this.answers > 0) {
        this.run.auditor.judgeState(sleepersOf(this.run.kernel))
        return 'open'
      }
      this.run.auditor.judgeEnd()
      return 'ended'
    } catch (failure) {
      policy.failure = failure
      return 'failed'
    }
  }

  /** The living tasks, with the innermost frame in which each waits; null: it has not begun. */
  chains(): readonly { readonly task: string; readonly leaf: Frame | null }[] {
    return this.sched
      .livingTasks()
      .map(({ name, handle }) => ({ task: name, leaf: (handle as object as TaskHandle).leaf }))
  }

  /** What tells the contents of each frame of memory. */
  frameDigests(): readonly string[] {
    const { memory } = this.run.kernel
    return Array.from({ length: memory.frames }, (_, frame) =>
      ([0, 1] as const).map((half) => memory.frameDigest(pfn(frame), half).toString(16)).join(''),
    )
  }

  /** What the last step did. */
  footprint(): Footprint {
    return tracker.end(this.ran)
  }

  /** Counts the events from now on. */
  countEvents(): () => number {
    let count = 0
    this.run.kernel.trace.attach(() => count++, { accesses: true })
    return () => count
  }

  private answer(answer: number): void {
    let able = 0
    for (const { pid } of this.sched.candidates) able |= 1 << (pid & 31)
    this.stopped |= ~able
    this.ran |= 1 << (this.runner(answer) & 31)
    this.policy.open = null
    tracker.isOn = this.isWatched
    this.sched.answer(answer)
    tracker.isOn = false
    if (this.policy.open === null && !this.policy.hasEnded) {
      throw new KernelError('EINVAL', 'a task awaits something that is no frame')
    }
  }
}
