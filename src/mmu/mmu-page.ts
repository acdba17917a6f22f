/**
 * One page table page of a VM, with what is known about it beside the entries (struct kvm_mmu_page, 6.12).
 *
 * R1 Shadow pages are found by guest frame and role: the same guest page used as another kind of table, or a range of
 *    guest memory mapped directly, is another page.
 * R2 A page is freed only after the flush that follows its unlinking, and never while it is a vCPU's root.
 */
import { PAGE_SIZE, PTRS_PER_TABLE } from '../base/index.ts'
import type { Gfn, Hpa } from '../base/index.ts'
import { hpa } from '../base/index.ts'

/** What distinguishes page tables made for the same guest frame. */
export interface MmuPageRole {
  /** Level of the table's entries as leaves: 0 for a table of 4 KiB pages. */
  readonly level: number
  /** Maps guest frames in order from `gfn`, rather than what a guest page table at `gfn` says. */
  readonly direct: boolean
  /** For a direct page under a large guest leaf: that leaf's permission bits (PTE_R|W|X|U); else 0. */
  readonly access: number
  /** 4 for the root of a G-stage mode, else 1. */
  readonly frames: number
  /** For a direct page under a large guest leaf: that leaf's level, for fences of any of its addresses; else 0. */
  readonly guestLeaf: number
}

/** Protected by mmuLock. */
export class MmuPage {
  /** First frame of the table. Immutable. */
  readonly pfn: number
  /** Immutable. */
  readonly role: MmuPageRole
  /** Direct: first guest frame that it maps. Else: the guest frame that holds the shadowed table. Immutable. */
  readonly gfn: Gfn
  /** Guest frame that each entry maps; only where it cannot be computed. -1 = none. */
  readonly gfns: Float64Array | null
  /** Addresses of the entries that point here. */
  readonly parents: number[] = []
  /** Entries that are present. */
  used = 0
  /** vCPUs that use it as their root. */
  rootCount = 0
  /** Unlinked: must not be used for new translations, is freed when nobody walks it. */
  invalid = false
  /** The guest may write the table that this one shadows; it is compared again at the next fence. */
  unsync = false
  /** Stores to the shadowed table since the page was last used by a fault. */
  writeFlooding = 0
  /** When it was last used by a fault, for recycling. */
  lastUsed = 0

  constructor(pfn: number, gfn: Gfn, role: MmuPageRole) {
    this.pfn = pfn
    this.gfn = gfn
    this.role = role
    this.gfns = role.direct ? null : new Float64Array(PTRS_PER_TABLE).fill(-1)
  }

  /** Number of entries. */
  get entries(): number {
    return this.role.frames * PTRS_PER_TABLE
  }

  /** Address of an entry. */
  sptep(index: number): Hpa {
    return hpa(this.pfn * PAGE_SIZE + index * 8)
  }

  /** Which entry an address is. */
  indexOf(sptep: number): number {
    return (sptep - this.pfn * PAGE_SIZE) / 8
  }

  /** The guest frame that a leaf entry maps (its first one). */
  gfnOf(index: number): number {
    return this.gfns === null ? this.gfn + index * 2 ** (9 * this.role.level) : this.gfns[index]!
  }
}
