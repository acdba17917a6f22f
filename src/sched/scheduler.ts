/**
 * The scheduler: exactly one task runs; it runs until it parks; then the policy picks the next one.
 *
 * R1 One token. `current` is the task that holds it; nothing above this room runs without it.
 * R2 A task is atomic between two of its switch points: locks, waits, sleeps, yields and `point`.
 * R3 Every decision goes through the policy and is recorded; the same decisions give the same run.
 * R4 Time is virtual: it passes when a task burns it (`advance`) or when everybody sleeps.
 * R5 What a task awaits must be the scheduler's own; anything else is reported with the task's name.
 */
import { KernelBug, KernelError, Random, Trace } from '../base/index.ts'
import type { TraceStamp } from '../base/index.ts'
import { Bursts } from './bursts.ts'
import { VirtualClock } from './clock.ts'
import { nextTurn } from './host-loop.ts'
import { LockOrder } from './lock-order.ts'
import { begin, park, step } from './park.ts'
import { fifo } from './policy.ts'
import type { Access, Decision, Policy } from './policy.ts'
import type { Schedule } from './schedule.ts'
import { Task, switchState } from './task.ts'
import type { WaitTarget } from './task.ts'
import { DeadlockError } from './wait-graph.ts'

export interface SchedulerOptions {
  /** Seed of every random choice. Default 1. */
  readonly seed?: number
  /** Number of CPUs that tasks are spread over. Default 2. */
  readonly cpus?: number
  /** Default `fifo()`. */
  readonly policy?: Policy
  /** Called between two bursts, when the surrounding program has had its turn. */
  readonly onTurn?: () => void
  /** A task that yields so often in a row while nobody else could run goes round for ever (I11). Default: no limit. */
  readonly yieldsAlone?: number
}

export interface SpawnOptions {
  /** Does not keep the kernel running. Default false. */
  readonly daemon?: boolean
  /** Default: CPUs in turn. */
  readonly cpu?: number
}

/** A task's body threw: the kernel stopped. */
export class TaskFailure extends Error {
  readonly task: string

  constructor(task: string, cause: unknown) {
    super(`task ${task} failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    this.name = 'TaskFailure'
    this.task = task
  }
}

const NOBODY: TraceStamp = { task: 'swapper', pid: 0, cpu: 0, now: 0 }

export class Scheduler {
  /** Who ran last, what is derived from it, and the record of the run: none of it changes what can happen next. */
  static readonly opaque: readonly string[] = ['running', 'contended', 'ready', 'deviations', 'decisions', 'settle']
  readonly cpus: number
  readonly policy: Policy
  readonly random: Random
  readonly trace: Trace
  readonly lockOrder: LockOrder = new LockOrder()
  /** True when a switch point could stop the running task: guard `point` with it. */
  contended = false
  /** True when open choices are explored: guard `choose` with it, where asking is not free. Immutable. */
  readonly choosing: boolean

  private running: Task | null = null
  private readonly ready: Task[] = []
  private readonly tasks = new Set<Task>()
  private readonly spinners: { readonly task: Task; readonly condition: () => boolean }[] = []
  private readonly clock: VirtualClock = new VirtualClock()
  private readonly deviations: number[] = []
  private decisions = 0
  private lastPid = 0
  private living = 0
  private stopped = false

  private readonly bursts: Bursts
  private readonly yieldsAlone: number
  private yieldedAlone = 0
  private settle: ((failure: unknown) => void) | null = null

  /** @throws KernelError EINVAL when cpus is not in [1, 64] */
  constructor(options: SchedulerOptions = {}) {
    this.cpus = options.cpus ?? 2
    if (!Number.isInteger(this.cpus) || this.cpus < 1 || this.cpus > 64) {
      throw new KernelError('EINVAL', `cpus is ${this.cpus}; expected 1 to 64`)
    }
    this.policy = options.policy ?? fifo()
    this.choosing = this.policy.preemptive
    this.random = new Random(options.seed ?? 1)
    this.trace = new Trace(() => this.stamp())
    this.yieldsAlone = options.yieldsAlone ?? Infinity
    this.bursts = new Bursts(options.onTurn, () => this.foreignAwait())
  }

  /** The task that holds the token. */
  get current(): Task {
    if (this.running === null) throw new KernelBug('no task is running: call this from inside Scheduler.run')
    return this.running
  }

  /** True while some task holds the token. */
  get isRunning(): boolean {
    return this.running !== null
  }

  /** Virtual nanoseconds since the start. */
  get now(): number {
    return this.clock.now
  }

  /** True when the running task may not sleep. */
  get inAtomic(): boolean {
    return this.current.atomic.length > 0
  }

  /** The run so far, as the decisions that were not the default. */
  get schedule(): Schedule {
    return { deviations: this.deviations }
  }

  /** Does some task wait for a point in time? If not, how late it is cannot matter. */
  get isTimed(): boolean {
    return this.clock.nextExpiry() !== Infinity
  }

  /** Names, states and waits of all living tasks. */
  livingTasks(): readonly Task[] {
    return [...this.tasks]
  }

  /**
   * Runs `body` as the first task, and all tasks it spawns, until no task but daemons is left.
   * @returns what `body` returned
   * @throws TaskFailure when a task threw, DeadlockError when none can run
   */
  run<T>(name: string, body: () => Promise<T>): Promise<T> {
    if (this.bursts.phase !== 'idle') throw new KernelBug('a scheduler runs once')
    let result: T
    return new Promise<T>((resolve, reject) => {
      this.settle = (failure) => (failure === null ? resolve(result) : reject(failure))
      this.spawn(name, async () => {
        result = await body()
      })
      this.bursts.next(() => this.dispatch())
    })
  }

  /** As `run`, for a policy that leaves decisions open and is told of the end: the first decision is to run `body`. */
  start(name: string, body: () => Promise<void>): void {
    if (this.bursts.phase !== 'idle') throw new KernelBug('a scheduler runs once')
    this.spawn(name, body)
    this.dispatch()
  }

  /** Starts a task. It first runs when the policy picks it. */
  spawn(name: string, body: () => Promise<void>, options: SpawnOptions = {}): Task {
    const pid = ++this.lastPid
    const task = new Task(pid, name, (options.cpu ?? pid - 1) % this.cpus, options.daemon ?? false)
    this.tasks.add(task)
    if (!task.daemon) this.living++
    begin(task.handle, body, (failure) => this.ended(task, failure))
    this.makeReady(task)
    return task
  }

  /** Sleeps until the task has ended. */
  async join(task: Task): Promise<void> {
    this.mightSleep(task.describe())
    if (!this.tasks.has(task)) return
    task.joiners.push(this.current)
    while (this.tasks.has(task)) await this.block(task)
  }

  /**
   * A switch point at a lockless shared access.
   *
   * Call it as `if (sched.contended) await sched.point(...)`: then it costs nothing when no other task could run.
   * @param object what is accessed, with `access` the step's footprint
   * @param what for reports: names the place in the protocol
   */
  async point(object: object, access: Access, what: string): Promise<void> {
    const task = this.current
    task.where = what
    this.policy.footprint?.(task, object, access)
    this.wakeSpinners()
    if (this.ready.length === 0) return
    if (this.policy.opened !== undefined) return await this.leaveOpen(task)
    const choice = this.decide('point', this.ready.length + 1)
    if (choice === 0) return
    const next = this.ready[choice - 1]!
    this.ready.splice(choice - 1, 1)
    this.ready.unshift(task)
    task.state = 'ready'
    const parked = park(task.handle)
    this.resume(next)
    await parked
  }

  /** Lets every other ready task run first. */
  async yieldNow(): Promise<void> {
    const task = this.current
    task.where = 'yield'
    this.wakeSpinners()
    if (this.ready.length === 0) {
      if (++this.yieldedAlone > this.yieldsAlone) {
        throw new KernelBug(`task ${task.name} goes round and round: it yields, and nobody else can run`, 'I11')
      }
      if (this.policy.opened === undefined && this.bursts.isOver()) await this.breathe(task)
      return
    }
    this.yieldedAlone = 0
    const parked = park(task.handle)
    this.makeReady(task)
    this.dispatch()
    await parked
  }

  /** Sleeps for so many virtual nanoseconds. */
  async sleep(nanoseconds: number): Promise<void> {
    this.mightSleep('sleep')
    const deadline = this.clock.now + nanoseconds
    while (this.clock.now < deadline) await this.block(SLEEP, deadline)
  }

  /** The running task has used a CPU for so many nanoseconds. */
  advance(nanoseconds: number): void {
    this.clock.now += nanoseconds
    this.wakeExpired()
  }

  /** A choice that the code leaves open, in [0, count): 0 unless the policy explores. */
  choose(count: number, what: string): number {
    this.current.where = what
    return count < 2 ? 0 : this.decide('value', count)
  }

  /**
   * Waits without sleeping, as a CPU spins for an interprocessor interrupt: legal in atomic context.
   * The condition is looked at whenever another task stops.
   */
  async spinUntil(condition: () => boolean, options: { why: string; holders?: () => readonly Task[] }): Promise<void> {
    if (this.contended) await this.point(this, 'r', options.why)
    if (condition()) return
    const task = this.current
    const target = { spins: true, describe: () => options.why, holders: options.holders ?? (() => []) }
    const spinner = { task, condition }
    this.spinners.push(spinner)
    while (!condition()) await this.block(target)
    this.spinners.splice(this.spinners.indexOf(spinner), 1)
  }

  /** The running task enters a context that may not sleep. */
  enterAtomic(what: string): void {
    this.current.atomic.push(what)
  }

  leaveAtomic(what: string): void {
    const atomic = this.current.atomic
    if (atomic.at(-1) === what) {
      atomic.pop()
      return
    }
    const at = atomic.lastIndexOf(what)
    if (at < 0) throw new KernelBug(`${what}: left, but not entered by task ${this.current.name}`, 'I6')
    atomic.splice(at, 1)
  }

  /**
   * The running task is about to do something that may sleep (Linux: might_sleep).
   * @throws KernelBug I13 in a context that forbids it
   */
  mightSleep(what: string): void {
    const task = this.current
    if (task.atomic.length === 0) return
    throw new KernelBug(
      `BUG: sleeping function called from invalid context: task ${task.name} at ${what} while in ` +
        `${task.atomic.join(', ')}; locks held: ${task.held.map((lock) => lock.describe()).join(', ') || 'none'}`,
      'I13',
    )
  }

  /** Parks the running task until `wake` or the deadline. For this room's locks and queues. */
  async block(target: WaitTarget, deadline: number = Infinity): Promise<void> {
    const task = this.current
    task.state = 'blocked'
    task.waitsFor = target
    task.waitNumber++
    task.timer = null
    if (deadline !== Infinity) this.clock.arm(task, deadline)
    const parked = park(task.handle)
    this.dispatch()
    await parked
  }

  /**
   * Answers the decision that was left open: the `choice`-th ready task runs (a task at a switch point is the first).
   * For a policy with `opened`; no task may be running.
   */
  answer(choice: number): void {
    if (this.ready.length > 1) {
      if (choice !== 0) this.deviations.push(this.decisions, choice)
      this.decisions++
    }
    this.resume(this.ready.splice(choice, 1)[0]!)
  }

  /** The tasks that `answer` chooses from. */
  get candidates(): readonly Task[] {
    return this.ready
  }

  /** Makes a blocked task ready. Waking a task that is not blocked does nothing. */
  wake(task: Task): void {
    if (task.state !== 'blocked') return
    task.waitsFor = null
    this.makeReady(task)
  }

  private makeReady(task: Task): void {
    task.state = 'ready'
    this.ready.push(task)
    this.contended = this.policy.preemptive
  }

  private decide(decision: Decision, count: number): number {
    const choice = this.policy.decide(decision, count, this.running ?? this.ready[0]!, this.ready)
    if (choice !== 0) this.deviations.push(this.decisions, choice)
    this.decisions++
    return choice
  }

  /** Parks a task at a switch point and leaves it to `answer` who goes on. */
  private async leaveOpen(task: Task): Promise<void> {
    this.ready.unshift(task)
    task.state = 'ready'
    const parked = park(task.handle)
    this.bursts.pause()
    this.policy.opened?.('point', this.ready.length)
    await parked
  }

  /** Picks the next task after the running one has parked or ended. */
  private dispatch(): void {
    if (this.policy.opened === undefined && this.bursts.isOver()) return this.bursts.next(() => this.dispatch())
    this.wakeSpinners()
    while (this.ready.length === 0) {
      if (this.living === 0) return this.stop(null)
      const expiry = this.clock.nextExpiry()
      if (expiry === Infinity) {
        this.running = null
        return this.stop(new DeadlockError(this.livingTasks()))
      }
      this.clock.now = Math.max(this.clock.now, expiry)
      this.wakeExpired()
      this.wakeSpinners()
    }
    if (this.policy.opened !== undefined) {
      this.bursts.pause()
      return this.policy.opened('next', this.ready.length)
    }
    try {
      const choice = this.ready.length === 1 ? 0 : this.decide('next', this.ready.length)
      this.resume(this.ready.splice(choice, 1)[0]!)
    } catch (failure) {
      this.stop(failure)
    }
  }

  private resume(next: Task): void {
    if (this.policy.migrates && this.cpus > 1 && next.atomic.length === 0) {
      next.cpu = (next.cpu + this.decide('cpu', this.cpus)) % this.cpus
    }
    if (this.trace.on) {
      const prev = this.running
      // A task that only let the surrounding program breathe has not switched: real time leaves no trace.
      const prevState = switchState(prev)
      if (prev !== next || prevState === 'D') {
        this.trace.emit({ name: 'sched_switch', prev: prev?.name ?? 'swapper', prevState, next: next.name })
      }
    }
    this.contended = this.policy.preemptive && this.ready.length + this.spinners.length > 0
    this.running = next
    next.state = 'running'
    step(next.handle)
  }

  private wakeExpired(): void {
    for (let task = this.clock.popExpired(); task !== null; task = this.clock.popExpired()) this.wake(task)
  }

  private wakeSpinners(): void {
    for (const spinner of this.spinners) if (spinner.condition()) this.wake(spinner.task)
  }

  private ended(task: Task, failure: unknown): void {
    if (this.stopped) return
    task.state = 'done'
    this.tasks.delete(task)
    if (!task.daemon) this.living--
    if (failure !== null) return this.stop(new TaskFailure(task.name, failure))
    if (task.held.length > 0) {
      const held = task.held.map((lock) => lock.describe()).join(', ')
      return this.stop(new TaskFailure(task.name, new KernelBug(`it ended holding ${held}`, 'I6')))
    }
    if (this.trace.on) this.trace.emit({ name: 'sched_process_exit', task: task.name })
    for (const joiner of task.joiners) this.wake(joiner)
    if (this.living === 0) this.stop(null)
    else this.dispatch()
  }

  private stop(failure: unknown): void {
    this.stopped = true
    this.bursts.phase = 'ended'
    this.running = null
    this.contended = false
    this.ready.length = 0
    this.settle?.(failure)
    this.settle = null
    this.policy.stopped?.(failure)
  }

  /** Gives the surrounding program its turn; then the running task goes on, without a decision or a trace of it (R3). */
  private async breathe(task: Task): Promise<void> {
    const parked = park(task.handle)
    this.bursts.next(() => step(task.handle))
    await parked
  }

  private foreignAwait(): void {
    const task = this.current
    const what = `foreign await: it awaits something that the scheduler does not own (a timer, a file?), after '${task.where}'`
    this.stop(new TaskFailure(task.name, new KernelBug(what)))
  }

  private stamp(): TraceStamp {
    const task = this.running
    if (task === null) return NOBODY
    return { task: task.name, pid: task.pid, cpu: task.cpu, now: this.clock.now }
  }
}

/** For a program that drives a scheduler from outside: lets what is around it have its turn. */
export function hostTurn(): Promise<void> {
  return new Promise((resolve) => nextTurn(resolve))
}

const SLEEP: WaitTarget = { describe: () => 'a timer', holders: () => [] }
