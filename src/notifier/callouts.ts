/**
 * The callouts: what an mm does to its notifiers (Linux mm/mmu_notifier.c, __mmu_notifier_* of v3.7 and v6.12).
 *
 * | callout | who is asked | result |
 * |---|---|---|
 * | invalidateRangeStart | interval notifiers, then the list; all, even after one failed | 0 or -EAGAIN |
 * | invalidateRangeEnd | interval notifiers, then the list | - |
 * | clearFlushYoung, clearYoung | all | any |
 * | testYoung | until the first yes | any |
 * | changePte | all; one without the hook gets invalidatePage instead (v3.7) | - |
 * | invalidatePage | all | - |
 *
 * R1 Each callout is one SRCU read section of its own: between a start and its end none is held, so an unregister may
 *    complete in between. Hooks may sleep in it.
 * R2 The list is walked node by node, newest first, with a switch point at each step.
 * R3 No hook of a notifier begins after its unregister returned, nor touches it after it was freed (I5).
 * R4 A start that fails is undone at once: every notifier with an end gets it, and the caller calls none (I6).
 */
import { KernelBug, PAGE_SIZE, hva } from '../base/index.ts'
import type { Hva } from '../base/index.ts'
import type { Scheduler } from '../sched/index.ts'
import type { CalloutMark } from './callout-stats.ts'
import type { IntervalSubscriptions } from './interval-notifier.ts'
import { NotifierList } from './notifier-list.ts'
import type { MmuNotifier } from './notifier-list.ts'
import type { NotifierMm } from './notifier-mm.ts'
import { EAGAIN, NON_BLOCKABLE } from './ops.ts'
import type { Callout, MmuNotifierRange } from './ops.ts'

/** @returns true to end the walk */
type Visit = (mn: MmuNotifier) => Promise<boolean>

export class NotifierCallouts {
  readonly mm: NotifierMm
  readonly list: NotifierList = new NotifierList()
  /** null until the first interval notifier (has_itree). Protected by `mmTakeAllLocks`. */
  intervals: IntervalSubscriptions | null = null
  protected readonly sched: Scheduler

  constructor(mm: NotifierMm) {
    this.mm = mm
    this.sched = mm.sched
  }

  async invalidateRangeStart(range: MmuNotifierRange): Promise<number> {
    if (this.intervals !== null) {
      const result = await this.intervals.invalidateStart(range)
      if (result !== 0) return result
    }
    return this.list.isEmpty ? 0 : await this.listStart(range)
  }

  async invalidateRangeEnd(range: MmuNotifierRange): Promise<void> {
    if (this.intervals !== null) await this.intervals.invalidateEnd()
    if (!this.list.isEmpty) await this.walk((mn) => this.callEnd(mn, range))
  }

  /** @returns whether any client had used the range; asks all, for all must clear */
  async clearFlushYoung(start: Hva, end: Hva): Promise<boolean> {
    let young = false
    await this.walk(async (mn) => {
      if (mn.ops.clearFlushYoung === undefined) return false
      const mark = this.begin(mn, 'clearFlushYoung', start, end)
      if (await mn.ops.clearFlushYoung(this.mm, start, end, mn)) young = true
      this.end(mn, 'clearFlushYoung', start, end, mark)
      return false
    })
    return young
  }

  /** @returns whether any client had used the range; asks all, for all must clear */
  async clearYoung(start: Hva, end: Hva): Promise<boolean> {
    let young = false
    await this.walk(async (mn) => {
      if (mn.ops.clearYoung === undefined) return false
      const mark = this.begin(mn, 'clearYoung', start, end)
      if (await mn.ops.clearYoung(this.mm, start, end, mn)) young = true
      this.end(mn, 'clearYoung', start, end, mark)
      return false
    })
    return young
  }

  /** @returns whether any client had used the page; the first yes will do */
  async testYoung(address: Hva): Promise<boolean> {
    let young = false
    await this.walk(async (mn) => {
      if (mn.ops.testYoung === undefined) return false
      const end = hva(address + PAGE_SIZE)
      const mark = this.begin(mn, 'testYoung', address, end)
      young = await mn.ops.testYoung(this.mm, address, mn)
      this.end(mn, 'testYoung', address, end, mark)
      return young
    })
    return young
  }

  async changePte(address: Hva, pte: number): Promise<void> {
    await this.walk(async (mn) => {
      if (mn.ops.changePte === undefined) return await this.callInvalidatePage(mn, address)
      const end = hva(address + PAGE_SIZE)
      const mark = this.begin(mn, 'changePte', address, end)
      await mn.ops.changePte(this.mm, address, pte, mn)
      this.end(mn, 'changePte', address, end, mark)
      return false
    })
  }

  async invalidatePage(address: Hva): Promise<void> {
    await this.walk((mn) => this.callInvalidatePage(mn, address))
  }

  /** Calls `release` of every notifier, in one read section; they stay linked. */
  protected async callReleaseOfAll(): Promise<void> {
    await this.walk(async (mn) => {
      await this.callRelease(mn)
      return false
    })
  }

  protected async callRelease(mn: MmuNotifier): Promise<void> {
    if (mn.ops.release === undefined) return
    const mark = this.begin(mn, 'release', 0, Infinity)
    await mn.ops.release(this.mm, mn)
    this.end(mn, 'release', 0, Infinity, mark)
  }

  protected async readLock(): Promise<number> {
    const { srcu } = this.mm
    return this.sched.contended ? await srcu.readLock() : srcu.readLockFast()
  }

  protected async readUnlock(idx: number): Promise<void> {
    const { srcu } = this.mm
    if (this.sched.contended) await srcu.readUnlock(idx)
    else srcu.readUnlockFast(idx)
  }

  /** Visits every notifier in one read section. */
  protected async walk(visit: Visit): Promise<void> {
    const idx = await this.readLock()
    await this.walkLocked(visit)
    await this.readUnlock(idx)
  }

  /** Visits every notifier; the caller is in a read section. */
  protected async walkLocked(visit: Visit): Promise<void> {
    if (this.sched.contended) await this.sched.point(this.list, 'r', 'hlist first')
    for (let mn = this.list.next; mn !== null; mn = mn.next) {
      if (await visit(mn)) return
      if (this.sched.contended) await this.sched.point(this.list, 'r', 'hlist next')
      this.checkAlive(mn, 'goes on from')
    }
  }

  /** The starts of the list's notifiers (mn_hlist_invalidate_range_start). */
  protected async listStart(range: MmuNotifierRange): Promise<number> {
    let result = 0
    const idx = await this.readLock()
    await this.walkLocked(async (mn) => {
      const failure = await this.callStart(mn, range)
      if (failure !== 0) result = failure
      return false
    })
    if (result !== 0) await this.undoFailedStart(range)
    await this.readUnlock(idx)
    return result
  }

  /** Those who began expect an end; those who failed have no end hook. */
  protected async undoFailedStart(range: MmuNotifierRange): Promise<void> {
    await this.walkLocked((mn) => this.callEnd(mn, range))
    if (this.intervals !== null) await this.intervals.invalidateEnd()
  }

  protected async callStart(mn: MmuNotifier, range: MmuNotifierRange): Promise<number> {
    if (mn.ops.invalidateRangeStart === undefined) return 0
    const mark = this.begin(mn, 'invalidateRangeStart', range.start, range.end)
    if (!range.blockable) this.sched.enterAtomic(NON_BLOCKABLE)
    const result = (await mn.ops.invalidateRangeStart(range, mn)) ?? 0
    if (!range.blockable) this.sched.leaveAtomic(NON_BLOCKABLE)
    this.end(mn, 'invalidateRangeStart', range.start, range.end, mark)
    if (result !== 0) this.checkFailure(mn, range, result)
    return result
  }

  protected async callEnd(mn: MmuNotifier, range: MmuNotifierRange): Promise<boolean> {
    if (mn.ops.invalidateRangeEnd === undefined) return false
    const mark = this.begin(mn, 'invalidateRangeEnd', range.start, range.end)
    if (!range.blockable) this.sched.enterAtomic(NON_BLOCKABLE)
    await mn.ops.invalidateRangeEnd(range, mn)
    if (!range.blockable) this.sched.leaveAtomic(NON_BLOCKABLE)
    this.end(mn, 'invalidateRangeEnd', range.start, range.end, mark)
    return false
  }

  /** Book-keeping before a hook runs. @throws KernelBug I5 when it must not run any more */
  protected begin(mn: MmuNotifier, op: Callout, start: number, end: number): CalloutMark {
    this.checkAlive(mn, `calls ${op} of`)
    if (mn.life === 'fresh') {
      throw new KernelBug(
        `task ${this.sched.current.name} calls ${op} of ${mn.describe()} after its unregister returned`,
        'I5',
      )
    }
    if (this.sched.trace.on) this.emit('mmu_notifier_callout_begin', mn, op, start, end)
    return mn.stats.begin(op, this.sched.current, this.sched.now)
  }

  protected end(mn: MmuNotifier, op: Callout, start: number, end: number, mark: CalloutMark): void {
    this.checkAlive(mn, `returns from ${op} of`)
    mn.stats.end(op, this.sched.current, this.sched.now, mark)
    if (this.sched.trace.on) this.emit('mmu_notifier_callout_end', mn, op, start, end)
  }

  private async callInvalidatePage(mn: MmuNotifier, address: Hva): Promise<boolean> {
    if (mn.ops.invalidatePage === undefined) return false
    const end = hva(address + PAGE_SIZE)
    const mark = this.begin(mn, 'invalidatePage', address, end)
    await mn.ops.invalidatePage(this.mm, address, mn)
    this.end(mn, 'invalidatePage', address, end, mark)
    return false
  }

  private checkAlive(mn: MmuNotifier, what: string): void {
    if (mn.life !== 'freed') return
    throw new KernelBug(`use after free: task ${this.sched.current.name} ${what} freed ${mn.describe()}`, 'I5')
  }

  private checkFailure(mn: MmuNotifier, range: MmuNotifierRange, result: number): void {
    const what = `invalidateRangeStart of ${mn.describe()} returned ${result}`
    if (range.blockable) throw new KernelBug(`${what} from a blockable range: it must sleep instead`, 'I6')
    if (result !== -EAGAIN) throw new KernelBug(`${what}: the only failure is -EAGAIN (${-EAGAIN})`, 'I6')
    if (mn.ops.invalidateRangeEnd !== undefined) {
      throw new KernelBug(`${what}, but it has an end hook, which would run without its start`, 'I6')
    }
  }

  private emit(
    name: 'mmu_notifier_callout_begin' | 'mmu_notifier_callout_end',
    mn: MmuNotifier,
    op: Callout,
    start: number,
    end: number,
  ): void {
    this.sched.trace.emit({ name, mm: this.mm.id, notifier: mn.id, client: mn.client, op, start, end })
  }
}
