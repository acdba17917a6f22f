/**
 * The guest's page tables as the hardware walker sees them under two-dimensional paging: each PTE's guest physical
 * address goes through the VM's own table first.
 *
 * R1 Nothing waits: a frame without a translation is `missed`, and the vCPU exits for it.
 * R2 Setting A or D is a store of the guest: it needs a writable mapping, which is logged as such, and it goes through
 *    the one class that writes frames.
 */
import { hpa } from '../base/index.ts'
import { Access, PteResult } from '../hardware/index.ts'
import type { PteSource } from '../hardware/index.ts'
import { noteImplicitStore } from './vcpu-trace.ts'
import type { Vcpu } from './vcpu.ts'

export class GuestPteSource implements PteSource {
  /** Scratch of one walk: nothing in it means anything after a switch point. */
  static readonly opaque = true
  low = 0
  high = 0
  private readonly vcpu: Vcpu

  constructor(vcpu: Vcpu) {
    this.vcpu = vcpu
  }

  load(address: number): PteResult {
    const at = this.translate(address, Access.read)
    if (at === -1) return PteResult.missed
    const { memory } = this.vcpu.vm
    this.low = memory.readLow(hpa(at))
    this.high = memory.readHigh(hpa(at))
    return PteResult.done
  }

  compareAndSet(address: number, low: number, high: number, newLow: number): PteResult {
    const at = this.translate(address, Access.write)
    if (at === -1) return PteResult.missed
    const { vm } = this.vcpu
    if (!vm.memory.compareAndSwapPte(hpa(at), low, high, newLow, high)) return PteResult.lost
    noteImplicitStore(this.vcpu, address, at, newLow, high)
    return PteResult.done
  }

  /** Host physical address of a guest physical byte, or -1. */
  private translate(address: number, access: Access): number {
    const frame = Math.floor(address / 4096)
    const pfn = this.vcpu.vm.mmu.translateFrame(this.vcpu, frame, access)
    return pfn === -1 ? -1 : pfn * 4096 + (address - frame * 4096)
  }
}
