/**
 * A vCPU as the MMU sees it: its translation context, its TLBs, its root (struct kvm_vcpu, 6.12). The way in and out of
 * guest mode is in `vcpu-entry.ts`.
 *
 * The run loop, in the guest room:
 * ```ts
 * for (;;) {
 *   await vcpu.enterGuest()                  // serves requests; returns in guest mode
 *   const exit = engine.run(budget)          // synchronous; translates through this object
 *   if (exit === MEMORY_FAULT) outcome = await vcpu.handleMiss()
 *   else if (exit === INTR) await vcpu.quantumEnd()
 *   else vcpu.exitGuest()                    // before anything that may take long
 * }
 * ```
 *
 * R1 Translations are used only in guest mode, and never across an await.
 * R2 Between two quanta the vCPU is still in guest mode: its TLBs count as live, and a kick is acknowledged at the next
 *    boundary, at the latest in `quantumEnd`.
 */
import { KernelBug, gfn, hpaOf, hva } from '../base/index.ts'
import type { Gvn, Hva, Pfn } from '../base/index.ts'
import { ANY, Access, PageTableWalker, Tlb, TlbSet, accessFaultCause } from '../hardware/index.ts'
import type { PhysicalMemory, TlbOptions, WalkPlan } from '../hardware/index.ts'
import { MMU_INDEX_BARE, TranslationContext } from './context.ts'
import { GuestPteSource } from './guest-pte-source.ts'
import { HostPteSource } from './host-pte-source.ts'
import type { PendingStore } from './mmu.ts'
import type { MmuPage } from './mmu-page.ts'
import { PageTableCache } from './page-table-cache.ts'
import { PendingFlush } from './pending-flush.ts'
import { KVM_REQ_TLB_FLUSH, KVM_REQ_TLB_FLUSH_GFNS, OUTSIDE_GUEST_MODE } from './requests.ts'
import { VcpuEntry } from './vcpu-entry.ts'
import { noteFill } from './vcpu-trace.ts'
import type { Vm } from './vm.ts'

/** Why a translation returned -1; the same numbers as `Miss` in the guest room's HartMemory. */
export const MISS_GUEST_FAULT = 1
export const MISS_EXIT = 2
export type MissKind = 1 | 2

/**
 * What `handleMiss` came to:
 * - `retry`: run the instruction again
 * - `mmio`: the access goes to `missFrame`, which no memory backs (or a read-only slot does, for a store)
 * - `stored`: the store that was handed in has been carried out
 * - `efault`, `oom`: the host cannot provide the page; the vCPU is unchanged and may be run again after repair
 */
export type MissOutcome = 'retry' | 'mmio' | 'stored' | 'efault' | 'oom'

/** Virtual nanoseconds that a fault without progress takes: so that a window held open by a sleeper ends. */
const RETRY_NANOSECONDS = 1000

export class Vcpu {
  /** Immutable. */
  readonly vm: Vm
  readonly id: number
  readonly tlb: TlbSet
  readonly context: TranslationContext
  /** Frames for tables, owned by the task that runs the vCPU. */
  readonly cache: PageTableCache
  readonly walker: PageTableWalker = new PageTableWalker()
  readonly guestSource: GuestPteSource
  /** For the hypervisor's own walks of the guest's tables. */
  readonly hostWalker: PageTableWalker = new PageTableWalker()
  readonly hostSource: HostPteSource
  private readonly entry: VcpuEntry
  /** The table that translations start from. Changed under mmuLock, used by this vCPU. */
  root: MmuPage | null = null
  /** The guest has fenced: shadow pages that are out of sync must be compared before the next walk. Its task's own. */
  syncPending = false

  // About the last translation. Owned by the vCPU's task.
  /** Guest frame that it arrived at. */
  frame = 0
  missKind: MissKind = MISS_EXIT
  /** With MISS_GUEST_FAULT: the exception to deliver. */
  missCause = 0
  /** With MISS_EXIT: the guest virtual page, the guest frame and the access that the host has to act for. */
  missPage = 0
  missFrame = 0
  missAccess: Access = Access.read
  /** The access that the instruction wanted; differs from `missAccess` when the walk of the guest's tables missed. */
  wantedAccess: Access = Access.read
  /** The miss was on the way through the guest's tables, not for the access itself. */
  missImplicit = false
  /** Where the host could not resolve an address, after `efault`. */
  faultHva: Hva = hva(0)

  /** Exception that a walk outside guest mode has found, delivered when the access is tried again. 0 = none. */
  private pendingCause = 0
  private pendingPage = 0
  private pendingAccess: Access = Access.read

  /** What to flush at the next entry. */
  readonly pending: PendingFlush = new PendingFlush()

  /** Called when translations were dropped: the owner of load reservations ends this hart's. Immutable after setup. */
  onFlush: (() => void) | null = null
  /** Called for a remote fence.i. Immutable after setup. */
  onFenceI: (() => void) | null = null

  constructor(vm: Vm, id: number, tlb: TlbOptions = {}) {
    this.vm = vm
    this.id = id
    this.tlb = new TlbSet(tlb)
    this.context = new TranslationContext(vm.options.adUpdate === 'svadu')
    this.cache = new PageTableCache(vm.backing)
    this.guestSource = new GuestPteSource(this)
    this.hostSource = this.createHostSource()
    this.entry = new VcpuEntry(this)
  }

  protected createHostSource(): HostPteSource {
    return new HostPteSource(this, this.hostWalker)
  }

  /** The bytes behind translations. */
  get bytes(): PhysicalMemory {
    return this.vm.memory
  }

  get mode(): number {
    return this.entry.mode
  }

  // Guest mode.

  /** Enters guest mode, or stays in it if nobody kicked. @throws KernelError ENOMEM without a table, EIO when the VM is gone */
  enterGuest(): Promise<void> {
    return this.entry.enter()
  }

  /** Leaves guest mode: acknowledges whoever waits for that. */
  exitGuest(): void {
    this.entry.exit()
  }

  /** Lets other tasks run, still in guest mode; then leaves and re-enters if it was kicked. */
  async quantumEnd(): Promise<void> {
    await this.vm.sched.yieldNow()
    await this.entry.enter()
  }

  /**
   * Does what the last miss asked for. Leaves guest mode; the caller enters again.
   * @throws KernelError EIO when the VM is gone
   * @param store the plain store that missed, if it may be carried out here (a guest page table under shadow paging)
   */
  async handleMiss(store: PendingStore | null = null): Promise<MissOutcome> {
    const { vm } = this
    this.entry.exit()
    const outcome = await this.entry.insideSrcu(() => vm.mmu.resolveMiss(this, store))
    if (outcome === 'retry' || outcome === 'emulate') {
      vm.sched.advance(RETRY_NANOSECONDS)
      await vm.sched.yieldNow()
      return 'retry'
    }
    return this.outcomeOf(outcome)
  }

  // Translation: what a hart calls.

  /** Host physical address of a guest virtual page for instruction fetch, or -1 with the miss fields set. */
  translateFetch(page: Gvn): number {
    return this.translate(page, Access.execute, this.context.fetchIndex)
  }
  translateRead(page: Gvn): number {
    return this.translate(page, Access.read, this.context.readIndex)
  }
  /** Good for reading as well. */
  translateWrite(page: Gvn): number {
    return this.translate(page, Access.write, this.context.writeIndex)
  }

  /**
   * Host physical address of a guest virtual page if the TLB knows it, else -1: as the translations above, but nothing
   * is walked and nothing changes.
   */
  known(page: number, access: Access): number {
    const tlb = this.tlb.forAccess(access)
    const index = this.indexOf(access)
    const hit = tlb.lookup(page, index === MMU_INDEX_BARE ? 0 : this.context.asid, this.vm.vmid, index)
    return hit < 0 ? -1 : hpaOf(tlb.pfnAt(hit))
  }

  /** A number for what translations of an access depend on: while it is the same, so is what the TLB answers. */
  contextKey(access: Access): number {
    const index = this.indexOf(access)
    return index === MMU_INDEX_BARE ? 0 : (this.context.asid << 5) | index
  }

  /** How a TLB miss would be resolved now, as far as generated code can do the same. */
  planWalk(plan: WalkPlan): void {
    const { context, vm } = this
    plan.stages = 0
    if (this.pendingCause !== 0) return
    vm.mmu.planWalk(this, plan)
    plan.asid = context.asid
    plan.contexts[Access.read] = Tlb.contextOf(vm.vmid, context.readIndex)
    plan.contexts[Access.write] = Tlb.contextOf(vm.vmid, context.writeIndex)
    plan.contexts[Access.execute] = Tlb.contextOf(vm.vmid, context.fetchIndex)
    plan.frameContext = Tlb.contextOf(vm.vmid, MMU_INDEX_BARE)
  }

  /**
   * Generated code has put an entry into the TLB of an access, as `fillTlb` or `fillFrame` would have done.
   * @param pteAddress host physical address of the PTE that it came from
   */
  adoptEntry(access: Access, index: number, pteAddress: number): void {
    const tlb = this.tlb.forAccess(access)
    const page = tlb.pageAt(index)
    if (tlb.mmuIndexAt(index) !== MMU_INDEX_BARE) {
      this.vm.mmu.describeEntry(this, access, index, pteAddress)
      this.missPage = page
      this.wantedAccess = access
      this.frame = tlb.extraAt(index)
    }
    tlb.adopt(index)
    noteFill(this, page, tlb.extraAt(index), tlb.pfnAt(index), access)
  }

  /** The privilege, SUM or MXR changed. @param bits CONTEXT_* */
  setContext(bits: number): void {
    this.context.set(bits)
  }

  /** satp was written with a supported mode. No translation is dropped: that is what sfence.vma is for. */
  setSatp(satp: bigint): void {
    this.context.setSatp(satp)
    this.vm.mmu.satpChanged(this)
  }

  /** @param page the page fenced, or -1 for all; @param asid the address space, or -1 for all */
  sfenceVma(page: Gvn | -1, asid: number): void {
    this.forgetPendingFault()
    if (page !== -1) this.tlb.flushPage(page, asid === -1 ? ANY : asid, this.vm.vmid)
    else if (asid !== -1) this.tlb.flushAsid(asid, this.vm.vmid)
    else this.tlb.flushVmid(this.vm.vmid)
    this.vm.mmu.guestFence(this, page, asid)
    this.onFlush?.()
  }

  private indexOf(access: Access): number {
    const { context } = this
    return access === Access.read
      ? context.readIndex
      : access === Access.write
        ? context.writeIndex
        : context.fetchIndex
  }

  private translate(page: number, access: Access, index: number): number {
    const tlb = this.tlb.forAccess(access)
    const hit = tlb.lookup(page, index === MMU_INDEX_BARE ? 0 : this.context.asid, this.vm.vmid, index)
    if (hit >= 0) {
      this.frame = tlb.extraAt(hit)
      return hpaOf(tlb.pfnAt(hit))
    }
    if (this.mode === OUTSIDE_GUEST_MODE) throw new KernelBug(`vcpu ${this.id} translates outside guest mode`, 'I2')
    if (this.pendingCause !== 0) {
      const cause = this.pendingCause
      this.pendingCause = 0
      if (this.pendingPage === page && this.pendingAccess === access) return this.guestFault(cause)
    }
    this.wantedAccess = access
    this.missPage = page
    return this.vm.mmu.translate(this, page, access)
  }

  /** Something was fenced: what a walk outside guest mode has found may be out of date. */
  forgetPendingFault(): void {
    this.pendingCause = 0
  }

  // For the ways of paging.

  /** The guest's own doing: an exception for it. */
  guestFault(cause: number): -1 {
    this.missKind = MISS_GUEST_FAULT
    this.missCause = cause
    return -1
  }

  /** The host has to act for a guest frame. */
  missAt(frame: number, access: Access, implicit: boolean): -1 {
    this.missKind = MISS_EXIT
    this.missFrame = frame
    this.missAccess = access
    this.missImplicit = implicit
    return -1
  }

  /** The access that just missed is the guest's fault after all: it gets this exception when it tries again. */
  deliverOnRetry(cause: number): void {
    this.pendingCause = cause
    this.pendingPage = this.missPage
    this.pendingAccess = this.wantedAccess
  }

  /** Remembers a translation of a guest virtual page in the TLB of its access. */
  fillTlb(
    page: number,
    access: Access,
    global: boolean,
    pfn: Pfn,
    frame: number,
    shift: number,
    frameShift: number,
  ): void {
    const { context, vm } = this
    const index = this.indexOf(access)
    this.tlb.forAccess(access).fill(page, context.asid, vm.vmid, index, global, pfn, frame, shift, frameShift)
    noteFill(this, page, frame, pfn, access)
  }

  /** Remembers a translation of a guest frame itself. */
  fillFrame(frame: number, access: Access, pfn: Pfn, shift: number): void {
    this.tlb.forAccess(access).fill(frame, 0, this.vm.vmid, MMU_INDEX_BARE, false, pfn, frame, shift, shift)
    noteFill(this, frame, frame, pfn, access)
  }

  /** Changes the root; the old one loses a user. Under mmuLock. */
  setRoot(root: MmuPage | null): void {
    if (root === this.root) return
    if (root !== null) root.rootCount++
    if (this.root !== null) this.vm.pages.putRoot(this.root)
    this.root = root
  }

  // Flushes.

  /**
   * Will the next entry flush this translation (so that nobody can use it any more)?
   * @param pages of the leaf that `frame` is in, a power of two
   */
  willFlush(frame: number, pages: number): boolean {
    const posted = this.vm.requests.requests[this.id]!
    if ((posted & KVM_REQ_TLB_FLUSH) !== 0) return true
    return (posted & KVM_REQ_TLB_FLUSH_GFNS) !== 0 && this.pending.overlaps(frame - (frame % pages), pages)
  }

  private outcomeOf(outcome: 'mapped' | 'spurious' | 'mmio' | 'stored' | 'efault' | 'oom'): MissOutcome {
    if (outcome === 'mapped' || outcome === 'spurious') return 'retry'
    if (outcome === 'efault') this.faultHva = hva(this.vm.hvaOfFrame(gfn(this.missFrame)))
    // No device holds page tables: that is an access fault, as real hardware raises it.
    if (outcome !== 'mmio' || !this.missImplicit) return outcome
    this.deliverOnRetry(accessFaultCause(this.wantedAccess))
    return 'retry'
  }
}
