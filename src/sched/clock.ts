/**
 * The virtual clock: nanoseconds that pass only when a task burns them or everybody sleeps.
 *
 * R1 Time never goes backward, and no real clock is ever read.
 */
import FlatQueue from 'flatqueue'
import type { Task } from './task.ts'

interface Timer {
  readonly task: Task
}

export class VirtualClock {
  /** How late it is matters only while a timer is armed: see `Scheduler.isTimed`. */
  static readonly opaque: readonly string[] = ['now']
  /** Virtual nanoseconds since the kernel started. */
  now = 0
  private readonly timers: FlatQueue<Timer> = new FlatQueue()

  /** Arms a timer for the task's present wait. */
  arm(task: Task, at: number): void {
    const timer: Timer = { task }
    task.timer = timer
    this.timers.push(timer, at)
  }

  /** Virtual time of the earliest timer that still matters, or Infinity. */
  nextExpiry(): number {
    for (;;) {
      const timer = this.timers.peek()
      if (timer === undefined) return Infinity
      if (this.matters(timer)) return this.timers.peekValue()!
      this.timers.pop()
    }
  }

  /** The next task whose timer has expired by now, or null. */
  popExpired(): Task | null {
    while (this.nextExpiry() <= this.now) {
      const timer = this.timers.pop()!
      if (this.matters(timer)) return timer.task
    }
    return null
  }

  private matters(timer: Timer): boolean {
    return timer.task.state === 'blocked' && timer.task.timer === timer
  }
}
