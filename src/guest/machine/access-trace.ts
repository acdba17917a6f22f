/** Tells the trace of every load and store that a hart makes, as a place in the mm: `mem_load` and `mem_store`. */
import { gva, gvnOf } from '../../base/index.ts'
import type { Hpa } from '../../base/index.ts'
import { accessHva } from '../../mmu/index.ts'
import type { Vcpu } from '../../mmu/index.ts'
import type { AccessObserver } from '../hart/index.ts'
import type { AccessSize } from '../isa/index.ts'

export class AccessTrace implements AccessObserver {
  private readonly vcpu: Vcpu

  constructor(vcpu: Vcpu) {
    this.vcpu = vcpu
  }

  load(address: bigint, hpa: number, size: AccessSize, value: bigint): void {
    // Bytes of a misaligned access may lie in two pages; the vCPU knows the frame of the last translation only.
    if (size === 1) this.vcpu.translateRead(gvnOf(gva(address)))
    this.emit('mem_load', hpa, size, value)
  }

  store(address: bigint, hpa: number, size: AccessSize, value: bigint): void {
    if (size === 1) this.vcpu.translateWrite(gvnOf(gva(address)))
    this.emit('mem_store', hpa, size, value)
  }

  private emit(name: 'mem_load' | 'mem_store', hpa: number, size: number, value: bigint): void {
    const { vcpu } = this
    const mm = vcpu.vm.backing.mmId
    vcpu.vm.trace.emit({ name, mm, vcpu: vcpu.id, hva: accessHva(vcpu, hpa as Hpa), size, value, hpa })
  }
}
