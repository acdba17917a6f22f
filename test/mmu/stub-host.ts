/** The least host that a VM can live on: pages in a map, one window per operation. For tests of single protocol steps. */
import { KernelError, PAGE_SIZE, hva, pfn } from '../../src/base/index.ts'
import type { Hva, Pfn } from '../../src/base/index.ts'
import { PhysicalMemory } from '../../src/hardware/index.ts'
import type { Backing, FaultedPage, Vm } from '../../src/mmu/index.ts'
import {
  MmuNotifierSubscriptions,
  createSrcu,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierRange,
  mmuNotifierRegister,
  mmuNotifierUnregister,
} from '../../src/notifier/index.ts'
import type { MmuNotifier, MmuNotifierOps, NotifierMm, Srcu } from '../../src/notifier/index.ts'
import { Mutex, RwSemaphore, Scheduler, SpinLock, lockClass } from '../../src/sched/index.ts'
import type { ExclusiveLock, SchedulerOptions } from '../../src/sched/index.ts'

const mmapLockClass = lockClass({ name: 'stub mmap_lock', type: 'rwsem', protects: 'a test' })
const ptlClass = lockClass({ name: 'stub page_table_lock', type: 'mutex or spinlock', protects: 'a test' })

interface StubPage {
  pfn: number
  writable: boolean
}

export interface StubOptions extends SchedulerOptions {
  readonly frames?: number
  readonly pageTableLock?: 'sleep' | 'spin'
  readonly changePte?: 'bracketed' | 'unbracketed'
  readonly srcu?: 'tiny' | 'classic' | 'counted'
}

export class StubHost implements Backing, NotifierMm {
  readonly sched: Scheduler
  readonly memory: PhysicalMemory
  readonly mmId: number = 1
  readonly id: number = 1
  readonly pageTableLock: 'sleep' | 'spin'
  readonly changePte: 'bracketed' | 'unbracketed'
  readonly userLimit: number = 2 ** 38
  readonly srcu: Srcu
  notifierSubscriptions: MmuNotifierSubscriptions | null = null
  readonly mmapLock: RwSemaphore
  readonly lock: ExclusiveLock
  users = 1
  count = 1
  /** Pages by virtual page number. */
  readonly table: Map<number, StubPage> = new Map<number, StubPage>()
  readonly refs: Int32Array
  readonly dirty: Set<number> = new Set<number>()
  readonly accessed: Set<number> = new Set<number>()
  private readonly free: number[] = []
  private readonly freeRoots: number[] = []
  private lastVm = 0
  private readonly srcuKind: 'tiny' | 'classic' | 'counted'
  private readonly handles = new Map<MmuNotifierOps, MmuNotifier>()

  constructor(options: StubOptions = {}) {
    this.sched = new Scheduler(options)
    const frames = options.frames ?? 256
    this.memory = new PhysicalMemory(frames)
    this.refs = new Int32Array(frames)
    this.pageTableLock = options.pageTableLock ?? 'sleep'
    this.changePte = options.changePte ?? 'bracketed'
    this.srcuKind = options.srcu ?? 'tiny'
    this.srcu = createSrcu(this.srcuKind, this.sched, { name: 'mmu_notifier_srcu' })
    this.mmapLock = new RwSemaphore(this.sched, mmapLockClass)
    this.lock = this.pageTableLock === 'spin' ? new SpinLock(this.sched, ptlClass) : new Mutex(this.sched, ptlClass)
    for (let frame = frames - 1; frame >= 64; frame--) this.free.push(frame)
    for (let frame = 60; frame >= 4; frame -= 4) this.freeRoots.push(frame)
  }

  // NotifierMm.
  grab(): void {
    this.count++
  }
  drop(): void {
    this.count--
  }
  async mmTakeAllLocks(): Promise<void> {}
  mmDropAllLocks(): void {}
  newNotifierSubscriptions(): MmuNotifierSubscriptions {
    return (this.notifierSubscriptions ??= new MmuNotifierSubscriptions(this))
  }

  // Backing.
  nextVmId(): number {
    return ++this.lastVm
  }
  createSrcu(name: string): Srcu {
    return createSrcu(this.srcuKind, this.sched, { name })
  }
  async register(ops: MmuNotifierOps): Promise<void> {
    this.handles.set(ops, await mmuNotifierRegister(ops, this))
  }
  async unregister(ops: MmuNotifierOps): Promise<void> {
    await mmuNotifierUnregister(this.handles.get(ops)!, this)
  }
  created(_vm: Vm): void {}
  released(_vm: Vm): void {}

  async faultInPage(address: Hva, options: { readonly write: boolean }): Promise<FaultedPage> {
    await this.mmapLock.downRead()
    try {
      if (this.sched.contended) await this.sched.point(this, 'r', 'stub page table')
      const page = this.table.get(Math.floor(address / PAGE_SIZE))
      if (page === undefined || (options.write && !page.writable)) throw new KernelError('EFAULT', `stub: ${address}`)
      this.refs[page.pfn]!++
      return { pfn: pfn(page.pfn), writable: page.writable }
    } finally {
      this.mmapLock.upRead()
    }
  }
  peekPage(address: Hva, write: boolean): number {
    const page = this.table.get(Math.floor(address / PAGE_SIZE))
    return page === undefined || (write && !page.writable) ? -1 : page.pfn
  }
  peekLevel(): number {
    return 0
  }
  putPage(frame: Pfn): void {
    if (--this.refs[frame]! === 0) this.free.push(frame)
  }
  setPageDirty(frame: Pfn): void {
    this.dirty.add(frame)
  }
  markPageAccessed(frame: Pfn): void {
    this.accessed.add(frame)
  }
  async allocTable(order: number): Promise<Pfn> {
    const frame = order === 2 ? this.freeRoots.pop() : this.free.pop()
    if (frame === undefined) throw new KernelError('ENOMEM', 'stub: no frame')
    this.refs[frame] = 1
    return pfn(frame)
  }
  freeTable(frame: Pfn, order: number): void {
    this.refs[frame] = 0
    if (order === 2) this.freeRoots.push(frame)
    else this.free.push(frame)
  }

  // Host operations.

  /** Maps a fresh page of zeroes. */
  map(page: number, writable = true): number {
    const frame = this.free.pop()!
    this.memory.zeroFrame(pfn(frame))
    this.refs[frame] = 1
    this.table.set(page, { pfn: frame, writable })
    return frame
  }

  freeFrames(): number {
    return this.free.length + this.freeRoots.length * 4
  }
  isFree(frame: number): boolean {
    return this.refs[frame] === 0
  }

  /** Unmaps pages, in the order of munmap: window, clear, end, free. */
  async unmap(page: number, count: number): Promise<void> {
    await this.mmapLock.downWrite()
    await this.window(page, count, () => {
      for (let at = page; at < page + count; at++) this.clear(at)
    })
    this.mmapLock.upWrite()
  }

  /** Replaces a page by a copy on another frame, or write-protects it. */
  async replace(page: number, writable = true): Promise<void> {
    await this.mmapLock.downRead()
    await this.window(page, 1, () => {
      const old = this.table.get(page)
      if (old === undefined) return
      const frame = this.map(page, writable)
      this.memory.copyFrame(pfn(frame), pfn(old.pfn))
      this.putPage(pfn(old.pfn))
    })
    this.mmapLock.upRead()
  }

  async protect(page: number, count: number, writable: boolean): Promise<void> {
    await this.mmapLock.downWrite()
    await this.window(page, count, () => {
      for (let at = page; at < page + count; at++) {
        const old = this.table.get(at)
        if (old !== undefined) old.writable = writable
      }
    })
    this.mmapLock.upWrite()
  }

  async window(page: number, count: number, change: () => void): Promise<void> {
    const range = mmuNotifierRange(this, hva(page * PAGE_SIZE), hva((page + count) * PAGE_SIZE), 'CLEAR')
    await mmuNotifierInvalidateRangeStart(range)
    await this.lock.lock()
    if (this.sched.contended) await this.sched.point(this, 'w', 'stub page table')
    change()
    this.lock.unlock()
    await mmuNotifierInvalidateRangeEnd(range)
  }

  private clear(page: number): void {
    const old = this.table.get(page)
    if (old === undefined) return
    this.table.delete(page)
    this.putPage(pfn(old.pfn))
  }
}
