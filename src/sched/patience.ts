/** How many switch points a run may pass before it counts as endless: a loop of yields leaves no event to count. */
import { KernelBug } from '../base/index.ts'
import type { Task } from './task.ts'

export class Patience {
  static readonly opaque = true
  /** Switch points and yields left. Default: no limit. */
  left: number = Infinity

  /** @throws KernelBug I11 when it is used up */
  use(task: Task): void {
    if (--this.left > 0) return
    this.left = Infinity
    throw new KernelBug(`no end: task ${task.name} goes round and round, last at '${task.where}'`, 'I11')
  }
}
