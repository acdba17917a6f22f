/**
 * SRCU as the global one of the first sleepable notifiers had it (Linux v3.5 to v3.10 kernel/srcu.c).
 *
 * Per CPU and index: `c`, readers in minus readers out (negative on a CPU where more left than entered: only the sum
 * counts), and `seq`, the number of locks ever taken.
 *
 * R1 A reader may be delayed without bound between fetching the index and counting, so readers exist on both indices
 *    at any time: a grace period sees each index at zero once after it began. Hence two scans, with a flip between
 *    them that moves newcomers away so that they cannot starve the second one.
 * R2 Sums are read one CPU at a time. A reader that left on another CPU than it entered on can make them read zero
 *    while somebody else is inside; equal sums of `seq` before and after exclude that.
 * R3 Callbacks move through four queues, queue -> check0 -> check1 -> done, and are run in the order of posting.
 *    Whoever has set `running` owns all queues but the first.
 */
import type { Completion, Scheduler } from '../sched/index.ts'
import type { SrcuCallback, SrcuOptions } from './srcu.ts'
import { NO_INDEX, seqReached } from './srcu-domain.ts'
import { PerCpuSrcu } from './srcu-per-cpu.ts'

/** Virtual nanoseconds between two looks at the counters (SRCU_RETRY_CHECK_DELAY). */
const RETRY_CHECK_DELAY = 5000
const TRYCOUNT = 2
const TRYCOUNT_EXPEDITED = 12
/** Callbacks run in one round of the worker. */
const CALLBACK_BATCH = 10

export class SrcuClassic extends PerCpuSrcu {
  readonly kind = 'classic'
  /** c[cpu][idx] at 2 * cpu + idx. */
  protected readonly c: Int32Array
  /** seq[cpu][idx], the same way. */
  protected readonly seq: Uint32Array
  /** [0]: number of flips; its low bit is the index of new readers. */
  protected readonly completed: Uint32Array = new Uint32Array(1)
  protected batchQueue: SrcuCallback[] = []
  protected batchCheck0: SrcuCallback[] = []
  protected batchCheck1: SrcuCallback[] = []
  protected batchDone: SrcuCallback[] = []
  private running = false
  /** Index of the scan that failed last, for the worker to wait on. */
  private stuckOn: number = NO_INDEX
  /** Callbacks ever posted, and ever past their grace period; order makes them cookies for polling. */
  private posted = 0
  private passed = 0

  constructor(sched: Scheduler, options: SrcuOptions) {
    super(sched, options)
    this.c = new Int32Array(2 * this.cpus)
    this.seq = new Uint32Array(2 * this.cpus)
  }

  readLockFast(): number {
    const idx = this.completed[0]! & 1
    const slot = this.slot(idx)
    this.c[slot]!++
    this.seq[slot]!++
    this.entered(idx)
    return idx
  }

  call(callback: SrcuCallback): void {
    this.posted++
    this.batchQueue.push(callback)
    if (this.running) return
    this.running = true
    this.queueWork()
  }

  /** Done when a callback that is posted from now on would be. */
  getState(): number {
    return (this.posted + 1) >>> 0
  }

  startPoll(): number {
    this.call(() => {})
    return this.posted >>> 0
  }

  pollState(cookie: number): boolean {
    return seqReached(this.passed, cookie)
  }

  protected readersOn(idx: number): number {
    let sum = 0
    for (let slot = idx; slot < this.c.length; slot += 2) sum += this.c[slot]!
    return sum
  }

  protected pendingCallbacks(): number {
    return this.batchQueue.length + this.batchCheck0.length + this.batchCheck1.length + this.batchDone.length
  }

  protected async gracePeriod(expedited: boolean): Promise<void> {
    const completion = this.newCompletion()
    const wake = (): void => completion.complete()
    if (this.sched.contended) await this.sched.point(this, 'w', 'synchronize_srcu: queue_lock')
    this.posted++
    if (this.running) {
      this.batchQueue.push(wake)
      await this.waitForCompletion(completion, 'synchronize')
      return
    }
    await this.stealOwnership(wake, completion, expedited ? TRYCOUNT_EXPEDITED : TRYCOUNT)
  }

  /** The domain is at rest: its caller advances the grace period itself, and hands over to the worker what is left. */
  private async stealOwnership(wake: SrcuCallback, completion: Completion, trycount: number): Promise<void> {
    this.running = true
    this.batchCheck0.push(wake)
    await this.advanceBatches(trycount)
    const isDone = this.batchDone.shift() === wake
    this.reschedule()
    if (!isDone) await this.waitForCompletion(completion, 'synchronize')
  }

  /** The worker (process_srcu). */
  protected async process(): Promise<void> {
    if (this.stuckOn !== NO_INDEX) await this.waitForLastReader(this.stuckOn)
    this.collectNew()
    await this.advanceBatches(1)
    for (let i = 0; i < CALLBACK_BATCH && this.batchDone.length > 0; i++) {
      await this.invoke(this.batchDone[0]!)
      this.batchDone.shift()
    }
    this.reschedule()
  }

  /** Moves callbacks as far as the readers allow (srcu_advance_batches). */
  protected async advanceBatches(trycount: number): Promise<void> {
    this.stuckOn = NO_INDEX
    if (this.batchCheck0.length === 0 && this.batchCheck1.length === 0) return
    if (this.driver === null) this.gracePeriodStarts()
    if (!(await this.firstScan(1 ^ (this.completed[0]! & 1), trycount))) return
    this.passSecondCheck()
    if (this.batchCheck0.length === 0) return
    if (this.driver === null) this.gracePeriodStarts()
    await this.flip()
    this.batchCheck1 = this.batchCheck0
    this.batchCheck0 = []
    // Readers are short as a rule: look at least twice in quick succession.
    if (!(await this.secondScan(1 ^ (this.completed[0]! & 1), Math.max(trycount, 2)))) return
    this.passSecondCheck()
  }

  /** Readers that fetched their index before the previous flip. */
  protected async firstScan(idx: number, trycount: number): Promise<boolean> {
    return await this.tryCheckZero(idx, trycount)
  }

  /** Readers on the index that was just left. */
  protected async secondScan(idx: number, trycount: number): Promise<boolean> {
    return await this.tryCheckZero(idx, trycount)
  }

  protected async flip(): Promise<void> {
    if (this.sched.contended) await this.sched.point(this, 'w', 'srcu_flip')
    this.completed[0]!++
  }

  protected async tryCheckZero(idx: number, trycount: number): Promise<boolean> {
    for (let left = trycount; ;) {
      if (await this.activeIdxCheck(idx)) return true
      if (--left <= 0) break
      this.sched.advance(RETRY_CHECK_DELAY)
    }
    this.stuckOn = idx
    return false
  }

  /** Was there an instant without readers on the index (srcu_readers_active_idx_check)? */
  protected async activeIdxCheck(idx: number): Promise<boolean> {
    const before = await this.sum(this.seq, idx, 'srcu scan: seq')
    // Barrier A: whoever this sum of seq counts, the sum of c counts too.
    if ((await this.sum(this.c, idx, 'srcu scan: c')) !== 0) return false
    // Barrier D: whoever left before the sum of c is out of the section.
    return await this.isSeqUnchanged(idx, before)
  }

  /** Did nobody enter while the sums were taken? */
  protected async isSeqUnchanged(idx: number, before: number): Promise<boolean> {
    return (await this.sum(this.seq, idx, 'srcu scan: seq again')) === before
  }

  /** Fetches the index and counts the running task in. */
  protected async countIn(): Promise<number> {
    if (this.sched.contended) await this.sched.point(this, 'r', 'srcu_read_lock: fetch index')
    const idx = this.completed[0]! & 1
    if (this.sched.contended) await this.sched.point(this, 'w', 'srcu_read_lock: c++')
    // Preemption is off from here to seq++: both go to one CPU, though other CPUs may look in between.
    const slot = this.slot(idx)
    this.c[slot]!++
    // Barrier B.
    if (this.sched.contended) await this.sched.point(this, 'w', 'srcu_read_lock: seq++')
    this.seq[slot]!++
    return idx
  }

  protected countOut(idx: number): void {
    this.c[this.slot(idx)]!--
    this.left(idx)
  }

  private slot(idx: number): number {
    return 2 * (this.sched.current.cpu % this.cpus) + idx
  }

  private async sum(counters: Int32Array | Uint32Array, idx: number, what: string): Promise<number> {
    let sum = 0
    for (let slot = idx; slot < counters.length; slot += 2) {
      if (this.sched.contended) await this.sched.point(this, 'r', what)
      sum += counters[slot]!
    }
    return sum | 0
  }

  private collectNew(): void {
    for (const callback of this.batchQueue) this.batchCheck0.push(callback)
    this.batchQueue.length = 0
  }

  private passSecondCheck(): void {
    if (this.batchCheck1.length === 0) return
    for (const callback of this.batchCheck1) this.batchDone.push(callback)
    this.passed += this.batchCheck1.length
    this.batchCheck1.length = 0
    this.gracePeriodEnds()
  }

  private reschedule(): void {
    if (this.pendingCallbacks() === 0) this.running = false
    else this.queueWork()
  }
}
