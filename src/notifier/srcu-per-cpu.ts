/**
 * The read side of the SRCU implementations that count readers per CPU (Linux v3.7 kernel/srcu.c, v6.12 srcutree.c): it
 * differs only in what counting in and out is.
 *
 * R1 Counting out follows barrier C: what the reader did inside is visible to whoever sees it gone.
 */
import { SrcuDomain } from './srcu-domain.ts'

export abstract class PerCpuSrcu extends SrcuDomain {
  async readLock(): Promise<number> {
    const idx = await this.countIn()
    this.entered(idx)
    return idx
  }

  async readUnlock(idx: number): Promise<void> {
    // Barrier C.
    if (this.sched.contended) await this.sched.point(this, 'w', 'srcu_read_unlock: count out')
    this.readUnlockFast(idx)
  }

  readUnlockFast(idx: number): void {
    this.leaving(idx)
    this.countOut(idx)
  }

  async downRead(): Promise<number> {
    const idx = await this.countIn()
    this.readers.handOut(idx)
    return idx
  }

  async upRead(idx: number): Promise<void> {
    if (this.sched.contended) await this.sched.point(this, 'w', 'srcu_up_read: count out')
    this.readers.takeBack(idx)
    this.countOut(idx)
  }

  /** Fetches the index and counts the running task in on it, with a switch point before each access. */
  protected abstract countIn(): Promise<number>
  /** One reader less on the index, on this CPU; wakes the driver if it may have been the last. */
  protected abstract countOut(idx: number): void
}
