/** A sleeping lock (Linux: struct mutex). Waiters are served in order; a newcomer may overtake a waking one. */
import { OwnedLock } from './lock.ts'

export class Mutex extends OwnedLock {
  describe(): string {
    return `mutex ${this.name}`
  }

  /** Acquires the mutex; may sleep. */
  async lock(): Promise<void> {
    this.sched.mightSleep(this.describe())
    await this.acquire(this.checkOrder())
  }
}
