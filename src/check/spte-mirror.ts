/**
 * All leaf sptes of all VMs, kept from the events: which of them can an event about a page or a frame concern?
 *
 * R1 Written from events alone; what the spte tables themselves say is for the sweeps to compare.
 */
import { PAGE_SIZE } from '../base/index.ts'
import type { AuditedTranslation, AuditedVm } from './audited-world.ts'

/** A leaf spte as its last event left it. */
export interface Mirrored extends AuditedTranslation {
  readonly vm: AuditedVm
  writable: boolean
  /** A store went through it since it was set; known only when accesses are traced. */
  stored: boolean
}

/** Number of the page that a byte address lies in. */
export const pageOf = (address: number): number => Math.floor(address / PAGE_SIZE)

export class SpteMirror {
  /** By address of the spte. */
  private readonly sptes = new Map<number, Mirrored>()
  /** By their first frame. */
  private readonly byFrame = new Map<number, Set<Mirrored>>()
  /** By their first page of the address space: key is `mm:page`. */
  private readonly byPage = new Map<string, Set<Mirrored>>()
  /** Those that map more than one page: few, and looked through for every page and frame. */
  private readonly large = new Set<Mirrored>()

  get(sptep: number): Mirrored | undefined {
    return this.sptes.get(sptep)
  }

  /** Takes the place of what stood at the address. */
  set(sptep: number, spte: Mirrored): void {
    this.forget(sptep)
    this.sptes.set(sptep, spte)
    if (spte.pages > 1) this.large.add(spte)
    index(this.byFrame, spte.pfn, spte)
    index(this.byPage, `${spte.vm.mmId}:${pageOf(spte.hva)}`, spte)
  }

  forget(sptep: number): void {
    const spte = this.sptes.get(sptep)
    if (spte === undefined) return
    this.sptes.delete(sptep)
    this.large.delete(spte)
    unindex(this.byFrame, spte.pfn, spte)
    unindex(this.byPage, `${spte.vm.mmId}:${pageOf(spte.hva)}`, spte)
  }

  /** Sptes of one VM. */
  countOf(vm: number): number {
    let count = 0
    for (const spte of this.sptes.values()) if (spte.vm.id === vm) count++
    return count
  }

  /** Those that map a frame. */
  mapping(pfn: number): Iterable<Mirrored> {
    const exact = this.byFrame.get(pfn)
    if (this.large.size === 0) return exact ?? []
    const found = new Set(exact)
    for (const spte of this.large) if (spte.pfn <= pfn && pfn < spte.pfn + spte.pages) found.add(spte)
    return found
  }

  /** Those that may map part of a range of an address space. */
  within(mm: number, start: number, end: number): readonly Mirrored[] {
    const found: Mirrored[] = []
    if (end - start <= 64 * PAGE_SIZE) {
      for (let page = pageOf(start); page < pageOf(end); page++) {
        for (const spte of this.byPage.get(`${mm}:${page}`) ?? []) found.push(spte)
      }
      for (const spte of this.large) if (spte.vm.mmId === mm) found.push(spte)
    } else {
      for (const spte of this.sptes.values()) if (spte.vm.mmId === mm) found.push(spte)
    }
    return found
  }

  /** A guest stored at an address: through whichever writable spte. */
  noteStore(mm: number, hva: number): void {
    for (const spte of this.byPage.get(`${mm}:${pageOf(hva)}`) ?? []) if (spte.writable) spte.stored = true
    for (const spte of this.large) {
      if (spte.writable && spte.vm.mmId === mm && spte.hva <= hva && hva < spte.hva + spte.pages * PAGE_SIZE) {
        spte.stored = true
      }
    }
  }
}

function index<K>(rows: Map<K, Set<Mirrored>>, key: K, spte: Mirrored): void {
  let set = rows.get(key)
  if (set === undefined) rows.set(key, (set = new Set()))
  set.add(spte)
}

function unindex<K>(rows: Map<K, Set<Mirrored>>, key: K, spte: Mirrored): void {
  const set = rows.get(key)
  set?.delete(spte)
  if (set?.size === 0) rows.delete(key)
}
