/** A real kernel and its VMs, as the auditor reads them. */
import { PAGE_SIZE } from '../base/index.ts'
import type { Gfn } from '../base/index.ts'
import { PG_DIRTY, PG_REFERENCED, ptePfn, pteValid, pteWrite } from '../host/index.ts'
import type { Kernel } from '../host/index.ts'
import { Vm, forEachSpte, forEachTlbEntry } from '../mmu/index.ts'
import type { AuditedTranslation, AuditedVm, AuditedWorld, HostPte } from './audited-world.ts'

const ABSENT: HostPte = { present: false, pfn: -1, writable: false }

class KernelVm implements AuditedVm {
  readonly id: number
  readonly mmId: number
  private readonly vm: Vm

  constructor(vm: Vm) {
    this.vm = vm
    this.id = vm.id
    this.mmId = vm.backing.mmId
  }

  forEachSpte(visit: (spte: AuditedTranslation, sptep: number) => void): void {
    forEachSpte(this.vm, ({ sptep, gfn, hva, pfn, writable, level }) =>
      visit({ gfn, hva, pfn, writable, pages: 512 ** level }, sptep),
    )
  }

  forEachTlbEntry(visit: (entry: AuditedTranslation, vcpu: number) => void): void {
    forEachTlbEntry(this.vm, ({ usable, access, gfn, hva, pfn, vcpu }) => {
      if (usable) visit({ gfn, hva: hva === 0 ? -1 : hva, pfn, writable: access === 'write', pages: 1 }, vcpu)
    })
  }

  hvaOf(gfn: number): number {
    const hva = this.vm.hvaOfFrame(gfn as Gfn)
    return hva === 0 ? -1 : hva
  }

  openInvalidations(): number {
    const { isDying, invalidation } = this.vm
    return isDying ? 0 : Math.max(invalidation.active, invalidation.inProgress)
  }

  forEachCachedFrame(
    visit: (frame: { readonly hva: number; readonly gfn: number; readonly pfn: number }) => void,
  ): void {
    for (const cache of this.vm.pfnCaches) {
      if (cache.check()) visit({ hva: cache.uhva, gfn: Math.floor(cache.gpa / PAGE_SIZE), pfn: cache.pfn })
    }
  }

  dirtyBit(hva: number): 'set' | 'clear' | 'unknown' {
    const { slotsLock, active } = this.vm.memslots
    if (slotsLock.isLocked) return 'unknown'
    let bit: 'set' | 'clear' | 'unknown' = 'unknown'
    for (const slot of active.byHva) {
      if (hva < slot.userspaceAddr || hva >= slot.endHva) continue
      if (!slot.logsDirtyPages || slot.memory.dirty === null) return 'unknown'
      const page = Math.floor((hva - slot.userspaceAddr) / PAGE_SIZE)
      if ((slot.memory.dirty[page >>> 5]! & (1 << (page & 31))) !== 0) return 'set'
      bit = 'clear'
    }
    return bit
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

  vms(): readonly AuditedVm[] {
    const found: AuditedVm[] = []
    for (const vm of this.kernel.vms) if (vm instanceof Vm) found.push(new KernelVm(vm))
    return found
  }

  vm(id: number): AuditedVm | undefined {
    for (const vm of this.kernel.vms) if (vm instanceof Vm && vm.id === id) return new KernelVm(vm)
    return undefined
  }

  hostPte(mm: number, hva: number): HostPte {
    for (const space of this.kernel.mms) {
      if (space.id !== mm) continue
      const pte = space.pageTable.read(hva)
      return pteValid(pte) ? { present: true, pfn: ptePfn(pte), writable: pteWrite(pte) } : ABSENT
    }
    return ABSENT
  }

  isPageTableLocked(mm: number): boolean {
    for (const space of this.kernel.mms) if (space.id === mm) return space.pageTableLock.isLocked
    return false
  }

  isAllocated(pfn: number): boolean {
    return this.kernel.pages.kindOf(pfn as never) !== 'free'
  }

  isDirty(pfn: number): boolean {
    return this.kernel.pages.test(pfn as never, PG_DIRTY)
  }

  isReferenced(pfn: number): boolean {
    return pfn === this.kernel.zeroPfn || this.kernel.pages.test(pfn as never, PG_REFERENCED)
  }

  hostTlbNaming(pfn: number): string | null {
    for (const mm of this.kernel.mms) {
      for (const thread of mm.threads) {
        let names = false
        for (const tlb of [thread.loadTlb, thread.storeTlb]) {
          tlb.forEachValid((index) => {
            names ||= tlb.pfnAt(index) === pfn
          })
        }
        if (names) return thread.name
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
