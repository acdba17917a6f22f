/**
 * The address-translation modes of RV64: Sv39, Sv48, Sv57 for satp and vsatp, and their x4 variants for hgatp.
 *
 * Source: RISC-V privileged architecture, chapters "Supervisor-Level ISA" and "Hypervisor Extension".
 *
 * R1 Page numbers are plain numbers of up to 52 bits: shifts reach only the low 32, so wider fields are divided.
 */
import { TABLE_SHIFT } from '../base/index.ts'

export interface PagingMode {
  readonly name: 'sv39' | 'sv48' | 'sv57' | 'sv39x4' | 'sv48x4' | 'sv57x4'
  /** The MODE field of satp, or of hgatp for an x4 mode. */
  readonly field: number
  /** Levels of tables; the root's level is `levels - 1`, a 4 KiB leaf's level is 0. */
  readonly levels: number
  /** Index bits of the root table: 9, or 11 for a root of four pages that is aligned to 16 KiB. */
  readonly rootBits: 9 | 11
  /** Pages of the root table: 1 or 4. */
  readonly rootPages: 1 | 4
  /** Bits of an address that are translated or are page offset. */
  readonly vaBits: number
  /** Number of pages in the space: 2^(vaBits - 12). */
  readonly pages: number
  /** Whether this is a G-stage mode: its input is a guest physical address, zero-extended instead of sign-extended. */
  readonly guestPhysical: boolean
}

export const SV39: PagingMode = {
  name: 'sv39',
  field: 8,
  levels: 3,
  rootBits: 9,
  rootPages: 1,
  vaBits: 39,
  pages: 2 ** 27,
  guestPhysical: false,
}
export const SV48: PagingMode = {
  name: 'sv48',
  field: 9,
  levels: 4,
  rootBits: 9,
  rootPages: 1,
  vaBits: 48,
  pages: 2 ** 36,
  guestPhysical: false,
}
export const SV57: PagingMode = {
  name: 'sv57',
  field: 10,
  levels: 5,
  rootBits: 9,
  rootPages: 1,
  vaBits: 57,
  pages: 2 ** 45,
  guestPhysical: false,
}
export const SV39X4: PagingMode = {
  name: 'sv39x4',
  field: 8,
  levels: 3,
  rootBits: 11,
  rootPages: 4,
  vaBits: 41,
  pages: 2 ** 29,
  guestPhysical: true,
}
export const SV48X4: PagingMode = {
  name: 'sv48x4',
  field: 9,
  levels: 4,
  rootBits: 11,
  rootPages: 4,
  vaBits: 50,
  pages: 2 ** 38,
  guestPhysical: true,
}
export const SV57X4: PagingMode = {
  name: 'sv57x4',
  field: 10,
  levels: 5,
  rootBits: 11,
  rootPages: 4,
  vaBits: 59,
  pages: 2 ** 47,
  guestPhysical: true,
}

export const PAGING_MODES: readonly PagingMode[] = [SV39, SV48, SV57, SV39X4, SV48X4, SV57X4]

/** The mode that satp selects with `field`, or undefined for Bare and reserved values. */
export const satpMode = (field: number): PagingMode | undefined =>
  PAGING_MODES.find((mode) => !mode.guestPhysical && mode.field === field)
/** The mode that hgatp selects with `field`, or undefined for Bare and reserved values. */
export const hgatpMode = (field: number): PagingMode | undefined =>
  PAGING_MODES.find((mode) => mode.guestPhysical && mode.field === field)

/** One more than the largest 52-bit page number. */
const PAGE_NUMBERS: number = 2 ** 52

/**
 * Whether a page number is one that `mode` translates: for a virtual mode the bits above the address must repeat its top
 * bit (page numbers at both ends of the 52-bit space), for a guest physical mode they must be zero.
 */
export function isTranslatable(mode: PagingMode, page: number): boolean {
  if (mode.guestPhysical) return page >= 0 && page < mode.pages
  const half = mode.pages / 2
  return (page >= 0 && page < half) || (page >= PAGE_NUMBERS - half && page < PAGE_NUMBERS)
}

/** The 52-bit page number that sign-extends the low `vaBits - 12` bits of `page`; an x4 mode zero-extends. */
export function extendPage(mode: PagingMode, page: number): number {
  const low = page % mode.pages
  return !mode.guestPhysical && low >= mode.pages / 2 ? PAGE_NUMBERS - mode.pages + low : low
}

/** Pages of 4 KiB that a leaf at each level maps: 4 KiB, 2 MiB, 1 GiB, 512 GiB, 256 TiB. */
export const LEAF_PAGES: readonly number[] = [1, 2 ** 9, 2 ** 18, 2 ** 27, 2 ** 36]

/** Pages of 4 KiB that a leaf at `level` maps. */
export const leafPages = (level: number): number => LEAF_PAGES[level] as number

/** The index of `page` in a table at `level`. */
export function tableIndex(mode: PagingMode, page: number, level: number): number {
  const mask = level === mode.levels - 1 ? (1 << mode.rootBits) - 1 : (1 << TABLE_SHIFT) - 1
  if (level < 3) return (page >>> (TABLE_SHIFT * level)) & mask
  return (page / leafPages(level)) & mask
}

/** The low bits of a page number that a leaf at `level` passes through untranslated. */
export function pageWithinLeaf(page: number, level: number): number {
  const size = leafPages(level)
  if (level < 4) return page & (size - 1)
  return page - Math.floor(page / size) * size
}
