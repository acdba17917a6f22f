/**
 * Making vCPUs forget translations (virt/kvm/kvm_main.c kvm_flush_remote_tlbs, _range, 6.12).
 *
 * R1 When a flush returns, no vCPU can use a translation that was gone from the tables before it began: those in guest
 *    mode have left it, and every vCPU flushes before it enters again.
 * R2 A range is widened to the largest leaf that this VM has ever had: what is flushed may have been part of it, and
 *    where the guest's leaves are smaller a TLB keeps other parts of it in entries of their own. Without their spte
 *    nothing would tell of them later.
 * R3 A vCPU that is outside is not waited for: whether it sleeps in a fault or in the host does not matter.
 */
import type { Vm } from './vm.ts'
import { KVM_REQ_TLB_FLUSH, KVM_REQ_TLB_FLUSH_GFNS } from './requests.ts'

export class TlbFlush {
  protected readonly vm: Vm

  constructor(vm: Vm) {
    this.vm = vm
  }

  /** Flushes everything that the VM's vCPUs know of it. */
  async remoteAll(): Promise<void> {
    await this.send(KVM_REQ_TLB_FLUSH)
  }

  /** Flushes translations that end in one of `count` guest frames from `first`. */
  async remoteGfns(first: number, count: number): Promise<void> {
    const leaf = 2 ** (9 * this.vm.sptes.largest)
    const from = first - (first % leaf)
    const frames = Math.ceil((first + count - from) / leaf) * leaf
    for (const vcpu of this.vm.vcpus) vcpu.pending.addFrames(from, frames)
    await this.send(KVM_REQ_TLB_FLUSH_GFNS)
  }

  /** Posts, kicks and waits. Seam: everything that a flush promises happens here. */
  protected async send(request: number): Promise<void> {
    const { vm } = this
    let mask = 0
    for (const vcpu of vm.vcpus) mask |= 1 << vcpu.id
    vm.stats.flushes++
    if (mask === 0) return
    if (vm.trace.on) vm.trace.emit({ name: 'kvm_flush_remote_tlbs_begin', vm: vm.id, request })
    const waited = await vm.requests.makeRequestAndWait(mask, request)
    if (waited !== 0) vm.stats.flushesWaited++
    if (vm.trace.on) vm.trace.emit({ name: 'kvm_flush_remote_tlbs_end', vm: vm.id, waited })
  }
}
