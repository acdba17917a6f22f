/** Contexts that may not sleep: spin locks, the read side of RCU (Linux: preempt_count, might_sleep, v6.12). */
import { KernelBug } from '../base/index.ts'
import type { Task } from './task.ts'

/** The task leaves a context of this name, the innermost one if there are several. @throws KernelBug I6 if it is in none */
export function leaveAtomic(task: Task, what: string): void {
  const { atomic } = task
  if (atomic.at(-1) === what) {
    atomic.pop()
    return
  }
  const at = atomic.lastIndexOf(what)
  if (at < 0) throw new KernelBug(`${what}: left, but not entered by task ${task.name}`, 'I6')
  atomic.splice(at, 1)
}

/** @throws KernelBug I13 when the task is in a context that forbids what it is about to do */
export function checkMaySleep(task: Task, what: string): void {
  if (task.atomic.length === 0) return
  throw new KernelBug(
    `BUG: sleeping function called from invalid context: task ${task.name} at ${what} while in ` +
      `${task.atomic.join(', ')}; locks held: ${task.held.map((lock) => lock.describe()).join(', ') || 'none'}`,
    'I13',
  )
}
