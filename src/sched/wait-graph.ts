/**
 * Deadlocks as a report: who waits for what, who holds it, and the cycle if there is one.
 */
import { KernelBug } from '../base/index.ts'
import type { Task } from './task.ts'

/** No task can run and no timer is armed, but tasks that should end have not. */
export class DeadlockError extends KernelBug {
  /** One line a blocked task: `munmap waits for mutex mmuLock (held by vcpu0)`. */
  readonly waits: readonly string[]
  /** Names of the tasks on a cycle, empty when the wait has no holder to follow. */
  readonly cycle: readonly string[]

  constructor(tasks: readonly Task[]) {
    const waits = tasks.map((task) => describeWait(task))
    const cycle = findCycle(tasks).map((task) => task.name)
    const shape = cycle.length === 0 ? '' : `\n  cycle: ${[...cycle, cycle[0]].join(' -> ')}`
    const count = tasks.filter((task) => !task.daemon).length
    super(`deadlock: ${count} task${count === 1 ? '' : 's'} can never run\n  ${waits.join('\n  ')}${shape}`, 'I8')
    this.name = 'DeadlockError'
    this.waits = waits
    this.cycle = cycle
  }
}

function describeWait(task: Task): string {
  const target = task.waitsFor
  if (target === null) return `${task.name} is ${task.state}`
  const holders = target.holders()
  const names = holders.map((holder) => holder.name).join(', ')
  const held = task.held.length === 0 ? '' : `, holding ${task.held.map((lock) => lock.describe()).join(', ')}`
  return `${task.name} waits for ${target.describe()}${names === '' ? '' : ` (held by ${names})`}${held}`
}

/** A cycle of the wait graph, or an empty array. */
function findCycle(tasks: readonly Task[]): readonly Task[] {
  for (const start of tasks) {
    const path: Task[] = []
    const search = (task: Task): boolean => {
      if (path.includes(task)) return task === start
      path.push(task)
      for (const holder of task.waitsFor?.holders() ?? []) {
        if (holder === start && holder !== task) return true
        if (!path.includes(holder) && search(holder)) return true
      }
      path.pop()
      return false
    }
    if (search(start) && path.length > 1) return path
  }
  return []
}
