/**
 * The page fault path: from a guest frame to an spte (arch/x86/kvm/mmu/mmu.c direct_page_fault, kvm_faultin_pfn,
 * is_page_fault_stale; arch/riscv/kvm/mmu.c, 6.12).
 *
 * ```
 *  memslot under the VM's SRCU -> fast fix -> top up tables -> snapshot seq -> slot INVALID? -> hva to page (sleeps)
 *    -> mmuLock -> stale? -> map -> flush -> unlock -> drop the page
 * ```
 *
 * R1 The sequence is read before anything about the mm is looked up, and checked after mmuLock is held: whatever
 *    changed in between makes the fault start over.
 * R2 The page is resolved before mmuLock is taken: resolving takes the mmap lock, which nests outside it.
 * R3 The page's reference is dropped after mapping. What keeps the mapped page from being freed is the notifier.
 */
import { KernelError, pfn as toPfn } from '../base/index.ts'
import type { Gfn, Hva } from '../base/index.ts'
import { Access, PTE_A, PTE_D, PTE_R, PTE_W, PTE_X } from '../hardware/index.ts'
import type { FaultedPage } from './backing.ts'
import type { GuestWalk } from './guest-walk.ts'
import type { Memslot } from './memslots.ts'
import { SPTE_HOST_WRITABLE, SPTE_MMU_WRITABLE, isLeafSpte, isLocklesslyWritable } from './spte.ts'
import type { Vcpu } from './vcpu.ts'
import type { Vm } from './vm.ts'

/**
 * - `mapped`, `spurious`: the access can be tried again
 * - `retry`: something changed meanwhile; try again, no progress was made
 * - `mmio`: no memory there, or a store to a read-only slot
 * - `emulate`: a store to a write-protected guest page table
 * - `efault`, `oom`: the host cannot provide the page
 */
export type FaultOutcome = 'mapped' | 'spurious' | 'retry' | 'mmio' | 'emulate' | 'efault' | 'oom'

/** Why a fault that holds mmuLock must not map. */
export type StaleReason = 'in-progress' | 'sequence' | 'memslot' | 'root'

/** Why a fault starts over: it is stale, or another one that shares mmuLock set the entry first. */
export type FaultRetry = StaleReason | 'raced'

/** One fault on its way (struct kvm_page_fault). */
export class PageFault {
  readonly vcpu: Vcpu
  readonly frame: Gfn
  readonly access: Access
  /** Shadow paging: the guest tables that led to the frame; null when frames are mapped directly. */
  readonly walk: GuestWalk | null
  slot: Memslot | null = null
  /** Value of the invalidation sequence before the page was looked up. */
  seq = 0

  constructor(vcpu: Vcpu, frame: Gfn, access: Access, walk: GuestWalk | null) {
    this.vcpu = vcpu
    this.frame = frame
    this.access = access
    this.walk = walk
  }

  get isWrite(): boolean {
    return this.access === Access.write
  }

  /** Where the frame lies in the mm. */
  hvaIn(slot: Memslot): Hva {
    return slot.hvaOf(this.frame)
  }
}

const ACCESS_NAMES = ['read', 'write', 'fetch'] as const

export class PageFaults {
  protected readonly vm: Vm

  constructor(vm: Vm) {
    this.vm = vm
  }

  /** Handles one fault of a vCPU that is outside guest mode, inside a read section of the VM's SRCU. */
  async handle(fault: PageFault): Promise<FaultOutcome> {
    const { vm } = this
    const { frame, vcpu } = fault
    vm.stats.faults++
    if (vm.trace.on) {
      const access = ACCESS_NAMES[fault.access]
      vm.trace.emit({ name: 'kvm_page_fault', vm: vm.id, vcpu: vcpu.id, gfn: frame, access })
    }
    const outcome = await this.resolve(fault)
    this.count(outcome)
    if (vm.trace.on) vm.trace.emit({ name: 'kvm_page_fault_done', vm: vm.id, vcpu: vcpu.id, gfn: frame, outcome })
    return outcome
  }

  protected async resolve(fault: PageFault): Promise<FaultOutcome> {
    const { vm } = this
    const slot = this.findSlot(fault)
    fault.slot = slot
    if (slot === null) return 'mmio'
    if (fault.isWrite && vm.mmu.isTracked(slot, fault.frame)) {
      vm.stats.trackedWrites++
      return 'emulate'
    }
    const fixed = this.fastPageFault(fault, slot)
    if (fixed !== null) return fixed
    try {
      await fault.vcpu.cache.topUp(vm.mmu.tablesNeeded)
      await this.snapshotSeq(fault)
      if (slot.isInvalid) return this.noteRetry(fault, 'memslot')
      if (fault.isWrite && slot.isReadonly) return 'mmio'
      if (vm.invalidation.covers(fault.frame)) return this.noteRetry(fault, 'in-progress')
      const page = await this.faultInPage(fault, slot)
      const shared = vm.mmuRwLock === null || fault.walk !== null ? null : await this.mapSharing(fault, slot, page)
      const outcome = shared ?? (await this.mapUnderLock(fault, slot, page))
      vm.backing.putPage(page.pfn)
      return outcome
    } catch (error) {
      if (!(error instanceof KernelError)) throw error
      if (error.code === 'EFAULT') return 'efault'
      if (error.code === 'ENOMEM') return 'oom'
      throw error
    }
  }

  /** In the table that is published now: inside the read section of the VM's SRCU that the caller is in. */
  protected findSlot(fault: PageFault): Memslot | null {
    return this.vm.memslots.active.lookup(fault.frame)
  }

  /** Reads the sequence that everything looked up from here on is checked against. */
  protected async snapshotSeq(fault: PageFault): Promise<void> {
    const { vm } = this
    if (vm.sched.contended) await vm.sched.point(vm.invalidation, 'r', 'mmu_invalidate_seq')
    fault.seq = vm.invalidation.seq
    if (!vm.trace.on) return
    const { vcpu, frame, seq } = fault
    vm.trace.emit({ name: 'kvm_mmu_snapshot_seq', vm: vm.id, vcpu: vcpu.id, gfn: frame, seq })
  }

  /** Resolves the hva; sleeps. A read-only slot is never asked for write access. */
  protected faultInPage(fault: PageFault, slot: Memslot): Promise<FaultedPage> {
    return this.vm.backing.faultInPage(fault.hvaIn(slot), { write: fault.isWrite })
  }

  /** Together with other faults. @returns null where the exclusive side of mmuLock is needed */
  protected async mapSharing(fault: PageFault, slot: Memslot, page: FaultedPage): Promise<FaultOutcome | null> {
    const { vm } = this
    await vm.mmuRwLock!.downRead()
    try {
      const stale = this.stale(fault)
      return stale === null ? await vm.mmu.mapShared(fault, slot, page) : this.noteRetry(fault, stale)
    } finally {
      vm.mmuRwLock!.upRead()
    }
  }

  protected async mapUnderLock(fault: PageFault, slot: Memslot, page: FaultedPage): Promise<FaultOutcome> {
    const { vm } = this
    await vm.mmuLock.lock()
    try {
      const stale = this.stale(fault)
      if (stale !== null) return this.noteRetry(fault, stale)
      await vm.pages.makeRoom(vm.mmu.tablesNeeded)
      return await vm.mmu.map(fault, slot, page)
    } finally {
      vm.mmuLock.unlock()
    }
  }

  /** Has anything changed that the translation was made from? Under mmuLock. */
  protected stale(fault: PageFault): StaleReason | null {
    const { root } = fault.vcpu
    if (root === null || root.invalid) return 'root'
    return this.vm.invalidation.retry(fault.seq, fault.frame)
  }

  /**
   * A store that only the dirty log has write-protected needs no look at the host (fast_page_fault): W comes back, and
   * the page is logged. One step, so it needs no lock; only where frames are mapped directly, since else the same
   * entry could meanwhile stand for another frame.
   */
  protected fastPageFault(fault: PageFault, slot: Memslot): FaultOutcome | null {
    const { vm } = this
    const { root } = fault.vcpu
    if (root === null || root.invalid || fault.walk !== null || slot.isInvalid || slot.isReadonly) return null
    const sptep = vm.mmu.leafOf(root, fault.frame)
    if (sptep === -1) return null
    const low = vm.sptes.read(sptep)
    if (!isLeafSpte(low)) return null
    if (!fault.isWrite || (low & PTE_W) !== 0) return 'spurious'
    if (!isLocklesslyWritable(low)) return null
    const page = vm.sptes.pageOf(sptep)
    if (page.role.level !== 0) return null
    vm.sptes.setLeaf(page, page.indexOf(sptep), slot, fault.frame, low >>> 10, (low & 0x3ff) | PTE_W | PTE_A | PTE_D)
    vm.dirtyLog.markPageDirty(slot, fault.frame)
    vm.stats.fastFixed++
    return 'mapped'
  }

  noteRetry(fault: PageFault, reason: FaultRetry): 'retry' {
    const { vm } = this
    const { vcpu, frame } = fault
    if (reason === 'in-progress') vm.stats.retriesInProgress++
    else if (reason === 'sequence') vm.stats.retriesSequence++
    else if (reason === 'memslot') vm.stats.retriesMemslot++
    else if (reason === 'root') vm.stats.retriesRoot++
    else vm.stats.retriesRaced++
    if (vm.trace.on) vm.trace.emit({ name: 'kvm_mmu_retry', vm: vm.id, vcpu: vcpu.id, gfn: frame, reason })
    return 'retry'
  }

  private count(outcome: FaultOutcome): void {
    const { stats } = this.vm
    if (outcome === 'mapped') stats.mapped++
    else if (outcome === 'spurious') stats.spurious++
    else if (outcome === 'mmio') stats.mmio++
    else if (outcome === 'efault') stats.efault++
    else if (outcome === 'oom') stats.oom++
  }
}

/**
 * Flag bits of a leaf for a page that has just been resolved, before the guest's own restrictions.
 * W only for a page that the host may write and that nobody wants to hear about; with the dirty log on, only for a
 * store, which is logged then.
 */
export function leafFlags(fault: PageFault, slot: Memslot, page: FaultedPage, protectedTable: boolean): number {
  let flags = PTE_R | PTE_X | PTE_A | 1
  if (page.writable && !slot.isReadonly) {
    flags |= SPTE_HOST_WRITABLE
    if (!protectedTable) flags |= SPTE_MMU_WRITABLE
    if (!protectedTable && (fault.isWrite || !slot.logsDirtyPages)) flags |= PTE_W
  }
  if (fault.isWrite) flags |= PTE_D
  return flags
}

/** First frame of the large page that `pfn` belongs to, seen from a leaf at `level` over `frame`. */
export const leafPfn = (pfn: number, frame: number, level: number): number => toPfn(pfn - (frame % 2 ** (9 * level)))
