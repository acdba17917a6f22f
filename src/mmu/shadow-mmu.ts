/**
 * Shadow paging: the hardware walks tables that map guest virtual pages straight to host frames, made from the guest's
 * own tables (arch/x86/kvm/mmu/paging_tmpl.h FNAME(page_fault), FNAME(fetch), 6.12).
 *
 * In Bare mode the guest runs on the table of all guest frames, as under two-dimensional paging.
 *
 * R1 A translation that fails exits; whether it is the guest's fault is found by a walk of the guest's tables outside
 *    guest mode, which may sleep. An exception found so is delivered when the access is tried again.
 * R2 A root belongs to what satp said when it was loaded; translations from another root exit.
 * R3 The hypervisor stores for the guest only what the guest's tables, walked in the same step, still allow.
 */
import { KernelError, PAGE_SIZE, gfn, hpa, hpaOf, pfn as toPfn } from '../base/index.ts'
import {
  Access,
  PageTableWalker,
  PhysicalPteSource,
  SV48,
  Walk,
  WalkStatus,
  pageWithinLeaf,
} from '../hardware/index.ts'
import type { WalkPlan } from '../hardware/index.ts'
import type { FaultedPage } from './backing.ts'
import { GuestWalk } from './guest-walk.ts'
import { withPage } from './guest-memory.ts'
import type { Memslot } from './memslots.ts'
import type { PendingStore } from './mmu.ts'
import type { MmuPage } from './mmu-page.ts'
import { PageFault } from './page-fault.ts'
import type { FaultOutcome } from './page-fault.ts'
import { ShadowSync } from './shadow-sync.ts'
import { ShadowTables, shadowRole } from './shadow-tables.ts'
import { TdpMmu } from './tdp-mmu.ts'
import { noteStore } from './vcpu-trace.ts'
import type { Vcpu } from './vcpu.ts'
import type { Vm } from './vm.ts'

/** Outcome of the hypervisor's walk of the guest's tables. */
type WalkResult = GuestWalk | 'guest-fault'

export class ShadowMmu extends TdpMmu {
  override readonly tablesNeeded: number = SV48.levels
  readonly sync: ShadowSync
  readonly tables: ShadowTables
  private readonly shadowWalker: PageTableWalker = new PageTableWalker()
  private readonly shadowSource: PhysicalPteSource

  constructor(vm: Vm) {
    super(vm)
    this.sync = this.createSync(vm)
    this.tables = this.createTables(vm)
    this.shadowSource = new PhysicalPteSource(vm.memory)
  }

  protected createSync(vm: Vm): ShadowSync {
    return new ShadowSync(vm)
  }

  protected createTables(vm: Vm): ShadowTables {
    return new ShadowTables(vm, this.sync)
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
    const root = await this.tables.shadowPage(vcpu, rootPpn, role)
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
    const { role } = this.vm.sptes.pageOf(walker.pteAddress)
    const frame = this.frameBehind(walker.pteAddress, page)
    const shift = Math.max(role.guestLeaf, role.level) * 9
    vcpu.frame = frame
    vcpu.fillTlb(page, access, walker.global, toPfn(walker.page), frame, shift, role.level * 9)
    return hpaOf(toPfn(walker.page))
  }

  /** The guest frame of a page that a leaf maps. */
  private frameBehind(pteAddress: number, page: number): number {
    const table = this.vm.sptes.pageOf(pteAddress)
    return table.gfnOf(table.indexOf(pteAddress)) + pageWithinLeaf(page, table.role.level)
  }

  override planWalk(vcpu: Vcpu, plan: WalkPlan): void {
    const { mode, walkFlags } = vcpu.context
    if (mode === null || vcpu.syncPending || !this.hasRoot(vcpu)) return
    plan.stages = 1
    plan.levels = mode.levels
    plan.root = vcpu.root!.pfn
    plan.flags = walkFlags
  }

  override describeEntry(vcpu: Vcpu, access: Access, index: number, pteAddress: number): void {
    const tlb = vcpu.tlb.forAccess(access)
    const { role } = this.vm.sptes.pageOf(pteAddress)
    const frame = this.frameBehind(pteAddress, tlb.pageAt(index))
    tlb.describe(index, frame, Math.max(role.guestLeaf, role.level) * 9, role.level * 9)
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
      noteStore(vcpu, slot.hvaOf(frame) + store.offset, at, store.size, store.value)
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

  override async map(fault: PageFault, slot: Memslot, page: FaultedPage): Promise<FaultOutcome> {
    if (fault.walk === null) return this.mapDirect(fault, slot, page)
    const stale = this.hasRoot(fault.vcpu) ? await this.tables.map(fault, fault.walk, slot, page) : 'root'
    return stale === null ? 'mapped' : this.noteRetry(fault, stale)
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
