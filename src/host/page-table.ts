/**
 * The page tables of one mm: real Sv39 tables in physical memory (Linux: pgd/pmd/pte walks, __pte_alloc).
 *
 * R1 A table page appears under the page-table lock and disappears under it, after the VMAs that used it have left the
 *    rmap. Whoever holds that lock may keep a slot address; anybody else looks it up again after each await.
 * R2 Walking a range costs what is mapped in it: an absent upper entry is skipped as one step.
 */
import { PAGE_SIZE } from '../base/index.ts'
import type { Hpa, Hva, Pfn } from '../base/index.ts'
import { PTE_V, isTablePte, pteLow } from '../hardware/index.ts'
import type { PhysicalMemory } from '../hardware/index.ts'
import type { Mm } from './mm.ts'

/** Bytes that one leaf table maps (2 MiB) and that one middle table maps (1 GiB). */
export const PMD_SIZE = 0x200000
export const PGDIR_SIZE = 0x40000000
/** User addresses end here (Sv39). */
export const TASK_SIZE: number = 2 ** 38

const PTE_BYTES = 8
const PTE_PPN_SHIFT = 10

/** Start of the next 2 MiB, or `end`. */
export const pmdAddrEnd = (hva: number, end: number): number => Math.min(hva - (hva % PMD_SIZE) + PMD_SIZE, end)

export class PageTable {
  private readonly memory: PhysicalMemory
  /** Frame of the root table. Immutable. */
  readonly root: Pfn
  /** Table pages below the root. Protected by the page-table lock. */
  tables = 0

  constructor(memory: PhysicalMemory, root: Pfn) {
    this.memory = memory
    this.root = root
    memory.zeroFrame(root)
  }

  /** Address of the PTE of `hva`, or -1 when there is no leaf table. */
  slot(hva: number): Hpa | -1 {
    const middle = this.table(this.rootSlot(hva))
    if (middle === -1) return -1
    const leaf = this.table(this.middleSlot(middle, hva))
    if (leaf === -1) return -1
    return (leaf * PAGE_SIZE + (Math.floor(hva / PAGE_SIZE) % 512) * PTE_BYTES) as Hpa
  }

  /** The PTE of `hva`, 0 when there is none; of a huge mapping, what the PTE of this page would be. */
  read(hva: number): number {
    const slot = this.slot(hva)
    if (slot !== -1) return this.memory.readLow(slot)
    const pmd = this.hugePmd(hva)
    return pmd === 0 ? 0 : pmd + (Math.floor(hva / PAGE_SIZE) % 512) * (1 << PTE_PPN_SHIFT)
  }

  /** Address of the middle table's entry over `hva`, or -1 when there is no middle table. */
  pmdSlot(hva: number): Hpa | -1 {
    const middle = this.table(this.rootSlot(hva))
    return middle === -1 ? -1 : this.middleSlot(middle, hva)
  }

  /** The leaf that maps the 2 MiB around `hva` as one, or 0. */
  hugePmd(hva: number): number {
    const slot = this.pmdSlot(hva)
    if (slot === -1) return 0
    const pmd = this.memory.readLow(slot)
    return pmd === 0 || isTablePte(pmd) ? 0 : pmd
  }

  /** Is there neither a leaf table nor a huge mapping over `hva`? */
  isPmdNone(hva: number): boolean {
    const slot = this.pmdSlot(hva)
    return slot === -1 || this.memory.readLow(slot) === 0
  }

  /** The first address in [hva, end) that has a leaf table or a huge mapping, or `end`. */
  nextPopulated(hva: number, end: number): number {
    let at = hva
    while (at < end) {
      const middle = this.table(this.rootSlot(at))
      if (middle === -1) {
        at = at - (at % PGDIR_SIZE) + PGDIR_SIZE
        continue
      }
      if (this.memory.readLow(this.middleSlot(middle, at)) !== 0) return at
      at = at - (at % PMD_SIZE) + PMD_SIZE
    }
    return end
  }

  /** Frame of the middle table over `hva`, or -1. */
  middleTable(hva: number): Pfn | -1 {
    return this.table(this.rootSlot(hva))
  }

  /** Frame of the leaf table over `hva`, or -1. */
  leafTable(hva: number): Pfn | -1 {
    const middle = this.table(this.rootSlot(hva))
    return middle === -1 ? -1 : this.table(this.middleSlot(middle, hva))
  }

  /** Links a zeroed table. Under the page-table lock. */
  linkMiddle(hva: number, pfn: Pfn): void {
    this.memory.writePte(this.rootSlot(hva), pteLow(pfn, PTE_V), 0)
    this.tables++
  }

  linkLeaf(hva: number, pfn: Pfn): void {
    this.memory.writePte(this.middleSlot(this.table(this.rootSlot(hva)) as Pfn, hva), pteLow(pfn, PTE_V), 0)
    this.tables++
  }

  /** Unlinks the leaf table over `hva`. Under the page-table lock. */
  unlinkLeaf(hva: number): void {
    this.memory.writePte(this.middleSlot(this.table(this.rootSlot(hva)) as Pfn, hva), 0, 0)
    this.tables--
  }

  unlinkMiddle(hva: number): void {
    this.memory.writePte(this.rootSlot(hva), 0, 0)
    this.tables--
  }

  private rootSlot(hva: number): Hpa {
    return (this.root * PAGE_SIZE + Math.floor(hva / PGDIR_SIZE) * PTE_BYTES) as Hpa
  }

  private middleSlot(middle: Pfn, hva: number): Hpa {
    return (middle * PAGE_SIZE + (Math.floor(hva / PMD_SIZE) % 512) * PTE_BYTES) as Hpa
  }

  /** The table that a slot points to, or -1. */
  private table(slot: Hpa): Pfn | -1 {
    const low = this.memory.readLow(slot)
    return isTablePte(low) ? ((low >>> 10) as Pfn) : -1
  }
}

/**
 * Makes sure that `hva` has a middle table (Linux: pmd_alloc). May reclaim; not under the page-table lock.
 * Preconditions: the mmap lock is held, so that no table of the range is being freed.
 * @throws KernelError ENOMEM
 */
export async function pmdAlloc(mm: Mm, hva: Hva): Promise<void> {
  const table = mm.pageTable
  if (table.middleTable(hva) !== -1) return
  const { allocator, memory } = mm.kernel
  const middle = await allocator.allocPages(0, 'table', mm.id)
  memory.zeroFrame(middle)
  await mm.pageTableLock.lock()
  const lost = table.middleTable(hva) !== -1
  if (!lost) table.linkMiddle(hva, middle)
  mm.pageTableLock.unlock()
  if (lost) allocator.put(middle)
}

/**
 * Makes sure that `hva` has a leaf table, unless a huge mapping is in its place (Linux: pte_alloc). As `pmdAlloc`.
 * @throws KernelError ENOMEM
 */
export async function pteAlloc(mm: Mm, hva: Hva): Promise<void> {
  const table = mm.pageTable
  if (!table.isPmdNone(hva)) return
  const { allocator, memory } = mm.kernel
  await pmdAlloc(mm, hva)
  const leaf = await allocator.allocPages(0, 'table', mm.id)
  memory.zeroFrame(leaf)
  await mm.pageTableLock.lock()
  const lost = !table.isPmdNone(hva)
  if (!lost) table.linkLeaf(hva, leaf)
  mm.pageTableLock.unlock()
  if (lost) allocator.put(leaf)
}
