/**
 * Wait queues and completions (Linux: wait_event, struct completion).
 *
 * R1 A waiter re-checks its condition after every wake-up; a wake-up that nobody waits for is not remembered by a
 *    wait queue, and is remembered by a completion.
 */
import type { Scheduler } from './scheduler.ts'
import type { Task, WaitTarget } from './task.ts'

export interface WaitOptions {
  /** For reports: what is waited for. Default: the queue's name. */
  readonly why?: string
  /** The tasks that can end the wait. */
  readonly holders?: () => readonly Task[]
  /** Give up after so many virtual nanoseconds. */
  readonly timeout?: number
}

class Reason implements WaitTarget {
  private readonly why: string
  private readonly holdersOf: (() => readonly Task[]) | undefined

  constructor(why: string, holdersOf: (() => readonly Task[]) | undefined) {
    this.why = why
    this.holdersOf = holdersOf
  }

  describe(): string {
    return this.why
  }

  holders(): readonly Task[] {
    return this.holdersOf === undefined ? [] : this.holdersOf()
  }
}

export class WaitQueue {
  readonly name: string
  private readonly sched: Scheduler
  private readonly waiters: Task[] = []

  constructor(sched: Scheduler, name: string) {
    this.sched = sched
    this.name = name
  }

  /** True when somebody waits. */
  get isActive(): boolean {
    return this.waiters.length > 0
  }

  /**
   * Sleeps until the condition holds. Whoever makes it true must wake the queue.
   * @returns false when the timeout ended the wait
   */
  async wait(condition: () => boolean, options: WaitOptions = {}): Promise<boolean> {
    const why = options.why ?? this.name
    this.sched.mightSleep(why)
    if (this.sched.contended) await this.sched.point(this, 'r', why)
    if (condition()) return true
    const task = this.sched.current
    const reason = new Reason(why, options.holders)
    const deadline = options.timeout === undefined ? Infinity : this.sched.now + options.timeout
    this.waiters.push(task)
    let held = condition()
    while (!held && this.sched.now < deadline) {
      await this.sched.block(reason, deadline)
      held = condition()
    }
    this.waiters.splice(this.waiters.indexOf(task), 1)
    return held
  }

  /** Makes every waiter re-check its condition. */
  wakeAll(): void {
    for (const task of this.waiters) this.sched.wake(task)
  }

  /** Makes the longest waiter re-check its condition. */
  wakeOne(): void {
    for (const task of this.waiters) {
      if (task.state !== 'blocked') continue
      this.sched.wake(task)
      return
    }
  }
}

export class Completion {
  private readonly queue: WaitQueue
  private done = 0

  constructor(sched: Scheduler, name: string) {
    this.queue = new WaitQueue(sched, name)
  }

  get isDone(): boolean {
    return this.done > 0
  }

  /** Sleeps until completed; takes one completion with it. */
  async wait(options: WaitOptions = {}): Promise<boolean> {
    const ended = await this.queue.wait(() => this.done > 0, options)
    if (ended) this.done--
    return ended
  }

  /** Lets one waiter go on, now or later. */
  complete(): void {
    this.done++
    this.queue.wakeOne()
  }

  /** Lets every waiter go on, now and for ever. */
  completeAll(): void {
    this.done = Infinity
    this.queue.wakeAll()
  }
}
