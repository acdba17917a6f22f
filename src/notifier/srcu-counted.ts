/**
 * SRCU with counters that only grow (Linux v6.12 kernel/rcu/srcutree.c, without its tree of nodes).
 *
 * Per CPU and index: the number of locks and the number of unlocks. A reader writes one of them, never takes one back.
 *
 * R1 A scan sums the unlocks first, then the locks: equal sums mean that there was an instant without readers.
 * R2 One grace period at a time: idle -> scan 1 -> flip -> scan 2 -> idle, kept in the low two bits of its number.
 * R3 Callbacks wait on the CPU that posted them, each with the number of the grace period that frees it, and are run in
 *    order per CPU, never two at once.
 */
import type { Scheduler } from '../sched/index.ts'
import type { SrcuCallback, SrcuOptions } from './srcu.ts'
import { NO_INDEX, seqReached } from './srcu-domain.ts'
import { PerCpuSrcu } from './srcu-per-cpu.ts'

/** States in the low bits of the grace period's number (rcu_seq). */
const SEQ_MASK = 3
const IDLE = 0
const SCAN1 = 1
const SCAN2 = 2
/** Words of `words`: srcu_idx, srcu_gp_seq, srcu_gp_seq_needed, srcu_gp_seq_needed_exp. */
const INDEX = 0
const GP_SEQ = 1
const NEEDED = 2
const NEEDED_EXPEDITED = 3

const RETRY_CHECK_DELAY = 5000
const TRYCOUNT_EXPEDITED = 12

interface PostedCallback {
  readonly callback: SrcuCallback
  /** Number that the grace period must reach first. */
  readonly cookie: number
}

export class SrcuCounted extends PerCpuSrcu {
  readonly kind = 'counted'
  /** lock_count[cpu][idx] and unlock_count[cpu][idx] at 2 * cpu + idx. */
  protected readonly locks: Uint32Array
  protected readonly unlocks: Uint32Array
  protected readonly words: Uint32Array = new Uint32Array(4)
  /** Posted callbacks by CPU. */
  private readonly queues: PostedCallback[][] = []
  private stuckOn: number = NO_INDEX

  constructor(sched: Scheduler, options: SrcuOptions) {
    super(sched, options)
    this.locks = new Uint32Array(2 * this.cpus)
    this.unlocks = new Uint32Array(2 * this.cpus)
    for (let cpu = 0; cpu < this.cpus; cpu++) this.queues.push([])
  }

  readLockFast(): number {
    const idx = this.words[INDEX]! & 1
    this.locks[2 * this.cpu() + idx]!++
    this.entered(idx)
    return idx
  }

  call(callback: SrcuCallback): void {
    this.post(callback, false)
  }

  getState(): number {
    return this.snapshot()
  }

  startPoll(): number {
    const cookie = this.snapshot()
    this.need(cookie, false)
    return cookie
  }

  pollState(cookie: number): boolean {
    return seqReached(this.words[GP_SEQ]!, cookie)
  }

  /** One callback behind those of each CPU that has any: when the last of them runs, all earlier ones have. */
  override async barrier(): Promise<void> {
    this.readers.checkMayWait('barrier')
    if (this.sched.contended) await this.sched.point(this, 'w', 'srcu_barrier')
    const completion = this.newCompletion()
    let waiting = 0
    for (const queue of this.queues) {
      const last = queue.at(-1)
      if (last === undefined) continue
      waiting++
      queue.push({ cookie: last.cookie, callback: () => (--waiting === 0 ? completion.complete() : undefined) })
    }
    if (waiting > 0) await this.waitForCompletion(completion, 'barrier')
  }

  protected readersOn(idx: number): number {
    let sum = 0
    for (let slot = idx; slot < this.locks.length; slot += 2) sum += this.locks[slot]! - this.unlocks[slot]!
    return sum | 0
  }

  protected pendingCallbacks(): number {
    let count = 0
    for (const queue of this.queues) count += queue.length
    return count
  }

  protected async gracePeriod(expedited: boolean): Promise<void> {
    if (this.sched.contended) await this.sched.point(this, 'w', 'synchronize_srcu')
    const completion = this.newCompletion()
    this.post(() => completion.complete(), expedited)
    await this.waitForCompletion(completion, 'synchronize')
  }

  /** The worker: one attempt at each step of the grace period in progress (srcu_advance_state), then callbacks. */
  protected async process(): Promise<void> {
    if (this.stuckOn !== NO_INDEX) await this.waitForLastReader(this.stuckOn)
    this.stuckOn = NO_INDEX
    await this.advanceState()
    for (const queue of this.queues) await this.invokeReady(queue)
    if (this.state() !== IDLE || !seqReached(this.words[GP_SEQ]!, this.words[NEEDED]!)) this.queueWork()
  }

  protected async advanceState(): Promise<void> {
    if (this.state() === IDLE) {
      if (seqReached(this.words[GP_SEQ]!, this.words[NEEDED]!)) return
      this.gracePeriodStarts()
      this.words[GP_SEQ]! += SCAN1
    }
    if (this.state() === SCAN1) {
      if (!(await this.firstScan(1 ^ (this.words[INDEX]! & 1)))) return
      await this.flip()
      this.words[GP_SEQ]! += SCAN2 - SCAN1
    }
    if (!(await this.secondScan(1 ^ (this.words[INDEX]! & 1)))) return
    this.words[GP_SEQ] = (this.words[GP_SEQ]! | SEQ_MASK) + 1
    this.gracePeriodEnds()
  }

  /** Readers that fetched their index before the previous flip. */
  protected async firstScan(idx: number): Promise<boolean> {
    return await this.tryCheckZero(idx, 1)
  }

  /** Readers on the index that was just left. */
  protected async secondScan(idx: number): Promise<boolean> {
    return await this.tryCheckZero(idx, 2)
  }

  protected async flip(): Promise<void> {
    // Barrier E: the scan before, then the flip. Barrier D: the flip, then the scan after.
    if (this.sched.contended) await this.sched.point(this, 'w', 'srcu_flip')
    this.words[INDEX]!++
  }

  protected async tryCheckZero(idx: number, trycount: number): Promise<boolean> {
    const isHurried = !seqReached(this.words[GP_SEQ]!, this.words[NEEDED_EXPEDITED]!)
    for (let left = isHurried ? TRYCOUNT_EXPEDITED : trycount; ;) {
      if (await this.activeIdxCheck(idx)) return true
      if (--left <= 0) break
      this.sched.advance(RETRY_CHECK_DELAY)
    }
    this.stuckOn = idx
    return false
  }

  /** Was there an instant without readers on the index (srcu_readers_active_idx_check)? */
  protected async activeIdxCheck(idx: number): Promise<boolean> {
    const unlocks = await this.sum(this.unlocks, idx, 'srcu scan: unlocks')
    // Barrier A: whoever's unlock was summed, its lock will be too.
    return (await this.sum(this.locks, idx, 'srcu scan: locks')) === unlocks
  }

  protected async sum(counters: Uint32Array, idx: number, what: string): Promise<number> {
    let sum = 0
    for (let slot = idx; slot < counters.length; slot += 2) {
      if (this.sched.contended) await this.sched.point(this, 'r', what)
      sum += counters[slot]!
    }
    return sum | 0
  }

  protected async countIn(): Promise<number> {
    if (this.sched.contended) await this.sched.point(this, 'r', 'srcu_read_lock: fetch index')
    const idx = this.words[INDEX]! & 1
    // The count goes to the CPU that the task is on by now.
    if (this.sched.contended) await this.sched.point(this, 'w', 'srcu_read_lock: locks++')
    this.locks[2 * this.cpu() + idx]!++
    return idx
  }

  protected countOut(idx: number): void {
    this.unlocks[2 * this.cpu() + idx]!++
    this.left(idx)
  }

  /** A task of the kernel's first moments has no CPU yet: it counts on CPU 0. */
  private cpu(): number {
    return this.sched.isRunning ? this.sched.current.cpu % this.cpus : 0
  }

  private state(): number {
    return this.words[GP_SEQ]! & SEQ_MASK
  }

  /** The number at which a grace period that starts from now is over (rcu_seq_snap). */
  private snapshot(): number {
    return ((this.words[GP_SEQ]! + 2 * SEQ_MASK + 1) & ~SEQ_MASK) >>> 0
  }

  private post(callback: SrcuCallback, expedited: boolean): void {
    const cookie = this.snapshot()
    this.queues[this.cpu()]!.push({ callback, cookie })
    this.need(cookie, expedited)
  }

  private need(cookie: number, expedited: boolean): void {
    if (expedited && !seqReached(this.words[NEEDED_EXPEDITED]!, cookie)) this.words[NEEDED_EXPEDITED] = cookie
    if (!seqReached(this.words[NEEDED]!, cookie)) this.words[NEEDED] = cookie
    if (this.state() === IDLE) this.queueWork()
  }

  private async invokeReady(queue: PostedCallback[]): Promise<void> {
    while (queue.length > 0 && seqReached(this.words[GP_SEQ]!, queue[0]!.cookie)) {
      await this.invoke(queue[0]!.callback)
      queue.shift()
    }
  }
}
