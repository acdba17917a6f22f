/** A spinning lock (Linux: spinlock_t). Its holder may be interrupted by other CPUs' tasks, but may not sleep. */
import { OwnedLock } from './lock.ts'
import type { Task } from './task.ts'

export class SpinLock extends OwnedLock {
  describe(): string {
    return `spin lock ${this.name}`
  }

  /** Acquires the lock; spins while another CPU holds it. */
  async lock(): Promise<void> {
    await this.acquire(this.checkOrder())
  }

  override unlock(): void {
    super.unlock()
    this.sched.leaveAtomic(this.describe())
  }

  protected override take(task: Task): void {
    super.take(task)
    this.sched.enterAtomic(this.describe())
  }
}
