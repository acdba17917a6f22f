/**
 * What a page of an mm is at this moment, and who maps it: host PTEs, sptes, TLB entries, cached addresses, swap.
 *
 * R1 It looks, and changes nothing: legal at any step, inside a probe as well.
 * R2 PTEs are looked for in the page tables themselves, not in the reverse map: the two can be compared.
 */
import { PAGE_SIZE } from '../base/index.ts'
import {
  pageFlagNames,
  isMigrationEntry,
  isSwapEntry,
  pteDirty,
  pteNone,
  ptePfn,
  ptePresent,
  pteWrite,
  pteYoung,
  swapOffset,
} from '../host/index.ts'
import type { Kernel, Mm } from '../host/index.ts'
import { Vm, forEachSpte, forEachTlbEntry } from '../mmu/index.ts'

/** A host PTE that names the frame. */
export interface MappedPte {
  readonly mm: number
  readonly hva: number
  readonly vmaStart: number
  readonly vmaEnd: number
  readonly prot: string
  /** Of the PTE: some of `writable`, `young`, `dirty`. */
  readonly bits: readonly string[]
}

/** What is known about a frame. Plain data. */
export interface PageReport {
  readonly pfn: number
  /** Names of the set flags, without `PG_`. */
  readonly flags: readonly string[]
  readonly kind: string
  readonly refcount: number
  readonly mapcount: number
  readonly index?: number
  readonly mapping?: string
  /** Its swap slot, while it is in the swap cache. */
  readonly swapSlot?: number
  /** Where it is mapped. */
  readonly maps?: readonly MappedPte[]
}

/** A translation of the page that a client or a thread holds. */
export interface PageTranslation {
  /** `spte of vm 1`, `TLB of vm 1 vcpu 0`, `TLB of vmm/thread0`, `cached address of vm 1`. */
  readonly holder: string
  /** Guest frame, or -1 for a thread of the host. */
  readonly gfn: number
  readonly pfn: number
  readonly bits: readonly string[]
}

/** One page of an mm. */
export interface AddressReport {
  readonly mm: number
  readonly hva: number
  readonly state: 'mapped' | 'swapped out' | 'under migration' | 'absent'
  /** With `swapped out`: its slot, and the PTEs and file places that name the slot. */
  readonly swap: { readonly slot: number; readonly users: number } | null
  /** The frame that the PTE names, or that holds the slot in the swap cache. */
  readonly page: PageReport | null
  /** Of this address, and of its frame. */
  readonly translations: readonly PageTranslation[]
}

/** The page at an address. */
export function addressReport(kernel: Kernel, mm: Mm, hva: number): AddressReport {
  const pte = mm.pageTable.read(hva)
  const slot = isSwapEntry(pte) ? swapOffset(pte) : 0
  const cached = slot === 0 ? -1 : kernel.swap.lookup(slot)
  const pfn = ptePresent(pte) ? ptePfn(pte) : cached
  return {
    mm: mm.id,
    hva,
    state: stateOf(pte),
    swap: slot === 0 ? null : { slot, users: kernel.swap.count(slot) },
    page: pfn === -1 ? null : pageReport(kernel, pfn),
    translations: translationsOf(kernel, mm, hva, pfn),
  }
}

function stateOf(pte: number): AddressReport['state'] {
  if (pteNone(pte)) return 'absent'
  if (isMigrationEntry(pte)) return 'under migration'
  return isSwapEntry(pte) ? 'swapped out' : 'mapped'
}

/** The frame. */
export function pageReport(kernel: Kernel, pfn: number): PageReport {
  const { pages } = kernel
  const flags = pageFlagNames(pages.flags[pfn]!)
  const mapping = pages.mapping[pfn] ?? null
  return {
    pfn,
    flags,
    kind: pages.kindOf(pfn as never),
    refcount: pages.refcount[pfn]!,
    mapcount: pages.mapcount[pfn]!,
    ...(mapping === null ? {} : { mapping: nameOf(mapping), index: pages.index[pfn]! }),
    ...(flags.includes('swapcache') ? { swapSlot: pages.private[pfn]! } : {}),
    maps: mapsOf(kernel, pfn),
  }
}

function nameOf(mapping: object): string {
  const { id, name } = mapping as { readonly id?: number; readonly name?: string }
  return name ?? `${mapping.constructor.name}${id === undefined ? '' : ` ${id}`}`
}

function mapsOf(kernel: Kernel, pfn: number): MappedPte[] {
  const maps: MappedPte[] = []
  for (const mm of kernel.mms) {
    for (const vma of mm.vmas.all()) {
      for (let hva: number = vma.start; hva < vma.end; hva += PAGE_SIZE) {
        const pte = mm.pageTable.read(hva)
        if (!ptePresent(pte) || ptePfn(pte) !== pfn) continue
        const bits = bitsOf(pteWrite(pte), pteYoung(pte), pteDirty(pte))
        maps.push({ mm: mm.id, hva, vmaStart: vma.start, vmaEnd: vma.end, prot: vma.protText, bits })
      }
    }
  }
  return maps
}

const bitsOf = (writable: boolean, young = false, dirty = false): string[] => [
  ...(writable ? ['writable'] : []),
  ...(young ? ['young'] : []),
  ...(dirty ? ['dirty'] : []),
]

function translationsOf(kernel: Kernel, mm: Mm, hva: number, pfn: number): PageTranslation[] {
  const found: PageTranslation[] = []
  for (const vm of kernel.vms) {
    if (!(vm instanceof Vm)) continue
    const sameMm = vm.backing.mmId === mm.id
    const isOf = (each: { readonly hva: number; readonly pfn: number }): boolean =>
      each.pfn === pfn || (sameMm && each.hva === hva)
    forEachSpte(vm, (spte) => {
      if (!isOf(spte)) return
      const bits = [...bitsOf(spte.writable, spte.young, spte.dirty), ...(spte.stale ? ['in an unlinked table'] : [])]
      found.push({ holder: `spte of vm ${vm.id}`, gfn: spte.gfn, pfn: spte.pfn, bits })
    })
    forEachTlbEntry(vm, (entry) => {
      if (!isOf(entry)) return
      const bits = [entry.access, ...(entry.usable ? [] : ['flushed before use'])]
      found.push({ holder: `TLB of vm ${vm.id} vcpu ${entry.vcpu}`, gfn: entry.gfn, pfn: entry.pfn, bits })
    })
    for (const cache of vm.pfnCaches) {
      if (!cache.valid || !isOf({ hva: cache.uhva, pfn: cache.pfn })) continue
      const gfn = Math.floor(cache.gpa / PAGE_SIZE)
      found.push({ holder: `cached address of vm ${vm.id}`, gfn, pfn: cache.pfn, bits: [] })
    }
  }
  return [...found, ...hostTranslations(kernel, mm, hva, pfn)]
}

function hostTranslations(kernel: Kernel, mm: Mm, hva: number, pfn: number): PageTranslation[] {
  const found: PageTranslation[] = []
  for (const each of kernel.mms) {
    for (const thread of each.threads) {
      for (const [tlb, access] of [
        [thread.loadTlb, 'read'],
        [thread.storeTlb, 'write'],
      ] as const) {
        tlb.forEachValid((index) => {
          const sameAddress = each === mm && tlb.pageAt(index) === Math.floor(hva / PAGE_SIZE)
          if (tlb.pfnAt(index) !== pfn && !sameAddress) return
          found.push({ holder: `TLB of ${thread.name}`, gfn: -1, pfn: tlb.pfnAt(index), bits: [access] })
        })
      }
    }
  }
  return found
}
