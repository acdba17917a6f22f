/**
 * What mutexes, spin locks and read/write semaphores have in common.
 *
 * R1 Acquiring checks the lock order before it waits; a lock taken by trying is not checked, as in lockdep.
 * R2 Whoever acquired a lock releases it.
 */
import { KernelBug } from '../base/index.ts'
import type { LockClass } from './lock-order.ts'
import type { Scheduler } from './scheduler.ts'
import type { Task, WaitTarget } from './task.ts'

export abstract class Lock implements WaitTarget {
  readonly lockClass: LockClass
  readonly name: string
  protected readonly sched: Scheduler

  constructor(sched: Scheduler, lockClass: LockClass, name: string = lockClass.name) {
    this.sched = sched
    this.lockClass = lockClass
    this.name = name
    sched.lockOrder.learn(lockClass)
  }

  abstract describe(): string
  abstract holders(): readonly Task[]

  /** Called before the running task waits for this lock. */
  protected checkOrder(): Task {
    const task = this.sched.current
    for (const lock of task.held) {
      if (lock === this) {
        throw new KernelBug(`task ${task.name} acquires ${this.describe()}, which it holds already`, 'I8')
      }
      this.sched.lockOrder.check(task, lock.lockClass, this.lockClass)
    }
    return task
  }

  protected noteAcquired(task: Task): void {
    task.held.push(this)
  }

  protected noteReleased(task: Task): void {
    if (task.held.at(-1) === this) {
      task.held.pop()
      return
    }
    const at = task.held.lastIndexOf(this)
    if (at < 0) throw new KernelBug(`task ${task.name} releases ${this.describe()}, which it does not hold`, 'I6')
    task.held.splice(at, 1)
  }
}

/** A lock with one owner; the page-table lock is a Mutex or a SpinLock behind this face. */
export interface ExclusiveLock {
  readonly name: string
  readonly holder: Task | null
  readonly isLocked: boolean
  holders(): readonly Task[]
  lock(): Promise<void>
  tryLock(): boolean
  unlock(): void
}

/** Shared by Mutex and SpinLock: an owner and a queue in which a waiter keeps its place. */
export abstract class OwnedLock extends Lock implements ExclusiveLock {
  protected owner: Task | null = null
  private readonly queue: Task[] = []

  get holder(): Task | null {
    return this.owner
  }

  get isLocked(): boolean {
    return this.owner !== null
  }

  holders(): readonly Task[] {
    return this.owner === null ? [] : [this.owner]
  }

  abstract lock(): Promise<void>

  tryLock(): boolean {
    if (this.owner !== null) return false
    this.take(this.sched.current)
    return true
  }

  unlock(): void {
    const task = this.sched.current
    if (this.owner !== task) {
      throw new KernelBug(`task ${task.name} releases ${this.describe()}, which it does not hold`, 'I6')
    }
    this.noteReleased(task)
    this.owner = null
    const first = this.queue[0]
    if (first !== undefined) this.sched.wake(first)
  }

  /** Waits in the queue until the lock is free, and takes it. */
  protected async acquire(task: Task): Promise<void> {
    if (this.sched.contended) await this.sched.point(this, 'w', this.name)
    if (this.owner !== null) {
      this.queue.push(task)
      while (this.owner !== null) await this.sched.block(this)
      this.queue.splice(this.queue.indexOf(task), 1)
    }
    this.take(task)
  }

  protected take(task: Task): void {
    this.owner = task
    this.noteAcquired(task)
  }
}
