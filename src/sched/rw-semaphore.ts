/**
 * A sleeping read/write lock (Linux: struct rw_semaphore).
 *
 * R1 First come, first served: a reader that arrives after a waiting writer waits behind it, so writers never starve.
 * R2 A release hands the lock over: to one writer, or to all readers at the head of the queue.
 */
import { KernelBug } from '../base/index.ts'
import { Lock } from './lock.ts'
import type { LockClass } from './lock-order.ts'
import type { Scheduler } from './scheduler.ts'
import type { Task } from './task.ts'

interface Waiter {
  readonly task: Task
  readonly write: boolean
}

export class RwSemaphore extends Lock {
  private writer: Task | null = null
  private readonly readers: Task[] = []
  private readonly queue: Waiter[] = []
  private readonly label: string

  constructor(sched: Scheduler, lockClass: LockClass, name?: string) {
    super(sched, lockClass, name)
    this.label = `rwsem ${this.name}`
  }

  describe(): string {
    return this.label
  }

  holders(): readonly Task[] {
    return this.writer === null ? this.readers : [this.writer]
  }

  /** Acquires for reading; may sleep. */
  async downRead(): Promise<void> {
    await this.down(false)
  }

  /** Acquires for writing; may sleep. */
  async downWrite(): Promise<void> {
    await this.down(true)
  }

  /** Acquires for reading if nobody writes or waits. */
  tryDownRead(): boolean {
    if (this.writer !== null || this.queue.length > 0) return false
    this.grant({ task: this.sched.current, write: false })
    return true
  }

  /** Acquires for writing if nobody holds it or waits. */
  tryDownWrite(): boolean {
    if (this.writer !== null || this.readers.length > 0 || this.queue.length > 0) return false
    this.grant({ task: this.sched.current, write: true })
    return true
  }

  upRead(): void {
    const task = this.sched.current
    const at = this.readers.indexOf(task)
    if (at < 0) throw new KernelBug(`task ${task.name} releases ${this.describe()}, which it does not read`, 'I6')
    this.readers.splice(at, 1)
    this.noteReleased(task)
    this.handOver()
  }

  upWrite(): void {
    this.dropWriter()
    this.handOver()
  }

  /** The writer becomes a reader without letting another writer in between. */
  downgradeWrite(): void {
    const task = this.dropWriter()
    this.grant({ task, write: false })
    this.handOver()
  }

  /** Does the running task hold it, for reading or writing? */
  isHeldByCurrent(): boolean {
    return this.writer === this.sched.current || this.readers.includes(this.sched.current)
  }

  isWriteHeldByCurrent(): boolean {
    return this.writer === this.sched.current
  }

  private async down(write: boolean): Promise<void> {
    this.sched.mightSleep(this.label)
    const task = this.checkOrder()
    if (this.sched.contended) await this.sched.point(this, 'w', this.name)
    const free = this.writer === null && this.queue.length === 0 && (!write || this.readers.length === 0)
    if (free) {
      this.grant({ task, write })
      return
    }
    this.queue.push({ task, write })
    while (!this.holds(task, write)) await this.sched.block(this)
  }

  private holds(task: Task, write: boolean): boolean {
    return write ? this.writer === task : this.readers.includes(task)
  }

  private grant(waiter: Waiter): void {
    if (waiter.write) this.writer = waiter.task
    else this.readers.push(waiter.task)
    this.noteAcquired(waiter.task)
  }

  private dropWriter(): Task {
    const task = this.sched.current
    if (this.writer !== task) {
      throw new KernelBug(`task ${task.name} releases ${this.describe()}, which it does not write`, 'I6')
    }
    this.noteReleased(task)
    this.writer = null
    return task
  }

  private handOver(): void {
    while (this.queue.length > 0 && this.writer === null) {
      const first = this.queue[0]!
      if (first.write && this.readers.length > 0) return
      this.queue.shift()
      this.grant(first)
      this.sched.wake(first.task)
    }
  }
}
