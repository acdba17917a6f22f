/**
 * Plain RCU, beside SRCU for contrast: its readers may be preempted but not sleep (Linux include/linux/rcupdate.h).
 *
 * R1 A grace period waits for every section that was open when it began. Counting is one step, so one flip of the
 *    phase and one wait are enough.
 * R2 A reader is in atomic context: whatever sleeps inside is reported (I13). Without that check a sleeping reader would
 *    count as gone, and its protection with it: why hooks that sleep need SRCU.
 */
import { LockClass, WaitQueue } from '../sched/index.ts'
import type { Scheduler } from '../sched/index.ts'
import { SrcuReaders } from './srcu-readers.ts'

export class Rcu {
  protected readonly readers: SrcuReaders
  protected readonly sched: Scheduler
  /** Index that new readers count on; flipped by each grace period. */
  private phase = 0
  private busy = false
  private readonly turn: WaitQueue
  private readonly lastReader: WaitQueue

  constructor(sched: Scheduler) {
    const lockClass = new LockClass({ name: 'rcu', type: 'srcu', protects: 'What its readers may still see.' })
    this.sched = sched
    this.readers = new SrcuReaders(sched, lockClass, 'rcu')
    this.turn = new WaitQueue(sched, 'turn of synchronize_rcu')
    this.lastReader = new WaitQueue(sched, 'the last reader of rcu')
  }

  /** Enters a read section; sections nest. */
  readLock(): void {
    const outer = this.readers.currentIndex()
    this.readers.enter(outer < 0 ? this.phase : outer)
    this.enterContext()
  }

  /** @throws KernelBug I5 outside a section */
  readUnlock(): void {
    const idx = this.readers.currentIndex()
    this.readers.leave(idx)
    this.leaveContext()
    if (idx !== this.phase && this.isQuiet(idx)) this.lastReader.wakeAll()
  }

  /** Waits for every section that is open now; sleeps. @throws KernelBug I8 inside a section, I13 in atomic context */
  async synchronize(): Promise<void> {
    this.readers.checkMayWait('synchronize_rcu')
    await this.turn.wait(() => !this.busy)
    this.busy = true
    const old = this.phase
    this.phase = 1 - old
    await this.lastReader.wait(() => this.isQuiet(old), { holders: () => this.readers.on(old) })
    this.busy = false
    this.turn.wakeOne()
  }

  /** Is no section open on this index? */
  protected isQuiet(idx: number): boolean {
    return this.readers.on(idx).length === 0
  }

  protected enterContext(): void {
    this.sched.enterAtomic('rcu_read_lock')
  }

  protected leaveContext(): void {
    this.sched.leaveAtomic('rcu_read_lock')
  }
}
