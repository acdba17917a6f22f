/**
 * Interval notifiers: a client subscribes to one range of an mm and is told of its invalidations, with a sequence
 * that makes its own copies safe (Linux v6.12 mm/mmu_notifier.c, mmu_interval_notifier).
 *
 *  client                              mm
 *  seq = readBegin
 *  look the pages up                   invalidateStart: the tree freezes, seq is odd
 *                                        invalidate(seq): user lock, setSeq, drop the copy
 *  user lock
 *  readRetry(seq)? start over          invalidateEnd of the last one: seq is even
 *  install the copy
 *
 * R1 The sequence of the subscriptions is odd while an invalidation that hit an interval is under way, else even. The
 *    tree does not change while it is odd: what is inserted or removed meanwhile waits for the end of the last one.
 * R2 An interval's own sequence equals it exactly while the interval is being invalidated: then `readBegin` sleeps.
 * R3 `invalidate` sets the interval's sequence before it drops anything, under the lock that `readRetry` is called under.
 *    It returns false only where it would have to sleep in a range that is not blockable.
 * R4 Nobody may sleep for the end of an invalidation that he himself has begun (I8).
 */
import { KernelBug, bugOn, hva } from '../base/index.ts'
import { WaitQueue } from '../sched/index.ts'
import type { Scheduler, SpinLock, Task } from '../sched/index.ts'
import { CalloutStats } from './callout-stats.ts'
import { IntervalNode, IntervalTree } from './interval-tree.ts'
import type { NotifierMm } from './notifier-mm.ts'
import { EAGAIN, NON_BLOCKABLE, mmuNotifierRange } from './ops.ts'
import type { Hook, MmuNotifierRange } from './ops.ts'

export interface MmuIntervalNotifierOps {
  /** For reports and traces. Default: the name of the class. */
  readonly name?: string
  /**
   * The range is about to change: take the user lock, `mmuIntervalSetSeq(sub, seq)` always, then drop the copy.
   * @returns false when it would have to sleep and the range is not blockable
   */
  invalidate(range: MmuNotifierRange, seq: number, sub: MmuIntervalNotifier): Hook<boolean>
}

/** One interval of one mm. A client may extend it to keep its own state. */
export class MmuIntervalNotifier extends IntervalNode {
  readonly ops: MmuIntervalNotifierOps
  readonly client: string
  readonly stats: CalloutStats = new CalloutStats()
  /** Set by insert, null again when removed. */
  mm: NotifierMm | null = null
  /** [0]: written by `mmuIntervalSetSeq` under the user's lock. */
  readonly sequence: Uint32Array = new Uint32Array(1)
  /** Waits on the deferred list. Protected by the subscriptions' lock. */
  isDeferred = false

  constructor(ops: MmuIntervalNotifierOps) {
    super()
    this.ops = ops
    this.client = ops.name ?? ops.constructor.name
  }

  describe(): string {
    return `interval notifier ${this.client}#${this.id} [0x${this.start.toString(16)}, 0x${this.last.toString(16)}]`
  }
}

/** Words of `words`: invalidate_seq and active_invalidate_ranges. */
const SEQ = 0
const ACTIVE = 1
/** The first value of the sequence: even, and no interval's. */
const FIRST_SEQ = 2

/** The interval notifiers of one mm. All of it is protected by the subscriptions' lock. */
export class IntervalSubscriptions {
  private readonly mm: NotifierMm
  protected readonly sched: Scheduler
  private readonly lock: SpinLock
  protected readonly tree: IntervalTree = new IntervalTree()
  protected readonly words: Uint32Array = new Uint32Array([FIRST_SEQ, 0])
  private readonly deferred: MmuIntervalNotifier[] = []
  private readonly queue: WaitQueue
  /** Tasks between their start and their end, for the wait graph. */
  private readonly invalidating: Task[] = []
  private readonly newId: () => number

  /** @param newId ids that the mm's notifiers and interval notifiers share */
  constructor(mm: NotifierMm, lock: SpinLock, newId: () => number) {
    this.mm = mm
    this.sched = mm.sched
    this.lock = lock
    this.newId = newId
    this.queue = new WaitQueue(mm.sched, `interval notifiers of mm ${mm.id}`)
  }

  get isIdle(): boolean {
    return this.tree.size === 0 && this.words[ACTIVE] === 0
  }

  /** An invalidation that hit an interval is under way. */
  private get isFrozen(): boolean {
    return (this.words[SEQ]! & 1) === 1
  }

  async insert(sub: MmuIntervalNotifier): Promise<void> {
    sub.id = this.newId()
    this.emitLife('mmu_notifier_register_begin', sub)
    await this.lock.lock()
    if (this.words[ACTIVE] === 0) {
      // Odd and not the present sequence: not being invalidated.
      sub.sequence[0] = this.words[SEQ]! - 1
      this.tree.insert(sub)
    } else {
      if (this.isFrozen) {
        this.defer(sub)
      } else {
        this.words[SEQ]! |= 1
        this.tree.insert(sub)
      }
      sub.sequence[0] = this.words[SEQ]!
    }
    this.lock.unlock()
    this.emitLife('mmu_notifier_register_end', sub)
  }

  /** Sleeps while an invalidation is under way, so that `invalidate` does not run when it returns. */
  async remove(sub: MmuIntervalNotifier): Promise<void> {
    this.sched.mightSleep('mmu_interval_notifier_remove')
    this.emitLife('mmu_notifier_unregister_begin', sub)
    let waitsFor = 0
    await this.lock.lock()
    if (!this.isFrozen) {
      this.tree.remove(sub)
    } else if (sub.isLinked) {
      this.defer(sub)
      waitsFor = this.words[SEQ]!
    } else {
      // Inserted during this invalidation: it never was in the tree.
      this.deferred.splice(this.deferred.indexOf(sub), 1)
      sub.isDeferred = false
    }
    this.lock.unlock()
    if (waitsFor !== 0) await this.waitWhile(waitsFor, `removal of ${sub.describe()}`)
    this.emitLife('mmu_notifier_unregister_end', sub)
  }

  async readBegin(sub: MmuIntervalNotifier): Promise<number> {
    this.sched.mightSleep('mmu_interval_read_begin')
    await this.lock.lock()
    const seq = sub.sequence[0]!
    const isInvalidating = seq === this.words[SEQ]
    this.lock.unlock()
    if (isInvalidating) await this.waitWhile(seq, `invalidation of ${sub.describe()}`)
    return seq
  }

  /** @returns 0, or -EAGAIN when an interval would have slept in a range that is not blockable */
  async invalidateStart(range: MmuNotifierRange): Promise<number> {
    await this.lock.lock()
    this.words[ACTIVE]!++
    this.invalidating.push(this.sched.current)
    const hits = this.tree.overlapping(range.start, range.end - 1) as readonly MmuIntervalNotifier[]
    if (hits.length > 0) this.words[SEQ]! |= 1
    const seq = this.words[SEQ]!
    this.lock.unlock()
    for (const sub of hits) {
      if (await this.callInvalidate(sub, range, seq)) continue
      await this.invalidateEnd()
      return -EAGAIN
    }
    return 0
  }

  async invalidateEnd(): Promise<void> {
    await this.lock.lock()
    bugOn(this.words[ACTIVE] === 0, `mm ${this.mm.id}: an invalidation ends that has not begun`, 'I6')
    const at = this.invalidating.indexOf(this.sched.current)
    this.invalidating.splice(Math.max(at, 0), 1)
    this.words[ACTIVE]!--
    const isLast = this.words[ACTIVE] === 0 && this.isFrozen
    if (isLast) await this.thaw()
    this.lock.unlock()
    if (isLast) this.queue.wakeAll()
  }

  /** The last invalidation that hit an interval ends. One step, under the lock: whoever sees the new sequence is told the truth. */
  protected thaw(): Promise<void> | void {
    this.bumpSeq()
    this.applyDeferred()
  }

  protected bumpSeq(): void {
    this.words[SEQ]!++
  }

  /** The mm exits: every interval is invalidated (mn_itree_release). */
  async release(): Promise<void> {
    const range = mmuNotifierRange(this.mm, hva(0), hva(Infinity), 'RELEASE')
    await this.invalidateStart(range)
    await this.invalidateEnd()
  }

  private async callInvalidate(sub: MmuIntervalNotifier, range: MmuNotifierRange, seq: number): Promise<boolean> {
    const { sched } = this
    const { trace } = sched
    const task = sched.current
    if (sub.mm === null) throw new KernelBug(`task ${task.name} invalidates ${sub.describe()} after its removal`, 'I5')
    const event = {
      mm: this.mm.id,
      notifier: sub.id,
      client: sub.client,
      op: 'invalidate',
      start: range.start,
      end: range.end,
    }
    if (trace.on) trace.emit({ name: 'mmu_notifier_callout_begin', ...event })
    const mark = sub.stats.begin('invalidate', task, sched.now)
    if (!range.blockable) sched.enterAtomic(NON_BLOCKABLE)
    const isDone = await sub.ops.invalidate(range, seq, sub)
    if (!range.blockable) sched.leaveAtomic(NON_BLOCKABLE)
    sub.stats.end('invalidate', task, sched.now, mark)
    if (trace.on) trace.emit({ name: 'mmu_notifier_callout_end', ...event })
    this.checkInvalidated(sub, range, seq, isDone)
    return isDone
  }

  private checkInvalidated(sub: MmuIntervalNotifier, range: MmuNotifierRange, seq: number, isDone: boolean): void {
    if (!isDone && range.blockable) {
      throw new KernelBug(`${sub.describe()} refused a blockable invalidation: it must sleep instead`, 'I6')
    }
    if (isDone && sub.sequence[0] !== seq) {
      throw new KernelBug(
        `${sub.describe()} did not call mmuIntervalSetSeq in invalidate: readers would not retry`,
        'I10',
      )
    }
  }

  private defer(sub: MmuIntervalNotifier): void {
    bugOn(sub.isDeferred, `${sub.describe()} is inserted or removed twice`)
    sub.isDeferred = true
    this.deferred.push(sub)
  }

  protected applyDeferred(): void {
    for (const sub of this.deferred) {
      if (sub.mm === null)
        throw new KernelBug(`the tree is told to forget ${sub.describe()}, whose removal has returned`, 'I5')
      sub.isDeferred = false
      if (sub.isLinked) this.tree.remove(sub)
      else this.tree.insert(sub)
    }
    this.deferred.length = 0
  }

  private async waitWhile(seq: number, what: string): Promise<void> {
    const task = this.sched.current
    if (this.invalidating.includes(task)) {
      throw new KernelBug(`task ${task.name} waits for the ${what} inside an invalidation of its own`, 'I8')
    }
    if (this.sched.contended) await this.sched.point(this.words, 'r', 'invalidate_seq')
    await this.queue.wait(() => this.words[SEQ] !== seq, { why: what, holders: () => this.invalidating })
  }

  private emitLife(
    name:
      | 'mmu_notifier_register_begin'
      | 'mmu_notifier_register_end'
      | 'mmu_notifier_unregister_begin'
      | 'mmu_notifier_unregister_end',
    sub: MmuIntervalNotifier,
  ): void {
    if (!this.sched.trace.on) return
    this.sched.trace.emit({ name, mm: this.mm.id, notifier: sub.id, client: sub.client })
  }
}
