/**
 * mm_struct: one host address space (Linux v6.12 include/linux/mm_types.h, kernel/fork.c).
 *
 * The operations are functions, one file each; the methods here are their front doors and the few steps that all of
 * them share, so that a variant of a step (a client's experiment, an exhibit of a bug) is a subclass.
 *
 * R1 `users` counts those who need the address space, `count` those who need this object: the users together hold one.
 * R2 PTEs change under the page-table lock, through `setPte` and `clearPte`.
 * R3 The last user's leaving runs exit_mmap, whose first act is release; nothing registers after that.
 */
import { KernelBug, KernelError, PAGE_SIZE, hex } from '../base/index.ts'
import type { Hpa, Hva, Pfn } from '../base/index.ts'
import {
  MmuNotifierSubscriptions,
  mmuNotifierChangePte,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierRange,
  mmuNotifierSubscriptionsDestroy,
} from '../notifier/index.ts'
import type { MmuNotifierEvent, MmuNotifierRange, NotifierMm, RangeOptions, Srcu } from '../notifier/index.ts'
import { Mutex, RwSemaphore, SpinLock } from '../sched/index.ts'
import type { ExclusiveLock, Scheduler } from '../sched/index.ts'
import { exitMmap } from './exit.ts'
import { fork } from './fork.ts'
import { HostThread } from './host-thread.ts'
import { HPAGE_PMD_NR } from './split-huge-pmd.ts'
import type { Kernel } from './kernel.ts'
import { mmapLock, pageTableLock } from './locks.ts'
import { madvise } from './madvise.ts'
import type { Advice } from './madvise.ts'
import { mmDropAllLocks, mmTakeAllLocks } from './mm-all-locks.ts'
import { mmap } from './mmap.ts'
import type { Mapping, MmapOptions, Prot } from './mmap.ts'
import { mprotect } from './mprotect.ts'
import { mremap } from './mremap.ts'
import type { MremapOptions } from './mremap.ts'
import { MmuGather } from './mmu-gather.ts'
import { munmap } from './munmap.ts'
import { PageTable, TASK_SIZE } from './page-table.ts'
import { pteNone, ptePfn, ptePresent, pteWrite } from './pte.ts'
import { flushTlbRange } from './tlb-flush.ts'
import { VmaTree } from './vma-tree.ts'

export class Mm implements NotifierMm {
  /** Immutable. */
  readonly kernel: Kernel
  readonly id: number
  readonly name: string
  readonly sched: Scheduler
  /** The kernel's one global SRCU. */
  readonly srcu: Srcu
  /** Protects `vmas`, and which table pages exist. */
  readonly mmapLock: RwSemaphore
  /** Protects the PTEs. */
  readonly pageTableLock: ExclusiveLock
  /** Protected by the mmap lock. */
  readonly vmas: VmaTree = new VmaTree()
  /** Its entries are protected by the page-table lock. */
  readonly pageTable: PageTable
  /** The notifier list; null until the first registration. Written by the notifier room. */
  notifierSubscriptions: MmuNotifierSubscriptions | null = null
  /** mm_users and mm_count; each changed in one step. */
  users = 1
  count = 1
  /** Threads whose TLBs hold translations of this mm. Changed in one step. */
  readonly threads: HostThread[] = []
  /** Tables kept for the day a huge mapping is split, by its start. Protected by the page-table lock. */
  private readonly deposits: Map<number, Pfn> = new Map()
  /** PTEs that name a page with an rmap, and PTEs that name a swap slot. Protected by the page-table lock. */
  rss = 0
  swapEntries = 0

  /** @param root a frame for the root table, which the mm owns from now on */
  constructor(kernel: Kernel, id: number, name: string, root: Pfn) {
    this.kernel = kernel
    this.id = id
    this.name = name
    this.sched = kernel.sched
    this.srcu = kernel.srcu
    this.mmapLock = new RwSemaphore(kernel.sched, mmapLock, `mmap_lock ${name}`)
    const lockName = `page_table_lock ${name}`
    this.pageTableLock =
      kernel.options.pageTableLock === 'spin'
        ? new SpinLock(kernel.sched, pageTableLock, lockName)
        : new Mutex(kernel.sched, pageTableLock, lockName)
    this.pageTable = new PageTable(kernel.memory, root)
  }

  /** End of the user address space, in bytes. */
  get taskSize(): number {
    return TASK_SIZE
  }

  // Operations.

  /** Maps memory or a file. See mmap.ts. */
  mmap(options: MmapOptions): Promise<Mapping> {
    return mmap(this, options)
  }

  /** Unmaps [start, start + length). See munmap.ts. */
  munmap(start: number, length: number): Promise<void> {
    return munmap(this, start, length)
  }

  /** Changes the rights to [start, start + length). See mprotect.ts. */
  mprotect(start: number, length: number, prot: Prot): Promise<void> {
    return mprotect(this, start, length, prot)
  }

  /** Advises on [start, start + length). See madvise.ts. */
  madvise(start: number, length: number, advice: Advice): Promise<void> {
    return madvise(this, start, length, advice)
  }

  /** Resizes or moves [start, start + oldLength). See mremap.ts. */
  mremap(start: number, oldLength: number, newLength: number, options?: MremapOptions): Promise<Mapping> {
    return mremap(this, start, oldLength, newLength, options)
  }

  /** A child that shows what this mm shows now. See fork.ts. */
  fork(name?: string): Promise<Mm> {
    return fork(this, name)
  }

  /** A user thread of this address space, with TLBs of its own. The caller runs it in a task. */
  createThread(name: string = `${this.name}/thread${this.threads.length}`): HostThread {
    const thread = new HostThread(this, name)
    this.threads.push(thread)
    return thread
  }

  // Lifetime.

  /** The creator's user leaves (process exit): the same as `mmput`. */
  exit(): Promise<void> {
    return this.mmput()
  }

  /** One more user. @throws KernelBug I14 when the last has left */
  mmget(): void {
    if (this.users <= 0) throw new KernelBug(`mmget of ${this.name}, which has exited`, 'I14')
    this.users++
  }

  /** One more user, unless the last has left. */
  mmgetNotZero(): boolean {
    if (this.users <= 0) return false
    this.users++
    return true
  }

  /** One user less; the last tears the address space down (Linux: __mmput). May sleep. */
  async mmput(): Promise<void> {
    if (this.users <= 0) throw new KernelBug(`mmput of ${this.name}, which has exited`, 'I14')
    this.users--
    if (this.users > 0) return
    await this.exitMmap()
    this.drop()
  }

  /** One more reference to the object (mmgrab). */
  grab(): void {
    if (this.count <= 0) throw new KernelBug(`grab of ${this.name}, which is destroyed`, 'I14')
    this.count++
  }

  /** One reference less; the last destroys it (mmdrop). Never sleeps. */
  drop(): void {
    if (this.count <= 0) throw new KernelBug(`drop of ${this.name}, which is destroyed`, 'I14')
    this.count--
    if (this.count > 0) return
    const { kernel } = this
    mmuNotifierSubscriptionsDestroy(this)
    if (this.pageTable.tables !== 0) {
      throw new KernelBug(`${this.name} destroyed with ${this.pageTable.tables} table pages`, 'I14')
    }
    kernel.allocator.put(this.pageTable.root)
    kernel.mms.delete(this)
    if (kernel.trace.on) kernel.trace.emit({ name: 'mm_destroy', mm: this.id })
  }

  // What a registration needs.

  newNotifierSubscriptions(): MmuNotifierSubscriptions {
    return new MmuNotifierSubscriptions(this)
  }

  /** Keeps out every callout of this mm: all rmap locks of its VMAs. Under the mmap lock for writing. */
  mmTakeAllLocks(): Promise<void> {
    return mmTakeAllLocks(this)
  }

  mmDropAllLocks(): void {
    mmDropAllLocks(this)
  }

  // Steps that the operations share.

  /**
   * Opens a window: every client stops using [start, end) of this mm.
   * @returns 0, or -EAGAIN for a non-blockable range: then the window is closed again
   */
  invalidateRangeStart(range: MmuNotifierRange): Promise<number> {
    return mmuNotifierInvalidateRangeStart(range)
  }

  /** Closes the window. */
  invalidateRangeEnd(range: MmuNotifierRange): Promise<void> {
    return mmuNotifierInvalidateRangeEnd(range)
  }

  /** A range of this mm for the callouts. */
  range(start: number, end: number, event: MmuNotifierEvent, options?: RangeOptions): MmuNotifierRange {
    return mmuNotifierRange(this, start as Hva, end as Hva, event, options)
  }

  /** Reads a PTE without the lock: the caller checks again under it. */
  async readPteUnlocked(hva: number): Promise<number> {
    if (this.sched.contended) await this.sched.point(this.pageTable, 'r', 'read pte without its lock')
    return this.pageTable.read(hva)
  }

  /** Writes a PTE. Under the page-table lock. */
  setPte(hva: number, slot: Hpa, pte: number): void {
    this.assertPageTableLocked()
    const { memory, trace } = this.kernel
    memory.writePte(slot, pte, 0)
    if (!trace.on || !ptePresent(pte)) return
    trace.emit({ name: 'set_pte', mm: this.id, hva, pfn: ptePfn(pte), writable: pteWrite(pte) })
  }

  /** Clears a PTE and returns what it was, A and D included. Under the page-table lock. */
  clearPte(hva: number, slot: Hpa): number {
    this.assertPageTableLocked()
    const { memory, trace } = this.kernel
    const pte = memory.readLow(slot)
    memory.writePte(slot, 0, 0)
    if (trace.on && ptePresent(pte)) {
      trace.emit({ name: 'clear_pte', mm: this.id, hva, pfn: ptePfn(pte), writable: pteWrite(pte) })
    }
    return pte
  }

  /** Maps the 2 MiB from `base` by one leaf. Under the page-table lock; the middle table is there. */
  setPmd(base: Hva, pmd: number): void {
    this.assertPageTableLocked()
    this.kernel.memory.writePte(this.pageTable.pmdSlot(base) as Hpa, pmd, 0)
    this.traceHuge('set_pte', base, pmd)
  }

  /** Clears a huge mapping and returns what it was, A and D included. Under the page-table lock. */
  clearPmd(base: Hva): number {
    this.assertPageTableLocked()
    const pmd = this.pageTable.hugePmd(base)
    this.kernel.memory.writePte(this.pageTable.pmdSlot(base) as Hpa, 0, 0)
    this.traceHuge('clear_pte', base, pmd)
    return pmd
  }

  /** Keeps a zeroed table for the huge mapping at `base`. Under the page-table lock. */
  deposit(base: Hva, table: Pfn): void {
    this.deposits.set(base, table)
  }

  /** The table that was kept. Under the page-table lock. */
  takeDeposit(base: Hva): Pfn {
    const table = this.deposits.get(base)
    if (table === undefined) throw new KernelBug(`no table was kept for the huge mapping at ${hex(base)}`)
    this.deposits.delete(base)
    return table
  }

  /** The tables that are kept, for the books. */
  depositedTables(): Pfn[] {
    return Array.from(this.deposits.values())
  }

  /** Clears a PTE and flushes the host TLBs (Linux: ptep_clear_flush). Under the page-table lock. */
  ptepClearFlush(hva: number, slot: Hpa): number {
    const pte = this.clearPte(hva, slot)
    if (!pteNone(pte)) this.flushTlbRange(hva, hva + PAGE_SIZE)
    return pte
  }

  /** Range start for the page that is about to get another PTE, unless change_pte is to work without a window. */
  async openNotifyWindow(hva: Hva): Promise<MmuNotifierRange | null> {
    if (this.kernel.options.changePte === 'unbracketed') return null
    const range = this.range(hva, hva + PAGE_SIZE, 'CLEAR')
    await this.invalidateRangeStart(range)
    return range
  }

  /**
   * Tells the clients of a new PTE, then sets it: a client never shows the old page after a host thread could write the
   * new one. Under the page-table lock, with the old PTE cleared and flushed.
   */
  async setPteAtNotify(hva: Hva, pte: number): Promise<void> {
    await mmuNotifierChangePte(this, hva, pte)
    this.setPte(hva, this.pageTable.slot(hva) as Hpa, pte)
  }

  /** Where an operation collects what it unmaps. */
  newGather(): MmuGather {
    return new MmuGather(this)
  }

  /** Forgets [start, end) in the TLB of every thread. */
  flushTlbRange(start: number, end: number): void {
    flushTlbRange(this, start, end)
  }

  /** @throws KernelError EINVAL unless the range is page aligned, not empty and inside the address space */
  checkRange(what: string, start: number, length: number): number {
    const end = start + Math.ceil(length / PAGE_SIZE) * PAGE_SIZE
    if (!Number.isInteger(start) || start % PAGE_SIZE !== 0) {
      throw new KernelError('EINVAL', `${what}: address ${hex(start)} is not a multiple of ${PAGE_SIZE}`)
    }
    if (!Number.isInteger(length) || length <= 0 || start < 0 || end > TASK_SIZE) {
      throw new KernelError(
        'EINVAL',
        `${what}: ${length} bytes at ${hex(start)}: expected a length above 0 and an end below ${hex(TASK_SIZE)}`,
      )
    }
    return end
  }

  /** Tears everything down, once the last user has left. See exit.ts. */
  protected exitMmap(): Promise<void> {
    return exitMmap(this)
  }

  /** A huge mapping in the trace is what it is to everybody else: 512 pages. */
  private traceHuge(name: 'set_pte' | 'clear_pte', base: Hva, pmd: number): void {
    const { trace } = this.kernel
    if (!trace.on) return
    for (let page = 0; page < HPAGE_PMD_NR; page++) {
      const hva = base + page * PAGE_SIZE
      trace.emit({ name, mm: this.id, hva, pfn: ptePfn(pmd) + page, writable: pteWrite(pmd) })
    }
  }

  private assertPageTableLocked(): void {
    if (this.pageTableLock.holder !== this.sched.current) {
      throw new KernelBug(`a PTE of ${this.name} is written without the page-table lock`)
    }
  }
}
