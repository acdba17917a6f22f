/**
 * The life of a notifier: register, unregister, release at exit, get and put (Linux v6.12 mm/mmu_notifier.c).
 *
 * The order of unregister and of release is the repaired one (d34883d4e35c, v3.10). What each step keeps away:
 *
 *  unregister(mn)                      exit: release(mm)
 *  is it linked?                       release of each, still linked   <- else truncation finds nobody to tell, and
 *  release, in a read section                                             frees a page that is still mapped
 *                                      unlink each, delInit
 *  unlink, delInit                                                     <- del would write through a null pointer here
 *  wait for a grace period             wait for a grace period         <- else pages go while a release still runs
 *
 * R1 `release` runs at least once before the pages of an exiting mm are freed, maybe twice, never after unregister
 *    returned. Exactly once is not promised: hooks are idempotent.
 * R2 After unregister returned no hook of the notifier runs or will run (I5).
 * R3 The subscriptions stay until the mm is freed, even when the list is empty.
 * R4 Each notifier holds one reference to the mm structure, from register to unregister or the last put's free.
 */
import { KernelBug, bugOn } from '../base/index.ts'
import { SpinLock } from '../sched/index.ts'
import { NotifierCallouts } from './callouts.ts'
import { IntervalSubscriptions } from './interval-notifier.ts'
import { subscriptionsLock } from './locks.ts'
import type { MmuNotifier } from './notifier-list.ts'
import type { NotifierMm } from './notifier-mm.ts'
import type { MmuNotifierOps } from './ops.ts'

export class MmuNotifierSubscriptions extends NotifierCallouts {
  readonly lock: SpinLock
  private registrations = 0

  constructor(mm: NotifierMm) {
    super(mm)
    this.lock = new SpinLock(mm.sched, subscriptionsLock, `${subscriptionsLock.name} of mm ${mm.id}`)
  }

  /**
   * Installs these subscriptions in the mm if it has none, and adds `mn` to those it has. The caller holds the mmap
   * lock for writing and a user reference.
   * @param mn null makes the mm ready for interval notifiers only
   * @throws KernelError EINTR
   */
  async registerLocked(mn: MmuNotifier | null): Promise<void> {
    const { mm } = this
    const installed = mm.notifierSubscriptions ?? this
    bugOn(mm.users <= 0, `register on mm ${mm.id}, which has no users left`)
    bugOn(!mm.mmapLock.isWriteHeldByCurrent(), `register on mm ${mm.id} without its mmap lock for writing`)
    bugOn(mn !== null && mn.life !== 'fresh', `${mn?.describe()} is registered already`)
    if (mn !== null) {
      mn.id = installed.newId()
      this.emitLife('mmu_notifier_register_begin', mn)
    }
    await mm.mmTakeAllLocks()
    mm.notifierSubscriptions = installed
    await installed.adopt(mn)
    mm.mmDropAllLocks()
    bugOn(mm.users <= 0, `register on mm ${mm.id}, which lost its last user meanwhile`)
    if (mn !== null) this.emitLife('mmu_notifier_register_end', mn)
  }

  /**
   * Takes the notifier out, for good: calls its `release`, unlinks it, and waits until no hook of it runs. Sleeps.
   * Once per register, before or after exit.
   * @throws KernelBug I8 inside a hook, I14 when it is not registered
   */
  async unregister(mn: MmuNotifier): Promise<void> {
    this.checkMayUnregister(mn)
    this.emitLife('mmu_notifier_unregister_begin', mn)
    if (this.sched.contended) await this.sched.point(this.list, 'r', 'hlist_unhashed')
    if (mn.isHashed) {
      const idx = await this.readLock()
      await this.callRelease(mn)
      await this.readUnlock(idx)
      await this.unlink(mn)
    }
    await this.waitForHooks()
    this.forget(mn)
  }

  /**
   * Unlinks it without `release` and without waiting (v3.17): hooks may still run until a grace period is over, so the
   * caller frees it from `mmuNotifierCallSrcu`.
   */
  async unregisterNoRelease(mn: MmuNotifier): Promise<void> {
    this.checkRegistered(mn)
    await this.unlink(mn)
    mn.life = 'dying'
    this.mm.drop()
  }

  /** The mm exits: every notifier drops its translations, before pages are freed. Sleeps. */
  async release(): Promise<void> {
    if (this.sched.trace.on) this.sched.trace.emit({ name: 'mmu_notifier_release_begin', mm: this.mm.id })
    if (this.intervals !== null) await this.intervals.release()
    if (!this.list.isEmpty) await this.releaseList()
    if (this.sched.trace.on) this.sched.trace.emit({ name: 'mmu_notifier_release_end', mm: this.mm.id })
  }

  /** The registered notifier with these ops, with a new reference, or null. */
  async findGet(ops: MmuNotifierOps): Promise<MmuNotifier | null> {
    await this.lock.lock()
    let found = this.list.next
    while (found !== null && found.ops !== ops) found = found.next
    if (found !== null) found.users++
    this.lock.unlock()
    return found
  }

  /** Drops a reference; the last one unlinks it and has it freed after a grace period. Does not sleep. */
  async put(mn: MmuNotifier): Promise<void> {
    await this.lock.lock()
    if (mn.users === 0) throw new KernelBug(`put of ${mn.describe()}, which has no users`, 'I14')
    mn.users--
    const isLast = mn.users === 0
    if (isLast) {
      this.list.delInit(mn)
      mn.life = 'dying'
    }
    this.lock.unlock()
    if (isLast) this.mm.srcu.call(() => this.freeAfterGracePeriod(mn))
  }

  /** The mm structure is freed (mmu_notifier_subscriptions_destroy). @throws KernelBug I14 when a notifier is left */
  destroy(): void {
    bugOn(!this.list.isEmpty, `mm ${this.mm.id} is freed with ${this.list.next?.describe()} still linked`, 'I14')
    bugOn(this.intervals?.isIdle === false, `mm ${this.mm.id} is freed with interval notifiers left`, 'I14')
    this.mm.notifierSubscriptions = null
  }

  /** mn_hlist_release */
  protected async releaseList(): Promise<void> {
    const idx = await this.readLock()
    await this.walkLocked(async (mn) => {
      await this.callRelease(mn)
      return false
    })
    await this.unlinkAll()
    await this.readUnlock(idx)
    await this.waitForHooks()
  }

  /** Unlinks, whether or not exit has done so already. */
  protected async unlink(mn: MmuNotifier): Promise<void> {
    await this.lock.lock()
    this.list.delInit(mn)
    this.lock.unlock()
  }

  protected async unlinkAll(): Promise<void> {
    await this.lock.lock()
    while (this.list.next !== null) this.list.delInit(this.list.next)
    this.lock.unlock()
  }

  /** Waits for every hook that now runs, of whichever notifier of whichever mm. */
  protected async waitForHooks(): Promise<void> {
    await this.mm.srcu.synchronize()
  }

  protected checkMayUnregister(mn: MmuNotifier): void {
    const task = this.sched.current
    if (this.mm.srcu.isHeldBy(task)) {
      throw new KernelBug(
        `task ${task.name} unregisters ${mn.describe()} inside a hook: it would wait for itself; ` +
          'use mmuNotifierPut, or mmuNotifierUnregisterNoRelease and mmuNotifierCallSrcu',
        'I8',
      )
    }
    this.checkRegistered(mn)
  }

  /** The notifier is the client's again, and the mm loses its reference. */
  protected forget(mn: MmuNotifier): void {
    mn.life = 'fresh'
    this.emitLife('mmu_notifier_unregister_end', mn)
    this.mm.drop()
  }

  protected checkRegistered(mn: MmuNotifier): void {
    if (mn.life === 'registered' && mn.mm === this.mm) return
    throw new KernelBug(`${mn.describe()} is unregistered from mm ${this.mm.id}, but it is ${mn.life}`, 'I14')
  }

  /** Adds a notifier, or makes room for interval notifiers, while all locks of the mm are held. */
  private async adopt(mn: MmuNotifier | null): Promise<void> {
    if (mn === null) {
      this.intervals ??= this.newIntervals()
      return
    }
    this.mm.grab()
    mn.mm = this.mm
    mn.users = 1
    mn.life = 'registered'
    await this.lock.lock()
    this.list.addHead(mn)
    this.lock.unlock()
  }

  protected newIntervals(): IntervalSubscriptions {
    return new IntervalSubscriptions(this.mm, this.lock, () => this.newId())
  }

  /** Unique within the kernel, as long as no mm sees more than 65536 registrations. */
  protected newId(): number {
    return this.mm.id * 0x10000 + ++this.registrations
  }

  private freeAfterGracePeriod(mn: MmuNotifier): void {
    mn.ops.freeNotifier?.(mn)
    mn.free()
    this.mm.drop()
  }

  private emitLife(
    name:
      | 'mmu_notifier_register_begin'
      | 'mmu_notifier_register_end'
      | 'mmu_notifier_unregister_begin'
      | 'mmu_notifier_unregister_end',
    mn: MmuNotifier,
  ): void {
    if (!this.sched.trace.on) return
    this.sched.trace.emit({ name, mm: this.mm.id, notifier: mn.id, client: mn.client })
  }
}
