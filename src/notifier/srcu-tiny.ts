/**
 * SRCU with two nesting counters, the default (Linux v6.12 kernel/rcu/srcutiny.c).
 *
 * R1 Fetching the index and counting is one step, as the kernel's with preemption off on its one CPU. So a reader is
 *    never late, and one wait for one index makes a grace period.
 * R2 The index word is even at rest and odd while a grace period waits; readers use index ((word + 1) & 2) >> 1.
 * R3 A `synchronize` that finds the domain at rest drives the grace period itself, where the kernel asks the worker: the
 *    waiter is then the one whom a report should name. Otherwise it queues like any callback.
 */
import type { SrcuCallback } from './srcu.ts'
import { SrcuDomain, seqReached } from './srcu-domain.ts'

/** srcu_idx and srcu_idx_max in `words`. */
const INDEX = 0
const INDEX_MAX = 1

export class SrcuTiny extends SrcuDomain {
  readonly kind = 'tiny'
  /** Readers on each index (srcu_lock_nesting). */
  protected readonly nesting: Int32Array = new Int32Array(2)
  protected readonly words: Uint32Array = new Uint32Array(2)
  /** In order of posting (srcu_cb_head). */
  private callbacks: SrcuCallback[] = []
  /** Callbacks taken from the queue that have not run yet. */
  private taken = 0
  private running = false

  async readLock(): Promise<number> {
    if (this.sched.contended) await this.sched.point(this, 'w', 'srcu_read_lock')
    return this.readLockFast()
  }

  readLockFast(): number {
    const idx = this.countIn()
    this.entered(idx)
    return idx
  }

  async readUnlock(idx: number): Promise<void> {
    if (this.sched.contended) await this.sched.point(this, 'w', 'srcu_read_unlock')
    this.readUnlockFast(idx)
  }

  readUnlockFast(idx: number): void {
    this.leaving(idx)
    this.countOut(idx)
  }

  async downRead(): Promise<number> {
    if (this.sched.contended) await this.sched.point(this, 'w', 'srcu_down_read')
    const idx = this.countIn()
    this.readers.handOut(idx)
    return idx
  }

  async upRead(idx: number): Promise<void> {
    if (this.sched.contended) await this.sched.point(this, 'w', 'srcu_up_read')
    this.readers.takeBack(idx)
    this.countOut(idx)
  }

  call(callback: SrcuCallback): void {
    this.callbacks.push(callback)
    if (this.needGracePeriod()) this.queueWork()
  }

  getState(): number {
    return ((this.words[INDEX]! + 3) & ~1) >>> 0
  }

  startPoll(): number {
    const cookie = this.getState()
    if (this.needGracePeriod()) this.queueWork()
    return cookie
  }

  pollState(cookie: number): boolean {
    return seqReached(this.words[INDEX]!, cookie)
  }

  protected readersOn(idx: number): number {
    return this.nesting[idx]!
  }

  protected pendingCallbacks(): number {
    return this.callbacks.length + this.taken
  }

  protected async gracePeriod(): Promise<void> {
    if (this.sched.contended) await this.sched.point(this, 'w', 'synchronize_srcu')
    const isAtRest = !this.running && this.callbacks.length === 0 && !this.isBehind()
    if (isAtRest) {
      this.needGracePeriod()
      await this.process()
      return
    }
    const completion = this.newCompletion()
    this.call(() => completion.complete())
    await this.waitForCompletion(completion, 'synchronize')
  }

  /** One grace period and the callbacks that waited for it (srcu_drive_gp). */
  protected async process(): Promise<void> {
    if (this.running || !this.isBehind()) return
    this.running = true
    this.gracePeriodStarts()
    const batch = this.callbacks
    this.callbacks = []
    this.taken = batch.length
    const idx = (this.words[INDEX]! & 2) >> 1
    this.words[INDEX]!++
    if (!this.isQuiet(idx)) await this.waitForLastReader(idx)
    this.words[INDEX]!++
    this.gracePeriodEnds()
    for (const callback of batch) {
      await this.invoke(callback)
      this.taken--
    }
    this.running = false
    if (this.isBehind()) this.queueWork()
  }

  private countIn(): number {
    const idx = ((this.words[INDEX]! + 1) & 2) >> 1
    this.nesting[idx]!++
    return idx
  }

  private countOut(idx: number): void {
    this.nesting[idx]!--
    this.left(idx)
  }

  private isBehind(): boolean {
    return !seqReached(this.words[INDEX]!, this.words[INDEX_MAX]!)
  }

  /**
   * Asks for a grace period that starts from now (srcu_gp_start_if_needed).
   * @returns true when somebody must start it
   */
  private needGracePeriod(): boolean {
    const cookie = this.getState()
    if (seqReached(this.words[INDEX_MAX]!, cookie)) return false
    this.words[INDEX_MAX] = cookie
    return !this.running
  }
}
