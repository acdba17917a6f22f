/** An mm without memory: what the notifier room needs of one, and nothing else. */
import { KernelBug, KernelError } from '../../src/base/index.ts'
import {
  MmuNotifierSubscriptions,
  createSrcu,
  mmuNotifierRelease,
  mmuNotifierSubscriptionsDestroy,
} from '../../src/notifier/index.ts'
import type { NotifierMm, Srcu, SrcuKind } from '../../src/notifier/index.ts'
import { mmuNotifierSrcu } from '../../src/notifier/locks.ts'
import { Mutex, RwSemaphore, lockClass } from '../../src/sched/index.ts'
import type { Scheduler } from '../../src/sched/index.ts'

const mmapLock = lockClass({ name: 'mmap_lock', type: 'rwsem', protects: 'the VMAs', outside: [mmuNotifierSrcu] })
const rmapLock = lockClass({ name: 'rmap_lock', type: 'mutex', protects: 'rmap walks', inside: [mmapLock] })

/** The kernel's one domain for callouts. */
export const notifierSrcu = (sched: Scheduler, kind: SrcuKind = 'tiny'): Srcu =>
  createSrcu(kind, sched, { name: 'mmu_notifier', lockClass: mmuNotifierSrcu })

export class MmStub implements NotifierMm {
  readonly id: number
  readonly sched: Scheduler
  readonly srcu: Srcu
  notifierSubscriptions: MmuNotifierSubscriptions | null = null
  readonly mmapLock: RwSemaphore
  /** Held by whoever walks the rmap: truncation, reclaim. */
  readonly rmapLock: Mutex
  users = 1
  count = 1
  /** The next mmTakeAllLocks is interrupted by a signal. */
  signalPending = false
  isFreed = false

  constructor(sched: Scheduler, srcu: Srcu, id = 1) {
    this.id = id
    this.sched = sched
    this.srcu = srcu
    this.mmapLock = new RwSemaphore(sched, mmapLock, `mmap_lock of mm ${id}`)
    this.rmapLock = new Mutex(sched, rmapLock, `rmap lock of mm ${id}`)
  }

  grab(): void {
    this.count++
  }

  drop(): void {
    if (this.count <= 0) throw new KernelBug(`mm ${this.id} is dropped too often`, 'I14')
    if (--this.count > 0) return
    mmuNotifierSubscriptionsDestroy(this)
    this.isFreed = true
  }

  async mmTakeAllLocks(): Promise<void> {
    if (this.signalPending) throw new KernelError('EINTR', 'a signal came before all locks were taken')
    await this.rmapLock.lock()
  }

  mmDropAllLocks(): void {
    this.rmapLock.unlock()
  }

  newNotifierSubscriptions(): MmuNotifierSubscriptions {
    return new MmuNotifierSubscriptions(this)
  }

  /** The last user has gone: what exit_mmap and the rest of __mmput do. */
  async exit(freePages: () => Promise<void> | void = () => {}): Promise<void> {
    this.users--
    await mmuNotifierRelease(this)
    await freePages()
    this.drop()
  }
}
