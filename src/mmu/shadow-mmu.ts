/**
 * Shadow paging: the hardware walks tables that map guest virtual pages straight to host frames, made from the guest's
 * own tables (arch/x86/kvm/mmu/paging_tmpl.h FNAME(page_fault), FNAME(fetch), 6.12).
 *
 * In Bare mode the guest runs on the table of all guest frames, as under two-dimensional paging.
 *
 * R1 A table page is found by the guest frame of the table it shadows and its level, so roots share what the guest shares.
 * R2 While linking, each guest PTE is read again after the page that holds it has been write-protected: a fault whose
 *    guest tables changed meanwhile starts over (I10).
 * R3 A shadow leaf allows what the guest's leaf and the host page both allow; W only once the guest's D is set.
 */
import { KernelError, PAGE_SIZE, gfn, hpa, hpaOf, pfn as toPfn } from '../base/index.ts'
import {
  Access,
  PTE_A,
  PTE_D,
  PTE_G,
  PTE_R,
  PTE_U,
  PTE_W,
  PTE_X,
  PageTableWalker,
  PhysicalPteSource,
  SV48,
  Walk,
  WalkStatus,
  tableIndex,
} from '../hardware/index.ts'
import type { FaultedPage } from './backing.ts'
import { GuestWalk } from './guest-walk.ts'
import { withPage } from './guest-memory.ts'
import type { Memslot } from './memslots.ts'
import type { PendingStore } from './mmu.ts'
import type { MmuPage, MmuPageRole } from './mmu-page.ts'
import { PageFault, leafFlags } from './page-fault.ts'
import type { FaultOutcome } from './page-fault.ts'
import { ShadowSync, gpteFlags } from './shadow-sync.ts'
import { isLeafSpte } from './spte.ts'
import { TdpMmu } from './tdp-mmu.ts'
import type { Vcpu } from './vcpu.ts'
import type { Vm } from './vm.ts'

/** Outcome of the hypervisor's walk of the guest's tables. */
type WalkResult = GuestWalk | 'guest-fault'

export class ShadowMmu extends TdpMmu {
  override readonly tablesNeeded: number = SV48.levels
  readonly sync: ShadowSync
  private readonly shadowWalker: PageTableWalker = new PageTableWalker()
  private readonly shadowSource: PhysicalPteSource

  constructor(vm: Vm) {
    super(vm)
    this.sync = this.createSync(vm)
    this.shadowSource = new PhysicalPteSource(vm.memory)
  }

  protected createSync(vm: Vm): ShadowSync {
    return new ShadowSync(vm)
  }

  // Roots.

  override async loadRoot(vcpu: Vcpu): Promise<void> {
    if (this.hasRoot(vcpu)) return
    if (vcpu.context.mode === null) return this.loadDirectRoot(vcpu)
    const { vm } = this
    await vcpu.cache.topUp(this.tablesNeeded)
    await vm.mmuLock.lock()
    const { mode, rootPpn } = vcpu.context
    const role = shadowRole(mode.levels - 1)
    await vm.pages.makeRoom(1)
    const root = await this.shadowPage(vcpu, rootPpn, role)
    if (root !== null) await this.sync.syncAll()
    vcpu.setRoot(root)
    vm.mmuLock.unlock()
  }

  /** Is the vCPU's root the one for what satp says? */
  private hasRoot(vcpu: Vcpu): boolean {
    const { root, context } = vcpu
    if (root === null || root.invalid) return false
    if (context.mode === null) return root.role.direct
    return !root.role.direct && root.gfn === context.rootPpn && root.role.level === context.mode.levels - 1
  }

  /** The shadow page of a guest table, made if need be; null when no slot holds the table. Under mmuLock; waits. */
  protected async shadowPage(vcpu: Vcpu, frame: number, role: MmuPageRole): Promise<MmuPage | null> {
    const { vm } = this
    const found = vm.pages.find(gfn(frame), role)
    if (found !== null) return found
    const slot = vm.memslots.active.lookup(frame)
    if (slot === null || slot.isInvalid) return null
    const page = vm.pages.create(gfn(frame), role, vcpu.cache.take())
    await this.sync.account(slot, frame, role.level)
    return page
  }

  // Translation.

  override translate(vcpu: Vcpu, page: number, access: Access): number {
    if (vcpu.syncPending || !this.hasRoot(vcpu)) return vcpu.missAt(page, access, false)
    const { mode, walkFlags } = vcpu.context
    if (mode === null) return super.translate(vcpu, page, access)
    const { shadowWalker: walker } = this
    const root = vcpu.root!
    if (!walker.walk(this.shadowSource, mode, root.pfn, page, access, walkFlags | Walk.hardwareUpdate)) {
      return vcpu.missAt(page, access, false)
    }
    const table = this.vm.sptes.pageOf(walker.pteAddress)
    const first = table.gfnOf(table.indexOf(walker.pteAddress))
    const frame = first + (page % walker.leafPages)
    const shift = Math.max(table.role.guestLeaf, walker.level) * 9
    vcpu.frame = frame
    vcpu.fillTlb(page, access, walker.global, toPfn(walker.page), frame, shift, walker.level * 9)
    return hpaOf(toPfn(walker.page))
  }

  override guestFence(vcpu: Vcpu, _page: number, _asid: number): void {
    if (this.sync.unsync.size > 0) vcpu.syncPending = true
  }

  // Misses.

  override async resolveMiss(vcpu: Vcpu, store: PendingStore | null): Promise<FaultOutcome | 'stored'> {
    try {
      if (vcpu.syncPending) {
        await this.syncRoots(vcpu)
        return 'mapped'
      }
      if (!this.hasRoot(vcpu)) await this.loadRoot(vcpu)
      const { mode } = vcpu.context
      if (mode === null)
        return await this.finish(vcpu, store, new PageFault(vcpu, gfn(vcpu.missPage), vcpu.missAccess, null))
      const walk = await this.walkGuest(vcpu)
      if (walk === 'guest-fault') return 'mapped'
      vcpu.missFrame = walk.frame
      return await this.finish(vcpu, store, new PageFault(vcpu, gfn(walk.frame), vcpu.missAccess, walk))
    } catch (error) {
      if (!(error instanceof KernelError)) throw error
      if (error.code === 'EFAULT') return 'efault'
      if (error.code === 'ENOMEM') return 'oom'
      throw error
    }
  }

  /** The guest has fenced: its tables count as they are now. */
  private async syncRoots(vcpu: Vcpu): Promise<void> {
    const { vm } = this
    await vm.mmuLock.lock()
    vcpu.syncPending = false
    await this.sync.syncAll()
    vm.mmuLock.unlock()
  }

  private async finish(vcpu: Vcpu, store: PendingStore | null, fault: PageFault): Promise<FaultOutcome | 'stored'> {
    const outcome = await this.vm.faults.handle(fault)
    if (outcome !== 'emulate') return outcome
    if (store !== null) return this.emulateStore(vcpu, fault, store)
    await this.vm.mmuLock.lock()
    await this.sync.unprotect(fault.frame)
    this.vm.mmuLock.unlock()
    return 'mapped'
  }

  /**
   * Carries out a store to a guest page table. The guest's own translation is walked again in the step of the store:
   * a fence of another hart may have been answered on this vCPU's behalf while it was outside guest mode (I12).
   */
  protected async emulateStore(vcpu: Vcpu, fault: PageFault, store: PendingStore): Promise<FaultOutcome | 'stored'> {
    const { vm } = this
    const slot = fault.slot!
    const { frame } = fault
    let stored = false
    await withPage(vm, slot.hvaOf(frame), true, (pfn) => {
      if (!this.stillMaps(vcpu, fault)) return
      const at = hpa(pfn * PAGE_SIZE + store.offset)
      if (store.size === 8) vm.memory.write64(at, BigInt.asUintN(64, store.value))
      else if (store.size === 4) vm.memory.write32(at, Number(BigInt.asUintN(32, store.value)))
      else if (store.size === 2) vm.memory.write16(at, Number(BigInt.asUintN(16, store.value)))
      else vm.memory.write8(at, Number(BigInt.asUintN(8, store.value)))
      vm.backing.setPageDirty(pfn)
      vm.dirtyLog.markPageDirty(slot, frame)
      vcpu.noteStore(slot.hvaOf(frame) + store.offset, at, store.size, store.value)
      stored = true
    })
    if (!stored) return 'retry'
    vm.stats.emulatedStores++
    await vm.mmuLock.lock()
    await this.trackWrite(frame, store.offset, store.size)
    vm.mmuLock.unlock()
    return 'stored'
  }

  /** Do the guest's tables, as they are now, lead the missed page to the fault's frame, writable? */
  private stillMaps(vcpu: Vcpu, fault: PageFault): boolean {
    if (fault.walk === null) return true
    const { mode, rootPpn, walkFlags } = vcpu.context
    const { hostWalker: walker, hostSource: source } = vcpu
    source.walk = null
    return walker.walk(source, mode!, rootPpn, vcpu.missPage, fault.access, walkFlags) && walker.page === fault.frame
  }

  /** Walks the guest's tables, faulting their pages in. @throws KernelError EFAULT, ENOMEM */
  protected async walkGuest(vcpu: Vcpu): Promise<WalkResult> {
    const { vm } = this
    const { hostWalker: walker, hostSource: source } = vcpu
    for (;;) {
      const { mode, rootPpn, walkFlags } = vcpu.context
      const walk = new GuestWalk(vcpu.missPage, mode!)
      source.walk = walk
      const ok = walker.walk(source, mode!, rootPpn, vcpu.missPage, vcpu.missAccess, walkFlags)
      source.walk = null
      if (ok) {
        walk.frame = walker.page
        walk.leafLevel = walker.level
        return walk
      }
      if (walker.status === WalkStatus.fault) {
        vcpu.deliverOnRetry(walker.cause)
        return 'guest-fault'
      }
      const page = await vm.backing.faultInPage(source.missedHva, { write: walker.missedWrite })
      vm.backing.putPage(page.pfn)
    }
  }

  // Mapping.

  override async map(fault: PageFault, slot: Memslot, page: FaultedPage): Promise<FaultOutcome> {
    const { vm } = this
    const { walk, vcpu } = fault
    if (walk === null) return this.mapDirect(fault, slot, page)
    if (!this.hasRoot(vcpu)) return this.noteRetry(fault, 'root')
    const top = walk.mode.levels - 1
    if (walk.tableFrames[top] !== vcpu.root!.gfn || this.gpteChanged(walk, top)) return this.noteRetry(fault, 'gpte')
    const doomed: MmuPage[] = []
    let table = vcpu.root!
    for (let level = top; level > walk.leafLevel; level--) {
      const child = await this.childTable(vcpu, table, level, walk, doomed)
      if (child === null) {
        await vm.pages.commitZap(doomed)
        return this.noteRetry(fault, 'gpte')
      }
      table = child
    }
    for (let level = walk.leafLevel; level > 0; level--) table = this.directTable(vcpu, table, level, walk, doomed)
    const flush = this.setLeaf(fault, slot, page, table, walk)
    if (doomed.length > 0) await vm.pages.commitZap(doomed)
    else if (flush) await vm.flush.remoteAll()
    return 'mapped'
  }

  /** The shadow of the table that the guest's PTE at `level` points to, linked; null when the guest changed it (R2). */
  private async childTable(
    vcpu: Vcpu,
    table: MmuPage,
    level: number,
    walk: GuestWalk,
    doomed: MmuPage[],
  ): Promise<MmuPage | null> {
    const { vm } = this
    const index = tableIndex(walk.mode, walk.page, level)
    const frame = walk.tableFrames[level - 1]!
    const role = shadowRole(level - 1)
    const linked = this.clearUnless(table, index, doomed, frame, role)
    const child = linked ?? (await this.shadowPage(vcpu, frame, role))
    if (child === null) return null
    if (linked === null) await this.sync.sync(child)
    child.writeFlooding = 0
    if (this.gpteChanged(walk, level - 1)) return null
    if (linked === null) vm.pages.link(table, index, child, walk.low[level]! & PTE_G)
    return child
  }

  /** A table of smaller pages below a large leaf of the guest. */
  private directTable(vcpu: Vcpu, table: MmuPage, level: number, walk: GuestWalk, doomed: MmuPage[]): MmuPage {
    const { vm } = this
    const index = tableIndex(walk.mode, walk.page, level)
    const frame = walk.frame - (walk.frame % 2 ** (9 * level))
    const access = gpteFlags(walk.low[walk.leafLevel]!)
    const role: MmuPageRole = { level: level - 1, direct: true, access, frames: 1, guestLeaf: walk.leafLevel }
    const linked = this.clearUnless(table, index, doomed, frame, role)
    if (linked !== null) return linked
    const child = vm.pages.find(gfn(frame), role) ?? vm.pages.create(gfn(frame), role, vcpu.cache.take())
    vm.pages.link(table, index, child)
    return child
  }

  /** The page that the entry points to if it is the wanted one; else the entry is cleared. */
  private clearUnless(
    table: MmuPage,
    index: number,
    doomed: MmuPage[],
    frame: number,
    role: MmuPageRole,
  ): MmuPage | null {
    const { vm } = this
    const sptep = table.sptep(index)
    if (isLeafSpte(vm.sptes.read(sptep))) vm.sptes.dropSpte(sptep, 'gpte-write')
    const child = vm.pages.childAt(table, index)
    if (child === null) return null
    const same =
      child.gfn === frame &&
      child.role.level === role.level &&
      child.role.direct === role.direct &&
      child.role.access === role.access
    if (same) return child
    vm.pages.unlinkOrZap(table, index, doomed, 'gpte-write')
    return null
  }

  private setLeaf(fault: PageFault, slot: Memslot, page: FaultedPage, table: MmuPage, walk: GuestWalk): boolean {
    const { vm } = this
    const index = tableIndex(walk.mode, walk.page, 0)
    const guest = gpteFlags(walk.low[walk.leafLevel]!)
    const host = leafFlags(fault, slot, page, !this.sync.allowWrite(slot, fault.frame, fault.isWrite))
    const flags =
      (host & ~(PTE_R | PTE_W | PTE_X | PTE_U)) | (host & guest & (PTE_R | PTE_W | PTE_X)) | (guest & (PTE_U | PTE_G))
    const flush = vm.sptes.setLeaf(
      table,
      index,
      slot,
      fault.frame,
      page.pfn,
      flags | PTE_A | (fault.isWrite ? PTE_D : 0),
    )
    if ((flags & PTE_W) !== 0) vm.dirtyLog.markPageDirty(slot, fault.frame)
    return flush
  }

  /** Is the guest's PTE no longer the one that the walk read? An unreadable one counts as changed. */
  protected gpteChanged(walk: GuestWalk, level: number): boolean {
    const { vm } = this
    const frame = gfn(walk.tableFrames[level]!)
    const slot = vm.memslots.active.lookup(frame)
    if (slot === null) return true
    const pfn = vm.backing.peekPage(slot.hvaOf(frame), false)
    if (pfn === -1) return true
    const at = hpa(pfn * PAGE_SIZE + tableIndex(walk.mode, walk.page, level) * 8)
    return vm.memory.readLow(at) !== walk.low[level] || vm.memory.readHigh(at) !== walk.high[level]
  }

  private noteRetry(fault: PageFault, reason: 'gpte' | 'root'): 'retry' {
    const { vm } = this
    if (reason === 'gpte') vm.stats.retriesGpte++
    else vm.stats.retriesRoot++
    const { vcpu, frame } = fault
    if (vm.trace.on) vm.trace.emit({ name: 'kvm_mmu_retry', vm: vm.id, vcpu: vcpu.id, gfn: frame, reason })
    return 'retry'
  }

  // Tracking.

  override isTracked(slot: Memslot, frame: number): boolean {
    return this.sync.isTracked(slot, frame)
  }

  override mayWrite(slot: Memslot, frame: number, isWrite: boolean): boolean {
    return this.sync.allowWrite(slot, frame, isWrite)
  }

  override unaccountShadowed(page: MmuPage): void {
    this.sync.unaccount(page)
  }

  override trackWrite(frame: number, offset: number, size: number): Promise<void> {
    return this.sync.trackWrite(frame, offset, size)
  }

  /** Guest tables may be in the slot, and roots above it: everything goes. */
  override async flushSlot(_slot: Memslot): Promise<void> {
    await this.vm.zapAllTables('memslot')
  }
}

const shadowRole = (level: number): MmuPageRole => ({ level, direct: false, access: 0, frames: 1, guestLeaf: 0 })
