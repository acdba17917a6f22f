/**
 * A task: one thread of control, as `struct task_struct` is to Linux.
 *
 * R1 Fields are written by the scheduler and by the locks of this room, by nobody else.
 */
import type { Lock } from './lock.ts'
import { TaskHandle } from './park.ts'

export type TaskState = 'ready' | 'running' | 'blocked' | 'done'

/** What a blocked task waits for, and who could end the wait: an edge of the wait graph. */
export interface WaitTarget {
  /** For reports: `mutex mmuLock`. */
  describe(): string
  /** True when the waiter spins: it does not sleep. */
  readonly spins?: boolean
  /** The tasks that can end the wait, as far as the object knows. */
  holders(): readonly Task[]
}

export class Task {
  /** For reports and statistics alone. */
  static readonly opaque: readonly string[] = ['where', 'waitNumber']
  /** Immutable. */
  readonly pid: number
  /** Immutable. */
  readonly name: string
  /** A daemon does not keep the kernel running. Immutable. */
  readonly daemon: boolean
  /** The CPU it is on; changes only while it is parked. */
  cpu: number
  state: TaskState = 'ready'
  waitsFor: WaitTarget | null = null
  /** Counts its waits. */
  waitNumber = 0
  /** Ends its present wait; a timer of an earlier wait is stale. */
  timer: object | null = null
  /** Locks it holds, oldest first. */
  readonly held: Lock[] = []
  /** Contexts in which it may not sleep, oldest first: spin locks, RCU read sections, callbacks. */
  readonly atomic: string[] = []
  /** The last switch point it passed, for reports. */
  where = 'start'
  /** Tasks that wait for its end. */
  readonly joiners: Task[] = []
  /** Runtime handle; opaque. */
  readonly handle: TaskHandle = new TaskHandle()

  constructor(pid: number, name: string, cpu: number, daemon: boolean) {
    this.pid = pid
    this.name = name
    this.cpu = cpu
    this.daemon = daemon
  }

  describe(): string {
    return `end of task ${this.name}`
  }

  holders(): readonly Task[] {
    return [this]
  }
}

/** As Linux prints it in sched_switch: X has ended, D sleeps, R could go on or spins. */
export function switchState(task: Task | null): 'R' | 'D' | 'X' {
  if (task === null || task.state === 'done') return 'X'
  return task.state === 'blocked' && task.waitsFor?.spins !== true ? 'D' : 'R'
}
