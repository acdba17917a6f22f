/** A real kernel and its VMs, as the auditor reads them. */

import type { Gfn } from '../base/index.ts'
import { PG_DIRTY, ptePfn, ptePresent, pteValid, pteWrite } from '../host/index.ts'
import type { Kernel } from '../host/index.ts'
import { ptePpn } from '../hardware/index.ts'
import { OUTSIDE_GUEST_MODE, Vm, isLeafSpte, isWritableSpte } from '../mmu/index.ts'
import type { AuditedTranslation, AuditedVm, AuditedWorld, HostPte } from './audited-world.ts'

const ABSENT: HostPte = { present: false, pfn: -1, writable: false }

class KernelVm implements AuditedVm {
  private readonly vm: Vm

  constructor(vm: Vm) {
    this.vm = vm
  }

  get id(): number {
    return this.vm.id
  }

  get mmId(): number {
    return this.vm.backing.mmId
  }

  forEachSpte(visit: (spte: AuditedTranslation, sptep: number) => void): void {
    const { memory, sptes } = this.vm
    const seen = new Set<object>()
    for (const page of sptes.pages.values()) {
      if (seen.has(page)) continue
      seen.add(page)
      if (page.used === 0) continue
      for (let index = 0; index < page.entries; index++) {
        const sptep = page.sptep(index)
        const low = memory.readLow(sptep)
        if (!isLeafSpte(low)) continue
        const gfn = page.gfnOf(index)
        const pfn = ptePpn(low, memory.readHigh(sptep))
        visit({ gfn, hva: this.hvaOf(gfn), pfn, writable: isWritableSpte(low) }, sptep)
      }
    }
  }

  forEachTlbEntry(visit: (entry: AuditedTranslation, vcpu: number) => void): void {
    const { requests } = this.vm
    for (const vcpu of this.vm.vcpus) {
      if (requests.modes[vcpu.id] === OUTSIDE_GUEST_MODE && requests.requests[vcpu.id] !== 0) continue
      for (const [tlb, writable] of [
        [vcpu.tlb.read, false],
        [vcpu.tlb.write, true],
        [vcpu.tlb.execute, false],
      ] as const) {
        tlb.forEachValid((index) => {
          const gfn = tlb.extraAt(index)
          visit({ gfn, hva: this.hvaOf(gfn), pfn: tlb.pfnAt(index), writable }, vcpu.id)
        })
      }
    }
  }

  hvaOf(gfn: number): number {
    const hva = this.vm.hvaOfFrame(gfn as Gfn)
    return hva === 0 ? -1 : hva
  }

  slotsChanging(): boolean {
    return this.vm.memslots.active.updateInProgress
  }

  isChanging(): boolean {
    return this.vm.mmuLock.isLocked
  }
}

export class KernelWorld implements AuditedWorld {
  static readonly opaque = true
  private readonly kernel: Kernel

  constructor(kernel: Kernel) {
    this.kernel = kernel
  }

  *vms(): Iterable<AuditedVm> {
    for (const vm of this.kernel.vms) if (vm instanceof Vm) yield new KernelVm(vm)
  }

  vm(id: number): AuditedVm | undefined {
    for (const vm of this.kernel.vms) if (vm instanceof Vm && vm.id === id) return new KernelVm(vm)
    return undefined
  }

  hostPte(mm: number, hva: number): HostPte {
    for (const space of this.kernel.mms) {
      if (space.id !== mm) continue
      const pte = space.pageTable.read(hva)
      if (!ptePresent(pte) || !pteValid(pte)) return ABSENT
      return { present: true, pfn: ptePfn(pte), writable: pteWrite(pte) }
    }
    return ABSENT
  }

  isAllocated(pfn: number): boolean {
    return this.kernel.pages.kind[pfn] !== 0
  }

  isDirty(pfn: number): boolean {
    return ((this.kernel.pages.flags[pfn] ?? 0) & PG_DIRTY) !== 0
  }

  hostTlbNaming(pfn: number): string | null {
    for (const mm of this.kernel.mms) {
      for (const thread of mm.threads) {
        for (const tlb of [thread.loadTlb, thread.storeTlb]) {
          let names = false
          tlb.forEachValid((index) => {
            if (tlb.pfnAt(index) === pfn) names = true
          })
          if (names) return thread.name
        }
      }
    }
    return null
  }

  leaks(): readonly string[] {
    return this.kernel.leakReport()
  }

  openCounters(): readonly string[] {
    const open: string[] = []
    for (const vm of this.kernel.vms) {
      if (!(vm instanceof Vm)) continue
      const { active, inProgress } = vm.invalidation
      if (active !== 0) open.push(`vm ${vm.id}: ${active} invalidations are counted as open at the end`)
      if (inProgress !== 0) open.push(`vm ${vm.id}: mmu_invalidate_in_progress is ${inProgress} at the end`)
    }
    return open
  }
}
