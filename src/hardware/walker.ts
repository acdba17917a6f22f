/**
 * The page-table walker: the virtual address translation process of the RISC-V privileged architecture, for one stage.
 *
 * Counterpart: the hardware's own walker (Linux walks a G-stage table in `arch/riscv/kvm/mmu.c`, 6.12). Two-stage
 * translation is two walkers: the source of the first one's PTEs translates their guest physical addresses with the second. Nothing here waits: a source
 * that would have to wait says `missed`, the caller makes the page present and walks again from the start.
 *
 * R1 Synchronous and free of allocation; results stand in fields until the next walk.
 * R2 Reserved encodings fault: R=0 with W=1; bits 60..54; N and PBMT unless enabled; A, D, U, N or PBMT in a pointer.
 * R3 A and D are changed in the PTE itself by compare-and-set; when that loses, the PTE is read again (step 2).
 * R4 A fault of the stage is 12, 13 or 15, or 20, 21 or 23 when the mode is a G-stage one; no memory under a PTE is 1, 5 or 7.
 * R5 `permissions` are those that may be cached: writing only if D is set, since the first write must set it.
 * R6 Results are read before the next await: the walker is scratch paper, no part of the protocol state (opaque).
 */
import { PAGE_SIZE, TABLE_SHIFT } from '../base/index.ts'
import { Access, accessFaultCause, guestPageFaultCause, pageFaultCause } from './exceptions.ts'
import { isTranslatable, leafPages, pageWithinLeaf, tableIndex } from './paging-mode.ts'
import type { PagingMode } from './paging-mode.ts'
import {
  PTE_A,
  PTE_D,
  PTE_G,
  PTE_HIGH_PBMT,
  PTE_HIGH_RESERVED,
  PTE_POINTER_RESERVED,
  PTE_R,
  PTE_RWX,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
  ptePpn,
} from './pte.ts'

/** What came of reaching for a PTE. */
export const PteResult = {
  /** Read, or set. */
  done: 0,
  /** Compare-and-set only: the PTE is no longer the expected one. */
  lost: 1,
  /** The source cannot reach the PTE until somebody makes its page present (or writable, for a compare-and-set). */
  missed: 2,
  /** There is no memory at the address. */
  vacant: 3,
} as const
export type PteResult = (typeof PteResult)[keyof typeof PteResult]

/** Where a walker's PTEs are: addresses are those of the stage being walked. */
export interface PteSource {
  /** Halves of the PTE that `load` read last, unsigned. */
  readonly low: number
  readonly high: number
  /** Reads the PTE at `address` (a multiple of 8) into `low` and `high`. */
  load(address: number): PteResult
  /** Replaces the low half with `newLow` if the PTE at `address` still is (`low`, `high`). */
  compareAndSet(address: number, low: number, high: number, newLow: number): PteResult
}

export const WalkStatus = {
  translated: 0,
  /** An exception: `cause` says which. */
  fault: 1,
  /** The source missed the PTE at `pteAddress`; `cause` is the guest-page fault that a hart without a helper would raise. */
  sourceMiss: 2,
} as const
export type WalkStatus = (typeof WalkStatus)[keyof typeof WalkStatus]

/** The state of the hart that a walk depends on, as bits. A G-stage walk heeds `mxr` and the three below it alone. */
export const Walk = {
  /** The access is made in U-mode, or with its rights. */
  user: 1,
  /** sstatus.SUM: S-mode may read and write user pages. */
  sum: 2,
  /** sstatus.MXR: executable pages may be read. */
  mxr: 4,
  /** Svadu: the walker sets A and D itself. Without it (Svade) a clear one faults. */
  hardwareUpdate: 8,
  /** Svnapot: N marks a part of a 64 KiB region. */
  napot: 16,
  /** Svpbmt: leaves may name a memory type. */
  pbmt: 32,
} as const

/** Bits of `permissions`. */
export const PERMIT_READ = 1
export const PERMIT_WRITE = 2
export const PERMIT_EXECUTE = 4

const NAPOT_PAGES = 16
const NAPOT_SHIFT = 4
/** The one defined NAPOT encoding: ppn[3:0] = 1000, a region of 64 KiB. */
const NAPOT_PATTERN = 8

export class PageTableWalker {
  static readonly opaque = true
  status: WalkStatus = WalkStatus.fault
  /** Exception code, when `status` is not `translated`. */
  cause = 0
  /** The page number that the walk arrived at. */
  page = 0
  /** Level of the last PTE read; 0 is a 4 KiB leaf. -1 when the page number itself was at fault. */
  level = -1
  /** Pages of 4 KiB that the leaf covers, 16 for a NAPOT one: what one fence of any of its addresses must forget. */
  leafPages = 1
  /** log2 of `leafPages`, as `Tlb.fill` takes it. */
  leafShift = 0
  /** Address of the last PTE read, or missed. */
  pteAddress = 0
  /** After a source miss: whether the source was to set a bit, so that the page must be writable. */
  missedWrite = false
  /** The last PTE read, with the A and D that the walk set. */
  low = 0
  high = 0
  /** PERMIT_* of this privilege, SUM and MXR (R5). */
  permissions = 0
  /** Whether the mapping is global: G in the leaf or in any pointer above it. */
  global = false
  /** Memory type of the leaf (0 without Svpbmt). */
  memoryType = 0
  /** PTEs read since the walker was made; for statistics. */
  loads = 0

  /**
   * Translates one page number.
   * @param source the PTEs
   * @param mode the paging mode
   * @param root page number of the root table (a multiple of 4 for an x4 mode)
   * @param page page number to translate: a Gvn of 52 bits for a virtual mode, a guest frame number for an x4 mode
   * @param access what the instruction wants, which decides the cause
   * @param context bits of `Walk`
   * @returns whether it was translated; all else stands in the fields
   */
  walk(source: PteSource, mode: PagingMode, root: number, page: number, access: Access, context: number): boolean {
    this.global = false
    this.permissions = 0
    this.memoryType = 0
    this.missedWrite = false
    this.level = -1
    if (!isTranslatable(mode, page)) return this.pageFault(mode, access)
    let table = root
    for (let level = mode.levels - 1; level >= 0; level--) {
      this.level = level
      this.pteAddress = table * PAGE_SIZE + tableIndex(mode, page, level) * 8
      const outcome = this.visit(source, mode, page, access, context)
      if (outcome !== VISIT_POINTER) return outcome === VISIT_LEAF
      table = ptePpn(this.low, this.high)
    }
    return this.pageFault(mode, access)
  }

  /** Steps 2 to 8 at one level; repeats when an update of A or D lost (R3). */
  private visit(source: PteSource, mode: PagingMode, page: number, access: Access, context: number): number {
    for (;;) {
      const loaded = source.load(this.pteAddress)
      this.loads++
      if (loaded !== PteResult.done) return this.unreachable(loaded, access, false)
      const { low, high } = source
      this.low = low
      this.high = high
      if ((low & PTE_V) === 0 || (low & (PTE_R | PTE_W)) === PTE_W || (high & PTE_HIGH_RESERVED) !== 0) {
        return this.faultVisit(mode, access)
      }
      if ((low & PTE_RWX) === 0) {
        if ((low & PTE_POINTER_RESERVED) !== 0 || high >>> 29 !== 0) return this.faultVisit(mode, access)
        if ((low & PTE_G) !== 0) this.global = true
        return VISIT_POINTER
      }
      if (!this.checkLeaf(mode, access, context)) return this.faultVisit(mode, access)
      const wanted = access === Access.write ? PTE_A | PTE_D : PTE_A
      if ((low & wanted) !== wanted) {
        if ((context & Walk.hardwareUpdate) === 0) return this.faultVisit(mode, access)
        const updated = (low | wanted) >>> 0
        const swapped = source.compareAndSet(this.pteAddress, low, high, updated)
        if (swapped === PteResult.lost) continue
        if (swapped !== PteResult.done) return this.unreachable(swapped, access, true)
        this.low = updated
      }
      this.finishLeaf(page)
      return VISIT_LEAF
    }
  }

  /** Steps 5 and 6: permissions, alignment, and the encodings reserved in leaves. */
  private checkLeaf(mode: PagingMode, access: Access, context: number): boolean {
    const { low, high, level } = this
    if ((high & PTE_HIGH_PBMT) !== 0 && ((context & Walk.pbmt) === 0 || (high & PTE_HIGH_PBMT) === PTE_HIGH_PBMT)) {
      return false
    }
    const ppn = ptePpn(low, high)
    if (high >>> 31 !== 0) {
      if ((context & Walk.napot) === 0 || level !== 0 || (ppn & (NAPOT_PAGES - 1)) !== NAPOT_PATTERN) return false
    } else if (pageWithinLeaf(ppn, level) !== 0) return false
    this.permissions = leafPermissions(low, mode.guestPhysical, context)
    return (this.permissions & (1 << access)) !== 0
  }

  private finishLeaf(page: number): void {
    const ppn = ptePpn(this.low, this.high)
    if (this.high >>> 31 !== 0) {
      this.leafPages = NAPOT_PAGES
      this.leafShift = NAPOT_SHIFT
      this.page = ppn - NAPOT_PATTERN + (page & (NAPOT_PAGES - 1))
    } else {
      this.leafPages = leafPages(this.level)
      this.leafShift = this.level * TABLE_SHIFT
      this.page = ppn + pageWithinLeaf(page, this.level)
    }
    if ((this.low & PTE_D) === 0) this.permissions &= ~PERMIT_WRITE
    this.memoryType = (this.high & PTE_HIGH_PBMT) >>> 29
    if ((this.low & PTE_G) !== 0) this.global = true
    this.status = WalkStatus.translated
  }

  private pageFault(mode: PagingMode, access: Access): false {
    this.status = WalkStatus.fault
    this.permissions = 0
    this.cause = mode.guestPhysical ? guestPageFaultCause(access) : pageFaultCause(access)
    return false
  }

  private faultVisit(mode: PagingMode, access: Access): number {
    this.pageFault(mode, access)
    return VISIT_FAULT
  }

  private unreachable(result: PteResult, access: Access, write: boolean): number {
    this.permissions = 0
    if (result === PteResult.missed) {
      this.status = WalkStatus.sourceMiss
      this.missedWrite = write
      this.cause = guestPageFaultCause(access)
    } else {
      this.status = WalkStatus.fault
      this.cause = accessFaultCause(access)
    }
    return VISIT_FAULT
  }
}

const VISIT_POINTER = 0
const VISIT_LEAF = 1
const VISIT_FAULT = 2

/**
 * What a leaf's R, W, X and U allow. A G-stage leaf serves only accesses with user rights, which all of them count as;
 * S-mode reads and writes user pages under SUM and never executes them.
 */
function leafPermissions(low: number, guestPhysical: boolean, context: number): number {
  const userPage = (low & PTE_U) !== 0
  const asUser = guestPhysical || (context & Walk.user) !== 0
  if (asUser && !userPage) return 0
  if (!asUser && userPage && (context & Walk.sum) === 0) return 0
  let permissions = 0
  if ((low & PTE_R) !== 0) permissions |= PERMIT_READ
  if ((low & PTE_W) !== 0) permissions |= PERMIT_WRITE
  if ((low & PTE_X) !== 0) {
    if (asUser || !userPage) permissions |= PERMIT_EXECUTE
    if ((context & Walk.mxr) !== 0) permissions |= PERMIT_READ
  }
  return permissions
}
