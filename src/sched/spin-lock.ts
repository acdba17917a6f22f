/** A spinning lock (Linux: spinlock_t). Its holder may be interrupted by other CPUs' tasks, but may not sleep. */
import { OwnedLock } from './lock.ts'
import type { LockClass } from './lock-order.ts'
import type { Scheduler } from './scheduler.ts'
import type { Task } from './task.ts'

export class SpinLock extends OwnedLock {
  /** Made once: it names the atomic context at every acquisition. */
  private readonly label: string

  constructor(sched: Scheduler, lockClass: LockClass, name?: string) {
    super(sched, lockClass, name)
    this.label = `spin lock ${this.name}`
  }

  readonly spins = true

  describe(): string {
    return this.label
  }

  /** Acquires the lock; spins while another CPU holds it. */
  async lock(): Promise<void> {
    await this.acquire(this.checkOrder())
  }

  override unlock(): void {
    super.unlock()
    this.sched.leaveAtomic(this.label)
  }

  protected override take(task: Task): void {
    super.take(task)
    this.sched.enterAtomic(this.label)
  }
}
