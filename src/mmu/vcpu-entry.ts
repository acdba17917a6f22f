/**
 * A vCPU's way in and out of guest mode, and what it does at the door: requests, flushes, a root
 * (vcpu_enter_guest, kvm_check_request, 6.12).
 *
 * R1 Between two quanta the vCPU is still in guest mode: its TLBs count as live, and a kick is acknowledged at the next
 *    boundary.
 * R2 Requests are served outside guest mode, before every entry; one posted after that is seen, since mode is set before
 *    requests are read again.
 */
import { KernelError } from '../base/index.ts'
import { ANY } from '../hardware/index.ts'
import {
  IN_GUEST_MODE,
  KVM_REQ_EVENT,
  KVM_REQ_FENCE_I,
  KVM_REQ_FREE_OBSOLETE_ROOTS,
  KVM_REQ_HFENCE,
  KVM_REQ_TLB_FLUSH,
  KVM_REQ_TLB_FLUSH_GFNS,
  OUTSIDE_GUEST_MODE,
} from './requests.ts'
import { noteFlush } from './vcpu-trace.ts'
import type { Vcpu } from './vcpu.ts'

export class VcpuEntry {
  private readonly vcpu: Vcpu

  constructor(vcpu: Vcpu) {
    this.vcpu = vcpu
  }

  get mode(): number {
    return this.vcpu.vm.requests.modes[this.vcpu.id]!
  }

  /** @throws KernelError ENOMEM without a table, EIO when the VM is gone */
  async enter(): Promise<void> {
    const { vm, id } = this.vcpu
    const { requests, sched } = vm
    if (this.mode === IN_GUEST_MODE && requests.kicks[id] === 0) return
    this.exit()
    for (;;) {
      await this.serveRequests()
      requests.tasks[id] = sched.current
      requests.enter(id)
      if (sched.contended) await sched.point(requests, 'r', 'in guest mode, requests not yet read')
      if (requests.requests[id] === 0) break
      requests.leave(id)
    }
    if (vm.trace.on) vm.trace.emit({ name: 'kvm_entry', vm: vm.id, vcpu: id })
  }

  /** Acknowledges whoever waits for the vCPU to be out. */
  exit(): void {
    if (this.mode === OUTSIDE_GUEST_MODE) return
    const { vm, id } = this.vcpu
    vm.requests.leave(id)
    if (vm.trace.on) vm.trace.emit({ name: 'kvm_exit', vm: vm.id, vcpu: id })
  }

  /** @throws KernelError EIO when the VM is being destroyed; what has begun is waited for there */
  async insideSrcu<T>(body: () => Promise<T>): Promise<T> {
    const { vm } = this.vcpu
    this.checkAlive()
    vm.holdSrcu()
    try {
      const idx = await vm.srcu.readLock()
      try {
        this.checkAlive()
        return await body()
      } finally {
        await vm.srcu.readUnlock(idx)
      }
    } finally {
      vm.releaseSrcu()
    }
  }

  private async serveRequests(): Promise<void> {
    const { vcpu } = this
    const { requests } = vcpu.vm
    const { id } = vcpu
    this.checkAlive()
    if (requests.take(id, KVM_REQ_TLB_FLUSH)) noteFlush(vcpu, vcpu.tlb.flushAll())
    if (requests.take(id, KVM_REQ_TLB_FLUSH_GFNS)) this.flushGfns()
    if (requests.take(id, KVM_REQ_HFENCE)) this.flushFences()
    if (requests.take(id, KVM_REQ_FENCE_I)) vcpu.onFenceI?.()
    requests.take(id, KVM_REQ_EVENT)
    if (requests.take(id, KVM_REQ_FREE_OBSOLETE_ROOTS) || vcpu.root === null) await this.loadRoot()
  }

  /** Inside the VM's SRCU, so that destroying the VM waits for a root that is on its way. */
  private async loadRoot(): Promise<void> {
    await this.insideSrcu(() => this.vcpu.vm.mmu.loadRoot(this.vcpu))
  }

  private flushGfns(): void {
    const { vcpu } = this
    const { first, end } = vcpu.pending
    vcpu.pending.clearFrames()
    if (first < end) noteFlush(vcpu, vcpu.tlb.flushExtra(first, end - first))
  }

  private flushFences(): void {
    const { vcpu } = this
    const fences = vcpu.pending.takeFences()
    vcpu.forgetPendingFault()
    let removed = 0
    if (fences === null) removed = vcpu.tlb.flushAll()
    for (const { page, count, asid } of fences ?? []) {
      if (page === -1) removed += vcpu.tlb.flushAsid(asid)
      else removed += vcpu.tlb.flushPages(page, count, asid === -1 ? ANY : asid)
    }
    vcpu.vm.mmu.guestFence(vcpu, -1, -1)
    noteFlush(vcpu, removed)
  }

  /** @throws KernelError EIO once the VM is being destroyed */
  private checkAlive(): void {
    const { vm, id } = this.vcpu
    if (!vm.isDying) return
    throw new KernelError('EIO', `vcpu ${id} cannot enter: vm ${vm.id} is being destroyed`)
  }
}
