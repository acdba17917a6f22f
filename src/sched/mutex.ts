/** A sleeping lock (Linux: struct mutex). Waiters are served in order; a newcomer may overtake a waking one. */
import { OwnedLock } from './lock.ts'
import type { LockClass } from './lock-order.ts'
import type { Scheduler } from './scheduler.ts'

export class Mutex extends OwnedLock {
  private readonly label: string

  constructor(sched: Scheduler, lockClass: LockClass, name?: string) {
    super(sched, lockClass, name)
    this.label = `mutex ${this.name}`
  }

  describe(): string {
    return this.label
  }

  /** Acquires the mutex; may sleep. */
  async lock(): Promise<void> {
    this.sched.mightSleep(this.label)
    await this.acquire(this.checkOrder())
  }
}
