/**
 * Virtual memory areas: splitting, merging, linking to the rmap (Linux v6.12 mm/vma.c).
 *
 * R1 Bounds and offset of a VMA change under the mmap lock for writing and the rmap locks that walks hold, so that a
 *    walk which sleeps in a callout finds the VMA as it left it.
 * R2 Two neighbours merge when nothing tells them apart: same file at adjoining offsets, same protection and flags, and
 *    anon_vmas that do not differ.
 * R3 Page (hva) of a VMA has index pgoff + (hva - start) / PAGE_SIZE in its mapping; for private anonymous memory pgoff
 *    starts as start / PAGE_SIZE, so that the index survives splitting, forking and moving.
 */
import { PAGE_SIZE, hex } from '../base/index.ts'
import type { Hva } from '../base/index.ts'
import type { AddressSpace } from './address-space.ts'
import { anonVmaClone, unlinkAnonVmas } from './anon-vma.ts'
import type { AnonVma } from './anon-vma.ts'
import { splitHugePmd } from './split-huge-pmd.ts'
import type { Mm } from './mm.ts'
import { PMD_SIZE } from './page-table.ts'
import { PROT_EXEC, PROT_READ, PROT_WRITE, protText } from './pte.ts'

/** KSM may merge its pages (MADV_MERGEABLE). */
export const VM_MERGEABLE = 1
/** Faults map 2 MiB at once where they can (MADV_HUGEPAGE). */
export const VM_HUGEPAGE = 2

export interface VmaFields {
  readonly start: number
  readonly end: number
  readonly prot: number
  readonly flags: number
  readonly shared: boolean
  readonly file: AddressSpace | null
  readonly pgoff: number
}

export class Vma {
  /** Immutable. */
  readonly mm: Mm
  /** Protected by the mmap lock for writing and the rmap locks. */
  start: number
  end: number
  /** Offset of `start` in the mapping, in pages. Protected as `start`. */
  pgoff: number
  /** PROT_* bits. Protected by the mmap lock. */
  prot: number
  /** VM_* bits. Protected by the mmap lock. */
  flags: number
  /** Stores reach the file. Immutable. */
  readonly shared: boolean
  /** Immutable. */
  readonly file: AddressSpace | null
  /** The anon_vma of its new pages; set once (see anon-vma R2). */
  anonVma: AnonVma | null = null
  /** All anon_vmas it is in, one family. Protected by their lock. */
  readonly anonVmas: AnonVma[] = []

  constructor(mm: Mm, fields: VmaFields) {
    this.mm = mm
    this.start = fields.start
    this.end = fields.end
    this.pgoff = fields.pgoff
    this.prot = fields.prot
    this.flags = fields.flags
    this.shared = fields.shared
    this.file = fields.file
  }

  get pages(): number {
    return (this.end - this.start) / PAGE_SIZE
  }

  get readable(): boolean {
    return (this.prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) !== 0
  }

  get writable(): boolean {
    return (this.prot & PROT_WRITE) !== 0
  }

  /** Private memory, whose pages are copied before they are written (Linux: is_cow_mapping). */
  get isCow(): boolean {
    return !this.shared
  }

  get anonymous(): boolean {
    return this.file === null
  }

  get protText(): string {
    return protText(this.prot)
  }

  /** Index in its mapping of the page at `hva`. */
  indexOf(hva: number): number {
    return this.pgoff + Math.floor((hva - this.start) / PAGE_SIZE)
  }

  /** Where it maps page `index`, or -1 (Linux: vma_address). */
  addressOf(index: number): Hva | -1 {
    const hva = this.start + (index - this.pgoff) * PAGE_SIZE
    return hva >= this.start && hva < this.end ? (hva as Hva) : -1
  }

  describe(): string {
    const source = this.file === null ? 'anonymous' : `${this.file.name}+${hex(this.pgoff * PAGE_SIZE)}`
    const sharing = this.shared ? 's' : 'p'
    return `[${hex(this.start)}-${hex(this.end)} ${protText(this.prot)}${sharing} ${source}]`
  }
}

/** Takes the locks under which rmap walks read the bounds (Linux: vma_prepare). */
async function vmaPrepare(vma: Vma): Promise<void> {
  if (vma.file !== null) await vma.file.iMmapLock.downWrite()
  if (vma.anonVma !== null) await vma.anonVma.lock.downWrite()
}

function vmaComplete(vma: Vma): void {
  if (vma.anonVma !== null) vma.anonVma.lock.upWrite()
  if (vma.file !== null) vma.file.iMmapLock.upWrite()
}

/** Makes a new VMA visible to faults and to rmap walks. Under the mmap lock for writing. */
export async function vmaLink(vma: Vma): Promise<void> {
  if (vma.file !== null) {
    vma.file.get()
    await vma.file.iMmapLock.downWrite()
    vma.file.iMmap.add(vma)
    vma.file.iMmapLock.upWrite()
  }
  vma.mm.vmas.insert(vma)
}

/** No rmap walk finds the VMA any more; its file is not needed. The VMA has left its tree already. */
export async function vmaUnlink(vma: Vma): Promise<void> {
  await unlinkAnonVmas(vma)
  if (vma.file === null) return
  await vma.file.iMmapLock.downWrite()
  vma.file.iMmap.delete(vma)
  vma.file.iMmapLock.upWrite()
}

/**
 * Cuts a VMA in two at `at` (Linux: split_vma): the VMA keeps [start, at), the new one takes [at, end).
 * Under the mmap lock for writing.
 * @returns the new VMA
 */
export async function splitVma(vma: Vma, at: number): Promise<Vma> {
  if (at % PMD_SIZE !== 0) await splitHugePmd(vma.mm, at)
  const upper = new Vma(vma.mm, {
    start: at,
    end: vma.end,
    prot: vma.prot,
    flags: vma.flags,
    shared: vma.shared,
    file: vma.file,
    pgoff: vma.indexOf(at),
  })
  await anonVmaClone(upper, vma)
  upper.anonVma = vma.anonVma
  if (vma.file !== null) {
    vma.file.get()
    await vma.file.iMmapLock.downWrite()
    vma.file.iMmap.add(upper)
    vma.file.iMmapLock.upWrite()
  }
  await vmaPrepare(vma)
  vma.end = at
  vma.mm.vmas.insert(upper)
  vmaComplete(vma)
  return upper
}

/** Splits so that [start, end) begins and ends at VMA bounds, and returns its VMAs. Under the mmap lock for writing. */
export async function splitRange(mm: Mm, start: number, end: number): Promise<Vma[]> {
  const first = mm.vmas.lookup(start)
  if (first !== null && first.start < start) await splitVma(first, start)
  const last = mm.vmas.lookup(end)
  if (last !== null && last.start < end) await splitVma(last, end)
  return mm.vmas.overlapping(start, end)
}

/** Could `next`, which begins where `vma` ends, be part of it? (Linux: can_vma_merge_after) */
function canMerge(vma: Vma, next: Vma): boolean {
  return (
    vma.end === next.start &&
    vma.prot === next.prot &&
    vma.flags === next.flags &&
    vma.shared === next.shared &&
    vma.file === next.file &&
    vma.pgoff + vma.pages === next.pgoff &&
    compatible(vma, next)
  )
}

/** One anon_vma at most, or the same set of them: else pages of one would not be found through the other. */
function compatible(vma: Vma, next: Vma): boolean {
  if (vma.anonVma === next.anonVma) return true
  if (vma.anonVma !== null && next.anonVma !== null) return false
  const owner = vma.anonVma === null ? next : vma
  return owner.anonVmas.length === 1
}

/**
 * Merges neighbours inside and at both edges of [start, end) (Linux: vma_merge). Under the mmap lock for writing.
 * Contents and translations stay as they are, so no callout is due.
 */
export async function mergeRange(mm: Mm, start: number, end: number): Promise<void> {
  let vma = mm.vmas.before(start) ?? mm.vmas.find(start)
  while (vma !== null && vma.start <= end) {
    const next = mm.vmas.find(vma.end)
    if (next === null) return
    if (canMerge(vma, next)) await absorb(vma, next)
    else vma = next
  }
}

async function absorb(vma: Vma, next: Vma): Promise<void> {
  if (vma.anonVma === null && next.anonVma !== null) {
    await anonVmaClone(vma, next)
    vma.anonVma = next.anonVma
  }
  await vmaPrepare(vma)
  vma.mm.vmas.remove(next)
  vma.end = next.end
  vmaComplete(vma)
  await vmaUnlink(next)
  if (next.file !== null) await next.file.put()
}
