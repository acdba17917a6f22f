/**
 * Two-dimensional paging: one table from guest frames to host frames, in the G-stage format (arch/x86/kvm/mmu/tdp_mmu.c
 * in purpose, arch/riscv/kvm/mmu.c in format, 6.12).
 *
 * R1 The root of an x4 mode is four frames, aligned to 16 KiB.
 * R2 The translation for a guest PTE's own page is as much a use of the table as the access itself: the walker's A and D
 *    updates need a writable, logged mapping of it.
 */
import { KernelBug, gfn, hpaOf, pfn as toPfn } from '../base/index.ts'
import type { Pfn } from '../base/index.ts'
import {
  Access,
  PERMIT_WRITE,
  PTE_U,
  PTE_W,
  PageTableWalker,
  PhysicalPteSource,
  SV48X4,
  Walk,
  WalkStatus,
  isLeafPte,
  ptePpn,
  tableIndex,
} from '../hardware/index.ts'
import type { PagingMode, WalkPlan } from '../hardware/index.ts'
import type { FaultedPage } from './backing.ts'
import { MMU_INDEX_BARE } from './context.ts'
import type { Memslot } from './memslots.ts'
import type { Mmu, PendingStore } from './mmu.ts'
import type { MmuPage, MmuPageRole } from './mmu-page.ts'
import { tableBase } from './mmu-pages.ts'
import { PageFault, leafFlags, leafPfn } from './page-fault.ts'
import type { FaultOutcome } from './page-fault.ts'
import { isLeafSpte, isPresentSpte } from './spte.ts'
import type { Vcpu } from './vcpu.ts'
import type { Vm } from './vm.ts'

export class TdpMmu implements Mmu {
  readonly tablesNeeded: number = SV48X4.levels
  protected readonly vm: Vm
  protected readonly mode: PagingMode
  private readonly rootRole: MmuPageRole
  private readonly walker: PageTableWalker = new PageTableWalker()
  private readonly source: PhysicalPteSource

  constructor(vm: Vm) {
    this.vm = vm
    this.mode = vm.options.gpaMode
    this.rootRole = { level: this.mode.levels - 1, direct: true, access: 0, frames: this.mode.rootPages, guestLeaf: 0 }
    this.source = new PhysicalPteSource(vm.memory)
  }

  async loadRoot(vcpu: Vcpu): Promise<void> {
    if (vcpu.root !== null && !vcpu.root.invalid) return
    await this.loadDirectRoot(vcpu)
  }

  /** Gives the vCPU the table of all guest frames, made if need be. */
  protected async loadDirectRoot(vcpu: Vcpu): Promise<void> {
    const { vm } = this
    await vm.mmuLock.lock()
    let root = vm.pages.find(gfn(0), this.rootRole)
    if (root === null) {
      vm.mmuLock.unlock()
      const order = this.mode.rootPages === 4 ? 2 : 0
      const frame = await vm.backing.allocTable(order)
      await vm.mmuLock.lock()
      root = vm.pages.find(gfn(0), this.rootRole)
      if (root === null) root = vm.pages.create(gfn(0), this.rootRole, frame)
      else vm.backing.freeTable(frame, order)
    }
    vcpu.setRoot(root)
    vm.mmuLock.unlock()
  }

  translate(vcpu: Vcpu, page: number, access: Access): number {
    const { context } = vcpu
    if (context.mode === null) {
      const pfn = this.translateFrame(vcpu, page, access)
      if (pfn === -1) return vcpu.missAt(page, access, false)
      vcpu.frame = page
      return hpaOf(pfn)
    }
    const { walker } = vcpu
    const flags = context.walkFlags
    if (!walker.walk(vcpu.guestSource, context.mode, context.rootPpn, page, access, flags)) {
      if (walker.status === WalkStatus.fault) return vcpu.guestFault(walker.cause)
      const missed = Math.floor(walker.pteAddress / 4096)
      return vcpu.missAt(missed, walker.missedWrite ? Access.write : Access.read, true)
    }
    const pfn = this.translateFrame(vcpu, walker.page, access)
    if (pfn === -1) return vcpu.missAt(walker.page, access, false)
    vcpu.frame = walker.page
    vcpu.fillTlb(page, access, walker.global, pfn, walker.page, walker.leafShift, 0)
    return hpaOf(pfn)
  }

  /**
   * Translates a guest frame, through the TLB's entries for untranslated addresses.
   * @returns the host frame, or -1
   */
  translateFrame(vcpu: Vcpu, frame: number, access: Access): Pfn | -1 {
    const tlb = vcpu.tlb.forAccess(access)
    const hit = tlb.lookup(frame, 0, vcpu.vm.vmid, MMU_INDEX_BARE)
    if (hit >= 0) return tlb.pfnAt(hit)
    const { root } = vcpu
    if (root === null || root.invalid) return -1
    const { walker } = this
    if (!walker.walk(this.source, this.mode, root.pfn, frame, access, Walk.hardwareUpdate)) return -1
    if (access === Access.write && (walker.permissions & PERMIT_WRITE) === 0) return -1
    vcpu.fillFrame(frame, access, toPfn(walker.page), walker.leafShift)
    return toPfn(walker.page)
  }

  planWalk(vcpu: Vcpu, plan: WalkPlan): void {
    const { context, root } = vcpu
    if (context.mode === null || root === null || root.invalid) return
    plan.stages = 2
    plan.levels = context.mode.levels
    plan.root = context.rootPpn
    plan.flags = context.walkFlags
    plan.frameLevels = this.mode.levels
    plan.frameRoot = root.pfn
  }

  describeEntry(_vcpu: Vcpu, _access: Access, _index: number, _pteAddress: number): void {}

  satpChanged(_vcpu: Vcpu): void {}

  guestFence(_vcpu: Vcpu, _page: number, _asid: number): void {}

  async resolveMiss(vcpu: Vcpu, _store: PendingStore | null): Promise<FaultOutcome | 'stored'> {
    return this.vm.faults.handle(new PageFault(vcpu, gfn(vcpu.missFrame), vcpu.missAccess, null))
  }

  async map(fault: PageFault, slot: Memslot, page: FaultedPage): Promise<FaultOutcome> {
    return this.mapDirect(fault, slot, page)
  }

  /** Maps a frame below a direct root. */
  protected async mapDirect(fault: PageFault, slot: Memslot, page: FaultedPage): Promise<FaultOutcome> {
    const { vm } = this
    const { root, cache } = fault.vcpu
    if (root === null) throw new KernelBug('a fault is mapped by a vCPU without a root', 'I10')
    const { frame } = fault
    const goal = this.goalLevel(fault, slot)
    let flush = false
    let table = root
    for (let level = root.role.level; level > goal; level--) {
      const index = tableIndex(this.mode, frame, level)
      if (isLeafSpte(vm.sptes.read(table.sptep(index)))) flush = vm.sptes.dropSpte(table.sptep(index), 'split') || flush
      let child = vm.pages.childAt(table, index)
      if (child === null) {
        const role: MmuPageRole = { level: level - 1, direct: true, access: 0, frames: 1, guestLeaf: 0 }
        child = vm.pages.create(tableBase(frame, level - 1), role, cache.take())
        vm.pages.link(table, index, child)
      }
      vm.pages.touch(child)
      table = child
    }
    const index = tableIndex(this.mode, frame, goal)
    const flags = leafFlags(fault, slot, page, !this.mayWrite(slot, frame, fault.isWrite)) | PTE_U
    const first = frame - (frame % 2 ** (9 * goal))
    const doomed: MmuPage[] = []
    if (goal > 0 && isPresentSpte(vm.sptes.read(table.sptep(index))) && !isLeafPte(vm.sptes.read(table.sptep(index)))) {
      const below = vm.pages.unlink(table, index)
      vm.pages.prepareZap(below, doomed, 'collapse')
    }
    flush = vm.sptes.setLeaf(table, index, slot, first, leafPfn(page.pfn, frame, goal), flags) || flush
    if ((flags & PTE_W) !== 0) vm.dirtyLog.markPageDirty(slot, frame)
    if (doomed.length > 0) await vm.pages.commitZap(doomed)
    else if (flush) await vm.flush.remoteGfns(first, 2 ** (9 * goal))
    return 'mapped'
  }

  /**
   * Walks down by compare-and-exchange (kvm_tdp_mmu_map): whoever loses an entry to another fault starts over. Tables
   * are unlinked under the exclusive side alone, so none that the walk has reached can go.
   */
  async mapShared(fault: PageFault, slot: Memslot, page: FaultedPage): Promise<FaultOutcome | null> {
    const { vm } = this
    const { root, cache } = fault.vcpu
    if (root === null) throw new KernelBug('a fault is mapped by a vCPU without a root', 'I10')
    const { frame } = fault
    const goal = this.goalLevel(fault, slot)
    let table = root
    for (let level = root.role.level; level > goal; level--) {
      const index = tableIndex(this.mode, frame, level)
      const seen = vm.sptes.read(table.sptep(index))
      if (isLeafSpte(seen)) return null
      if (!isPresentSpte(seen)) {
        if (!(await this.stillThere(table, index, seen))) return vm.faults.noteRetry(fault, 'raced')
        const role: MmuPageRole = { level: level - 1, direct: true, access: 0, frames: 1, guestLeaf: 0 }
        vm.pages.link(table, index, vm.pages.create(tableBase(frame, level - 1), role, cache.take()))
      }
      table = vm.pages.childAt(table, index)!
      vm.pages.touch(table)
    }
    const index = tableIndex(this.mode, frame, goal)
    const first = frame - (frame % 2 ** (9 * goal))
    const pfn = leafPfn(page.pfn, frame, goal)
    const seen = vm.sptes.read(table.sptep(index))
    // Another page, or a table, in its place has to be flushed before it is replaced.
    if (isPresentSpte(seen) && (!isLeafSpte(seen) || ptePpn(seen, 0) !== pfn)) return null
    const mayWrite = await this.mayWriteShared(slot, frame, fault.isWrite)
    if (!(await this.stillThere(table, index, seen))) return vm.faults.noteRetry(fault, 'raced')
    const flags = leafFlags(fault, slot, page, !mayWrite) | PTE_U
    const isFlushDue = vm.sptes.setLeaf(table, index, slot, first, pfn, flags)
    if ((flags & PTE_W) !== 0) vm.dirtyLog.markPageDirty(slot, frame)
    if (isFlushDue) await vm.flush.remoteGfns(first, 2 ** (9 * goal))
    return 'mapped'
  }

  /** The comparison of a compare-and-exchange: the caller sets the entry in this step if it holds. */
  protected async stillThere(table: MmuPage, index: number, seen: number): Promise<boolean> {
    const { sched, sptes } = this.vm
    if (sched.contended) await sched.point(table, 'w', 'try_cmpxchg of an spte')
    return sptes.read(table.sptep(index)) === seen
  }

  /** Others ask at the same time; the answer is found in one step. */
  protected async mayWriteShared(slot: Memslot, frame: number, isWrite: boolean): Promise<boolean> {
    return this.mayWrite(slot, frame, isWrite)
  }

  /**
   * The largest leaf that the host page, the slot and the alignment of both allow. Stores that are logged, and guest
   * page tables, need 4 KiB.
   */
  protected goalLevel(fault: PageFault, slot: Memslot): number {
    if (slot.logsDirtyPages || slot.memory.trackedPages > 0) return 0
    const level = Math.min(this.vm.backing.peekLevel(fault.hvaIn(slot)), 1)
    for (let goal = level; goal > 0; goal--) {
      const size = 2 ** (9 * goal)
      const first = fault.frame - (fault.frame % size)
      const aligned = (slot.userspaceAddr / 4096 - slot.baseGfn) % size === 0
      if (aligned && first >= slot.baseGfn && first + size <= slot.endGfn) return goal
    }
    return 0
  }

  leafOf(root: MmuPage, frame: number): number {
    let table = root
    for (;;) {
      const index = tableIndex(this.mode, frame, table.role.level)
      const low = this.vm.sptes.read(table.sptep(index))
      if (!isPresentSpte(low)) return -1
      if (isLeafSpte(low)) return table.sptep(index)
      const child = this.vm.pages.childAt(table, index)
      if (child === null) return -1
      table = child
    }
  }

  isTracked(_slot: Memslot, _frame: number): boolean {
    return false
  }

  mayWrite(_slot: Memslot, _frame: number, _isWrite: boolean): boolean {
    return true
  }

  unaccountShadowed(_page: MmuPage): void {}

  async trackWrite(_frame: number, _offset: number, _size: number): Promise<void> {}

  async flushSlot(slot: Memslot): Promise<void> {
    const { vm } = this
    await vm.mmuLock.lock()
    if (vm.sptes.zapGfns(slot, slot.baseGfn, slot.endGfn, 'memslot') > 0) await vm.flush.remoteAll()
    vm.mmuLock.unlock()
  }
}
