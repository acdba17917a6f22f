/**
 * Looking at a VM from outside: every leaf spte, every TLB entry, every open window. For the auditor and for tests.
 *
 * R1 Nothing here changes anything, takes a lock or passes a switch point: it may run at any step.
 */
import type { Access } from '../hardware/index.ts'
import { isTablePte, ptePpn } from '../hardware/index.ts'
import { hpa } from '../base/index.ts'
import type { MmuPage } from './mmu-page.ts'
import { OUTSIDE_GUEST_MODE } from './requests.ts'
import { isDirtySpte, isLeafSpte, isWritableSpte, isYoungSpte } from './spte.ts'
import type { Vm } from './vm.ts'

/** One leaf spte. */
export interface SpteView {
  readonly vm: number
  /** Address of the spte in physical memory. */
  readonly sptep: number
  /** First guest frame that it maps. */
  readonly gfn: number
  /** Where that frame lies in the mm; 0 when no slot holds it. */
  readonly hva: number
  readonly pfn: number
  /** 0: 4 KiB, 1: 2 MiB. */
  readonly level: number
  readonly writable: boolean
  readonly young: boolean
  readonly dirty: boolean
  /** The table it stands in is unlinked from every root. */
  readonly stale: boolean
}

/** One TLB entry of a vCPU. */
export interface TlbView {
  readonly vm: number
  readonly vcpu: number
  readonly access: 'read' | 'write' | 'execute'
  /** Page number that it translates: a guest virtual one, or a guest frame. */
  readonly page: number
  readonly gfn: number
  readonly hva: number
  readonly pfn: number
  /** False: the vCPU is outside guest mode and drops it before it enters again, so nothing can use it. */
  readonly usable: boolean
}

/** The state of a VM's invalidations. */
export interface WindowView {
  readonly vm: number
  /** Starts without an end, and those of them that hit a slot. */
  readonly active: number
  readonly inProgress: number
  readonly seq: number
  /** Guest frames that may not be mapped now: [start, end). */
  readonly rangeStart: number
  readonly rangeEnd: number
}

/** Visits every leaf spte, table by table. */
export function forEachSpte(vm: Vm, visit: (spte: SpteView) => void): void {
  for (const [pfn, page] of vm.sptes.pages) {
    if (pfn !== page.pfn) continue
    let left = page.used
    for (let index = 0; left > 0 && index < page.entries; index++) {
      const low = vm.memory.readLow(page.sptep(index))
      if (low === 0) continue
      left--
      if (isLeafSpte(low)) visit(spteView(vm, page, index, low))
    }
  }
}

function spteView(vm: Vm, page: MmuPage, index: number, low: number): SpteView {
  const sptep = page.sptep(index)
  const frame = page.gfnOf(index)
  return {
    vm: vm.id,
    sptep,
    gfn: frame,
    hva: hvaOf(vm, frame),
    pfn: ptePpn(low, vm.memory.readHigh(hpa(sptep))),
    level: page.role.level,
    writable: isWritableSpte(low),
    young: isYoungSpte(low),
    dirty: isDirtySpte(low),
    stale: page.invalid,
  }
}

const KINDS = ['read', 'write', 'execute'] as const

/** Visits every valid TLB entry of every vCPU. */
export function forEachTlbEntry(vm: Vm, visit: (entry: TlbView) => void): void {
  for (const vcpu of vm.vcpus) {
    const outside = vcpu.mode === OUTSIDE_GUEST_MODE
    for (let access = 0; access < KINDS.length; access++) {
      const tlb = vcpu.tlb.forAccess(access as Access)
      if (tlb.valid === 0) continue
      for (let index = 0; index < tlb.entries; index++) {
        if (!tlb.isValid(index)) continue
        const gfn = tlb.extraAt(index)
        visit({
          vm: vm.id,
          vcpu: vcpu.id,
          access: KINDS[access]!,
          page: tlb.pageAt(index),
          gfn,
          hva: hvaOf(vm, gfn),
          pfn: tlb.pfnAt(index),
          usable: !(outside && vcpu.willFlush(gfn, 2 ** tlb.extraShiftAt(index))),
        })
      }
    }
  }
}

export function windowOf(vm: Vm): WindowView {
  const { active, inProgress, seq, rangeStart, rangeEnd } = vm.invalidation
  const open = inProgress !== 0
  return {
    vm: vm.id,
    active,
    inProgress,
    seq,
    rangeStart: open ? rangeStart : 0,
    rangeEnd: open ? rangeEnd : 0,
  }
}

/**
 * Whether the bookkeeping agrees with the tables, a line for each thing that does not: counts, reverse maps, parents.
 * Between operations only.
 */
export function consistencyReport(vm: Vm): string[] {
  const lines: string[] = []
  let leaves = 0
  for (const page of vm.pages.all()) {
    let used = 0
    for (let index = 0; index < page.entries; index++) {
      const low = vm.memory.readLow(page.sptep(index))
      if (low === 0) continue
      used++
      if (isLeafSpte(low)) {
        leaves++
        if (!inRmap(vm, page, index)) lines.push(`spte of gfn ${page.gfnOf(index)} is in no reverse map`)
      } else if (isTablePte(low)) {
        const child = vm.sptes.pages.get(ptePpn(low, 0))
        if (child === undefined) lines.push(`entry ${index} of table ${page.pfn} points to no table`)
        else if (!child.parents.includes(page.sptep(index))) lines.push(`table ${child.pfn} does not know a parent`)
      }
    }
    if (used !== page.used) lines.push(`table ${page.pfn} counts ${page.used} entries, has ${used}`)
  }
  if (leaves !== vm.sptes.count) lines.push(`vm counts ${vm.sptes.count} sptes, has ${leaves}`)
  let mapped = 0
  for (const slot of vm.memslots.active.byGfn) for (const rmap of slot.memory.rmaps) mapped += rmap.count
  if (mapped !== leaves) lines.push(`reverse maps hold ${mapped} sptes of ${leaves}`)
  return lines
}

function inRmap(vm: Vm, page: MmuPage, index: number): boolean {
  const frame = page.gfnOf(index)
  for (const slot of vm.memslots.active.byGfn) {
    if (!slot.contains(frame)) continue
    const rmap = slot.memory.rmaps[page.role.level]!
    const size = 2 ** (9 * page.role.level)
    const at = Math.floor(frame / size) - Math.floor(slot.baseGfn / size)
    for (let ref = rmap.first(at); ref !== 0; ref = rmap.next(ref))
      if (rmap.sptep(ref) === page.sptep(index)) return true
  }
  return false
}

function hvaOf(vm: Vm, frame: number): number {
  for (const slot of vm.memslots.active.byGfn) {
    if (slot.contains(frame)) return slot.userspaceAddr + (frame - slot.baseGfn) * 4096
  }
  return 0
}
