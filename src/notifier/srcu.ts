/**
 * Sleepable read-copy-update: readers may block, and an updater waits until the readers it can know of are gone
 * (Linux include/linux/srcu.h). This file is the interface that three implementations share.
 *
 * R1 Grace period: everything before the unlock of a section that began before `synchronize` happens before
 *    `synchronize` returns. Sections that begin later are not waited for.
 * R2 An endless stream of short readers never keeps a grace period from ending.
 * R3 Domains are independent: a reader of one delays nobody in another.
 * R4 Misuse is reported by name: waiting inside one's own section (I8), an unlock without its lock (I5), a lock held
 *    across a wait that a reader also takes (I8), an end of the task inside a section (I6).
 */
import type { LockClass, Task } from '../sched/index.ts'

/**
 * - `tiny`: v6.12 kernel/rcu/srcutiny.c, two nesting counters; correct because fetching the index and counting is one step
 * - `classic`: v3.5 to v3.10 kernel/srcu.c, per-CPU c[2]/seq[2], two scans and a flip
 * - `counted`: v6.12 kernel/rcu/srcutree.c, per-CPU lock and unlock counters
 */
export type SrcuKind = 'tiny' | 'classic' | 'counted'

/** Runs once, after a full grace period; may pass switch points, must not sleep, may call `call` again. */
export type SrcuCallback = () => void | Promise<void>

export interface SrcuOptions {
  /** For reports, traces and locking documents. */
  readonly name: string
  /** CPUs that have counters of their own. Default: those of the scheduler. */
  readonly cpus?: number
  /** The domain as the lock-order check sees it. Default: a class of its own. */
  readonly lockClass?: LockClass
}

/** Figures of one domain. Opaque: nothing here feeds back into the protocol. */
export class SrcuStats {
  static readonly opaque = true
  /** Read sections begun. */
  sections = 0
  gracePeriods = 0
  /** Calls of synchronize, of either kind. */
  synchronizes = 0
  /** Callbacks run. */
  callbacks = 0
  /** Virtual nanoseconds that callers of synchronize waited: the longest, and all together. */
  longestWait = 0
  totalWait = 0

  endWait(wait: SrcuWait, now: number): void {
    this.synchronizes++
    this.totalWait += now - wait.began
    this.longestWait = Math.max(this.longestWait, now - wait.began)
  }
}

/** When a caller began to wait. Opaque. */
export class SrcuWait {
  static readonly opaque = true
  readonly began: number

  constructor(began: number) {
    this.began = began
  }
}

export interface Srcu {
  readonly name: string
  readonly kind: SrcuKind
  readonly stats: SrcuStats

  /** Enters a read section. @returns the index to unlock with */
  readLock(): Promise<number>
  /** Leaves the section. The task may sleep, and change its CPU, in between. @throws KernelBug I5 */
  readUnlock(idx: number): Promise<void>
  /**
   * The same as one step, for `sched.contended ? await srcu.readLock() : srcu.readLockFast()`: no promise is made.
   * Not for code that another task could interrupt: the steps inside would not be split.
   */
  readLockFast(): number
  readUnlockFast(idx: number): void
  /** Enters a section that another task may leave with `upRead` (srcu_down_read). */
  downRead(): Promise<number>
  /** @throws KernelBug I5 when no section is open that `downRead` began with this index */
  upRead(idx: number): Promise<void>

  /** Waits for a grace period; sleeps. @throws KernelBug I8 in a section of this domain, I13 where sleep is forbidden */
  synchronize(): Promise<void>
  /** The same guarantee in a hurry: looks more often, at the price of CPU time. */
  synchronizeExpedited(): Promise<void>
  /** Runs the callback after a grace period. Never sleeps: legal everywhere. */
  call(callback: SrcuCallback): void
  /** Waits until every callback posted before has run; not for later ones. */
  barrier(): Promise<void>

  /** A cookie for `pollState`: done when a grace period that starts now would be over. */
  getState(): number
  /** The same, and makes sure that such a grace period comes. */
  startPoll(): number
  pollState(cookie: number): boolean

  /**
   * Takes the domain down (cleanup_srcu_struct): it must be idle.
   * @returns false when readers or callbacks are left: warned of, and leaked rather than freed
   */
  cleanup(): Promise<boolean>

  /** Is the task inside a section of this domain (srcu_read_lock_held)? */
  isHeldBy(task: Task): boolean
  /** Tasks inside a section now, oldest first. */
  activeReaders(): readonly Task[]
}
