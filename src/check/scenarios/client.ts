/** A notifier client that counts its windows, takes its time, and notices when it is called too late. */
import { KernelBug } from '../../base/index.ts'
import type { MmuNotifierOps, MmuNotifierRange } from '../../notifier/index.ts'
import type { Scheduler } from '../../sched/index.ts'

export class WatchfulClient implements MmuNotifierOps {
  readonly name: string
  /** Windows open now; only its own hooks change it. */
  windows = 0
  /** Unregister has returned. */
  isGone = false
  released = 0
  private readonly sched: Scheduler

  constructor(sched: Scheduler, name: string) {
    this.sched = sched
    this.name = name
  }

  async invalidateRangeStart(range: MmuNotifierRange): Promise<void> {
    this.called()
    this.windows++
    if (range.blockable) await this.sched.yieldNow()
    this.called()
  }

  invalidateRangeEnd(): void {
    this.called()
    if (--this.windows < 0) throw new KernelBug(`${this.name}: an end without its start`, 'I6')
  }

  async release(): Promise<void> {
    this.called()
    this.released++
    await this.sched.yieldNow()
    this.called()
  }

  /** Judged at the end of a run. */
  settle(): void {
    if (this.windows !== 0) throw new KernelBug(`${this.name}: ${this.windows} starts without their end`, 'I6')
  }

  private called(): void {
    if (this.isGone) throw new KernelBug(`${this.name}: a hook runs after unregister returned`, 'I5')
  }
}
