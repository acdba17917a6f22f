/**
 * A virtual machine, as far as memory goes: one mm, memslots over it, sptes that mirror it (struct kvm,
 * virt/kvm/kvm_main.c kvm_create_vm, kvm_destroy_vm, 6.12).
 *
 * The parts are objects of their own, made by the protected factories: a variant of a part (a client's experiment, an
 * exhibit of a bug) is a subclass of the part, and a subclass of `Vm` that makes it.
 *
 * R1 A VM belongs to one mm for life; its notifier is registered before it can be used and unregistered before its
 *    tables are freed.
 * R2 Nothing of it outlives `destroy`: every table frame is back with the host, every reference dropped.
 */
import { KernelError, PAGE_SIZE, hva } from '../base/index.ts'
import type { Gfn, Gpa, Trace, ZapCause } from '../base/index.ts'
import type { PhysicalMemory, TlbOptions } from '../hardware/index.ts'
import type { Mm } from '../host/index.ts'
import type { Srcu } from '../notifier/index.ts'
import { Mutex, SpinLock, WaitQueue } from '../sched/index.ts'
import type { ExclusiveLock, Scheduler } from '../sched/index.ts'
import type { Backing } from './backing.ts'
import { DirtyLog } from './dirty-log.ts'
import { readGuest, writeGuest } from './guest-memory.ts'
import { Invalidation } from './invalidation.ts'
import { mmuLockClass } from './locks.ts'
import { MmBacking } from './mm-backing.ts'
import type { Mmu } from './mmu.ts'
import type { MmuPage } from './mmu-page.ts'
import { MmuRwLock } from './mmu-lock.ts'
import { MmuPages } from './mmu-pages.ts'
import { KvmMmuNotifier } from './notifier-hooks.ts'
import { PageFaults } from './page-fault.ts'
import type { GfnToPfnCache } from './pfncache.ts'
import { KVM_REQ_FREE_OBSOLETE_ROOTS, KVM_REQ_HFENCE, KVM_REQ_VM_DEAD, MAX_VCPUS, VcpuRequests } from './requests.ts'
import { ShadowMmu } from './shadow-mmu.ts'
import { Sptes } from './sptes.ts'
import { MmuStats } from './stats.ts'
import { TdpMmu } from './tdp-mmu.ts'
import { TlbFlush } from './tlb-flush.ts'
import { Vcpu } from './vcpu.ts'
import { VmMemslots } from './vm-memslots.ts'
import { resolveVmOptions } from './vm-options.ts'
import type { ResolvedVmOptions, VmFigures, VmOptions } from './vm-options.ts'
import type { MemoryRegion } from './vm-memslots.ts'

export class Vm {
  /** Immutable. */
  readonly id: number
  readonly backing: Backing
  readonly options: ResolvedVmOptions
  readonly sched: Scheduler
  readonly memory: PhysicalMemory
  readonly trace: Trace
  /** Tag of its TLB entries. */
  readonly vmid: number
  /** Protects readers of the memslot table. */
  readonly srcu: Srcu
  /** See locks.ts. Spins if the mm's page-table lock does. */
  readonly mmuLock: ExclusiveLock
  /** The same lock where faults share it, else null. */
  readonly mmuRwLock: MmuRwLock | null
  readonly stats: MmuStats = new MmuStats()
  readonly invalidation: Invalidation
  readonly requests: VcpuRequests
  readonly sptes: Sptes
  readonly pages: MmuPages
  readonly flush: TlbFlush
  readonly memslots: VmMemslots
  readonly dirtyLog: DirtyLog
  readonly mmu: Mmu
  readonly faults: PageFaults
  readonly notifier: KvmMmuNotifier
  /** Guest pages whose frames the hypervisor keeps at hand. Changed in one step. */
  readonly pfnCaches: Set<GfnToPfnCache> = new Set<GfnToPfnCache>()
  /** Grows only before the VM runs. */
  readonly vcpus: Vcpu[] = []
  private registered = false
  /** vCPUs between asking for the VM's SRCU and having left it: to them the VM must not end (a vCPU's reference in KVM). */
  private srcuUsers = 0
  private readonly srcuIdle: WaitQueue
  /** It is being destroyed: no vCPU enters or faults any more. */
  isDying = false

  constructor(backing: Backing, options: VmOptions = {}) {
    this.backing = backing
    this.id = backing.nextVmId()
    this.vmid = this.id & 0xffff
    this.options = resolveVmOptions(options)
    this.sched = backing.sched
    this.memory = backing.memory
    this.trace = backing.sched.trace
    this.srcu = backing.createSrcu(`kvm-${this.id} srcu`)
    const lockName = `mmu_lock vm ${this.id}`
    const spins = backing.pageTableLock === 'spin'
    if (spins && this.options.mmuLock === 'shared') {
      throw new KernelError('EINVAL', "mmuLock 'shared': it sleeps, and this mm's page-table lock spins")
    }
    this.mmuRwLock = this.options.mmuLock === 'shared' ? new MmuRwLock(this.sched, mmuLockClass, lockName) : null
    const Exclusive = spins ? SpinLock : Mutex
    this.mmuLock = this.mmuRwLock ?? new Exclusive(this.sched, mmuLockClass, lockName)
    this.invalidation = this.createInvalidation()
    this.srcuIdle = new WaitQueue(this.sched, `vCPUs inside vm ${this.id}`)
    this.requests = new VcpuRequests(this.sched, this.id)
    this.sptes = this.createSptes()
    this.pages = this.createPages()
    this.flush = this.createFlush()
    this.memslots = this.createMemslots()
    this.dirtyLog = this.createDirtyLog()
    this.mmu = this.createMmu()
    this.faults = this.createFaults()
    this.notifier = this.createNotifier()
  }

  // Parts.

  protected createInvalidation(): Invalidation {
    return new Invalidation()
  }
  protected createSptes(): Sptes {
    return new Sptes(this)
  }
  protected createPages(): MmuPages {
    return new MmuPages(this)
  }
  protected createFlush(): TlbFlush {
    return new TlbFlush(this)
  }
  protected createMemslots(): VmMemslots {
    return new VmMemslots(this)
  }
  protected createDirtyLog(): DirtyLog {
    return new DirtyLog(this)
  }
  protected createMmu(): Mmu {
    return this.options.paging === 'shadow' ? new ShadowMmu(this) : new TdpMmu(this)
  }
  protected createFaults(): PageFaults {
    return new PageFaults(this)
  }
  protected createNotifier(): KvmMmuNotifier {
    return new KvmMmuNotifier(this)
  }
  protected createVcpuObject(id: number, tlb: TlbOptions): Vcpu {
    return new Vcpu(this, id, tlb)
  }

  // Life.

  /**
   * Makes a VM over an mm, of the class it is called on. The caller is a user of the mm; sleeps.
   * @throws KernelError EINVAL for an option out of range
   */
  static async create<T extends Vm>(
    this: new (backing: Backing, options?: VmOptions) => T,
    mm: Mm,
    options: VmOptions = {},
  ): Promise<T> {
    const vm = new this(new MmBacking(mm), options)
    await vm.register()
    return vm
  }

  /** Binds the VM to its mm. Called once, by whoever made it; sleeps. */
  async register(): Promise<void> {
    await this.backing.register(this.notifier)
    this.registered = true
    this.backing.created(this)
    const { trace } = this
    if (trace.on) trace.emit({ name: 'kvm_create_vm', vm: this.id, mm: this.backing.mmId, paging: this.options.paging })
  }

  /** Adds a vCPU. @throws KernelError EINVAL beyond MAX_VCPUS */
  createVcpu(options: { readonly tlb?: TlbOptions } = {}): Vcpu {
    const id = this.vcpus.length
    if (id >= MAX_VCPUS) throw new KernelError('EINVAL', `vm ${this.id} has ${id} vCPUs: there can be no more`)
    const vcpu = this.createVcpuObject(id, options.tlb ?? {})
    this.vcpus.push(vcpu)
    return vcpu
  }

  /**
   * Ends the VM: no hook runs any more, every spte is dropped, every frame is back with the host. Idempotent; sleeps.
   * vCPUs must be outside guest mode, or leave it when kicked; faults on their way are waited for.
   */
  async destroy(): Promise<void> {
    if (this.isDying) return
    this.isDying = true
    await this.requests.makeRequestAndWait(this.allVcpus(), KVM_REQ_VM_DEAD)
    await this.srcu.synchronize()
    if (this.srcuUsers > 0) await this.srcuIdle.wait(() => this.srcuUsers === 0, { why: 'vCPUs on their way' })
    for (const cache of this.pfnCaches) cache.deactivate()
    if (this.registered) await this.backing.unregister(this.notifier)
    await this.mmuLock.lock()
    for (const vcpu of this.vcpus) {
      vcpu.setRoot(null)
      vcpu.tlb.flushAll()
    }
    const doomed: MmuPage[] = []
    for (const page of this.pages.all()) this.pages.prepareZap(page, doomed, 'destroy')
    await this.pages.commitZap(doomed)
    this.mmuLock.unlock()
    for (const vcpu of this.vcpus) vcpu.cache.drain()
    await this.srcu.cleanup()
    this.backing.released(this)
    if (this.trace.on) this.trace.emit({ name: 'kvm_destroy_vm', vm: this.id, mm: this.backing.mmId })
  }

  // Memory.

  /** KVM_SET_USER_MEMORY_REGION. @throws KernelError EINVAL, EEXIST, ENOMEM */
  setMemslot(region: MemoryRegion): Promise<void> {
    return this.memslots.set(region)
  }

  /** KVM_GET_DIRTY_LOG. @throws KernelError ENOENT */
  getDirtyLog(slot: number): Promise<Uint32Array> {
    return this.dirtyLog.get(slot)
  }

  /** KVM_CLEAR_DIRTY_LOG. @throws KernelError ENOENT, EINVAL */
  clearDirtyLog(slot: number, firstPage: number, pages: number, bits: Uint32Array): Promise<void> {
    return this.dirtyLog.clear(slot, firstPage, pages, bits)
  }

  /** Reads guest physical memory. @throws KernelError EFAULT */
  readGuest(address: Gpa, length: number): Promise<Uint8Array> {
    return readGuest(this, address, length)
  }

  /** Writes guest physical memory; logged as dirty. @throws KernelError EFAULT */
  writeGuest(address: Gpa, bytes: Uint8Array): Promise<void> {
    return writeGuest(this, address, bytes)
  }

  /** Where a guest frame lies in the mm, or 0 for a hole. Looks at the published table without SRCU: for reports. */
  hvaOfFrame(frame: Gfn): number {
    for (const slot of this.memslots.active.byGfn) {
      if (slot.contains(frame)) return hva(slot.userspaceAddr + (frame - slot.baseGfn) * PAGE_SIZE)
    }
    return 0
  }

  /** Drops every spte and flushes; faults on their way start over. */
  async zapAll(cause: ZapCause): Promise<void> {
    const { active } = this.memslots
    await this.mmuLock.lock()
    this.invalidation.bumpSeq()
    for (const cache of this.pfnCaches) cache.invalidate(0, Infinity)
    let zapped = 0
    for (const slot of active.byGfn) zapped += this.sptes.zapGfns(slot, slot.baseGfn, slot.endGfn, cause)
    if (zapped > 0) await this.flush.remoteAll()
    this.mmuLock.unlock()
  }

  /**
   * Invalidates every table, roots included, and frees them (kvm_mmu_zap_all_fast). vCPUs load new roots at their next
   * entry; a fault that holds an old root starts over.
   */
  async zapAllTables(cause: ZapCause): Promise<void> {
    await this.mmuLock.lock()
    const doomed: MmuPage[] = []
    for (const page of this.pages.all()) this.pages.prepareZap(page, doomed, cause)
    for (const vcpu of this.vcpus) this.requests.post(vcpu.id, KVM_REQ_FREE_OBSOLETE_ROOTS)
    await this.flush.remoteAll()
    await this.pages.commitZap(doomed)
    this.mmuLock.unlock()
  }

  // vCPUs.

  /** A vCPU is about to enter the VM's SRCU. In the step in which it has seen that the VM is not dying. */
  holdSrcu(): void {
    this.srcuUsers++
  }

  releaseSrcu(): void {
    if (--this.srcuUsers === 0 && this.isDying) this.srcuIdle.wakeAll()
  }

  /** Bit per vCPU. */
  allVcpus(): number {
    let mask = 0
    for (const vcpu of this.vcpus) mask |= 1 << vcpu.id
    return mask
  }

  /** Posts a request (KVM_REQ_*) to the vCPUs of a mask and kicks them, without waiting. */
  makeRequest(mask: number, request: number): void {
    for (const vcpu of this.vcpus) {
      if ((mask & (1 << vcpu.id)) === 0) continue
      this.requests.post(vcpu.id, request)
      this.requests.kick(vcpu.id)
    }
  }

  /** The same, and waits until none of them is in guest mode with the request unserved. */
  async makeRequestAndWait(mask: number, request: number): Promise<void> {
    await this.requests.makeRequestAndWait(mask, request)
  }

  /**
   * A remote sfence.vma (SBI RFENCE): when it returns, none of the vCPUs of the mask uses an older translation.
   * @param page first guest virtual page, -1 for all
   * @param asid -1 for all
   */
  async remoteSfenceVma(mask: number, page: number, count: number, asid: number): Promise<void> {
    for (const vcpu of this.vcpus) if ((mask & (1 << vcpu.id)) !== 0) vcpu.pending.addFence(page, count, asid)
    await this.requests.makeRequestAndWait(mask, KVM_REQ_HFENCE)
  }

  /** What the VM takes up. */
  figures(): VmFigures {
    let slotBytes = 0
    for (const slot of this.memslots.active.byGfn) slotBytes += slot.memory.bytes
    let cached = 0
    let tlbBytes = 0
    for (const vcpu of this.vcpus) {
      cached += vcpu.cache.length
      tlbBytes += vcpu.tlb.read.words.byteLength * 3
    }
    return {
      vm: this.id,
      sptes: this.sptes.count,
      tablePages: this.pages.pages,
      tableFrames: this.pages.frames + cached,
      slotBytes,
      rmapPoolBytes: this.sptes.pool.bytes,
      tlbBytes,
    }
  }
}
