/** What a vCPU's translations, flushes and hypervisor-made stores look like from outside: statistics and trace. */
import { gfn } from '../base/index.ts'
import type { Gfn, Hpa, Pfn } from '../base/index.ts'
import { Access } from '../hardware/index.ts'
import type { Vcpu } from './vcpu.ts'

/** A TLB entry was filled. @param page what it translates: a guest virtual page, or the frame itself */
export function noteFill(vcpu: Vcpu, page: number, frame: number, pfn: Pfn, access: Access): void {
  const { id, stats, trace } = vcpu.vm
  stats.tlbFills++
  if (!trace.on) return
  const writable = access === Access.write
  trace.emit({ name: 'kvm_tlb_fill', vm: id, vcpu: vcpu.id, gvn: page, gfn: frame, pfn, writable })
}

/** The hypervisor made the vCPU forget translations. */
export function noteFlush(vcpu: Vcpu, removed: number): void {
  const { id, stats, trace } = vcpu.vm
  stats.tlbEntriesFlushed += removed
  if (removed > 0) stats.flushesThatRemoved++
  if (trace.on) trace.emit({ name: 'kvm_tlb_flush', vm: id, vcpu: vcpu.id, removed })
  vcpu.onFlush?.()
}

/**
 * The walker stored to guest memory (A or D of a PTE).
 * @param address guest physical, `at` host physical; both of the PTE
 */
export function noteImplicitStore(vcpu: Vcpu, address: number, at: number, low: number, high: number): void {
  const { vm } = vcpu
  if (!vm.trace.accesses) return
  const hva = vm.hvaOfFrame(gfn(Math.floor(address / 4096))) + (address % 4096)
  traceStore(vcpu, hva, at, 8, (BigInt(high) << 32n) | BigInt(low))
}

/** A store was made for the guest that its hart knows nothing of. */
export function noteStore(vcpu: Vcpu, hva: number, at: number, size: number, value: bigint): void {
  if (vcpu.vm.trace.accesses) traceStore(vcpu, hva, at, size, value)
}

function traceStore(vcpu: Vcpu, hva: number, at: number, size: number, value: bigint): void {
  const { backing, trace } = vcpu.vm
  const shown = BigInt.asUintN(size * 8, value)
  trace.emit({ name: 'mem_store', mm: backing.mmId, vcpu: vcpu.id, hva, size, value: shown, hpa: at })
}

/** Where the byte translated last lies in the mm, for those who follow every access. */
export const accessHva = (vcpu: Vcpu, address: Hpa): number => vcpu.vm.hvaOfFrame(vcpu.frame as Gfn) + (address % 4096)
