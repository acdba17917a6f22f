/**
 * Host PTEs as Linux uses them (v6.12 arch/riscv/include/asm/pgtable.h), held as their low 32 bits.
 *
 * ```
 *  present     | PPN (22 of its bits)        | soft | D A G U X W R 1 |
 *  PROT_NONE   | PPN                         | soft | D A 1 U X W R 0 |
 *  swap entry  | offset (20)   | type (5)    | 0 0  | 0 0 0 0 0 0 0 0 |    bits 12.. and 7..11
 * ```
 *
 * R1 Physical memory ends at 4 GiB, so a PPN has at most 20 bits and the high half of a PTE is always 0.
 * R2 A PTE is written under the page-table lock of its mm. Hardware alone sets A and D, at any time: whoever clears
 *    a PTE takes the value that was there in the step of clearing it.
 */
import { PTE_A, PTE_D, PTE_G, PTE_R, PTE_RSW_HIGH, PTE_RSW_LOW, PTE_U, PTE_V, PTE_W, PTE_X } from '../hardware/index.ts'
import type { Pfn } from '../base/index.ts'

export const PROT_NONE = 0
export const PROT_READ = 1
export const PROT_WRITE = 2
export const PROT_EXEC = 4

/** With V clear: present for the kernel, absent for the hardware (mprotect to nothing). */
const PTE_PROT_NONE = PTE_G
/** No reference and no rmap: the zero page. */
export const PTE_SPECIAL: number = PTE_RSW_LOW
/** Written since the last look (see soft-dirty.ts). */
const PTE_SOFT_DIRTY: number = PTE_RSW_HIGH
const PPN_SHIFT = 10

/** Types of the non-present entries that stand for a page under migration, mapped read-only or writable. */
export const SWP_MIGRATION_READ = 30
export const SWP_MIGRATION_WRITE = 31
const TYPE_SHIFT = 7
const TYPE_MASK = 31
const OFFSET_SHIFT = 12

export const pteNone = (pte: number): boolean => pte === 0
/** Names a frame, whether the hardware may use it or not. */
export const ptePresent = (pte: number): boolean => (pte & (PTE_V | PTE_PROT_NONE)) !== 0
/** The hardware may use it. */
export const pteValid = (pte: number): boolean => (pte & PTE_V) !== 0
export const pteWrite = (pte: number): boolean => (pte & PTE_W) !== 0
export const pteDirty = (pte: number): boolean => (pte & PTE_D) !== 0
export const pteYoung = (pte: number): boolean => (pte & PTE_A) !== 0
export const pteSpecial = (pte: number): boolean => (pte & PTE_SPECIAL) !== 0
export const ptePfn = (pte: number): Pfn => (pte >>> PPN_SHIFT) as Pfn

export const pteWrprotect = (pte: number): number => (pte & ~PTE_W) >>> 0
export const pteMkwrite = (pte: number): number => (pte | PTE_W) >>> 0
/** With the soft-dirty mark: this is where a store is noticed by software. */
export const pteMkdirty = (pte: number): number => (pte | PTE_D | PTE_SOFT_DIRTY) >>> 0
export const pteSoftDirty = (pte: number): boolean => (pte & PTE_SOFT_DIRTY) !== 0
export const pteClearSoftDirty = (pte: number): number => (pte & ~PTE_SOFT_DIRTY) >>> 0
export const pteMkclean = (pte: number): number => (pte & ~PTE_D) >>> 0
export const pteMkyoung = (pte: number): number => (pte | PTE_A) >>> 0
export const pteMkold = (pte: number): number => (pte & ~PTE_A) >>> 0

/** Flag bits that a protection gives, without the right to write: that is added where no copy is due. */
function protFlags(prot: number): number {
  if ((prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) === 0) return PTE_PROT_NONE | PTE_U
  return PTE_V | PTE_U | PTE_R | ((prot & PROT_EXEC) === 0 ? 0 : PTE_X)
}

/** A young, clean, read-only PTE for a frame; soft-dirty, as everything is that was mapped since the last look. */
export const mkPte = (pfn: Pfn, prot: number): number =>
  ((pfn << PPN_SHIFT) | protFlags(prot) | PTE_A | PTE_SOFT_DIRTY) >>> 0

/** The same frame and the same A, D and soft bits under another protection; never writable. */
export const pteModify = (pte: number, prot: number): number =>
  ((pte & ~(PTE_V | PTE_R | PTE_W | PTE_X | PTE_U | PTE_PROT_NONE)) | protFlags(prot)) >>> 0

/** A non-present entry. `offset` is 1 or more. */
export const swapEntry = (type: number, offset: number): number =>
  ((offset << OFFSET_SHIFT) | (type << TYPE_SHIFT)) >>> 0
export const swapType = (entry: number): number => (entry >>> TYPE_SHIFT) & TYPE_MASK
export const swapOffset = (entry: number): number => entry >>> OFFSET_SHIFT
export const isMigrationEntry = (pte: number): boolean =>
  !pteNone(pte) && !ptePresent(pte) && swapType(pte) >= SWP_MIGRATION_READ
/** A page in swap. */
export const isSwapEntry = (pte: number): boolean =>
  !pteNone(pte) && !ptePresent(pte) && swapType(pte) < SWP_MIGRATION_READ

/** `r`, `w`, `x` letters, `-` for none. */
export function protText(prot: number): string {
  const text = (prot & PROT_READ ? 'r' : '') + (prot & PROT_WRITE ? 'w' : '') + (prot & PROT_EXEC ? 'x' : '')
  return text === '' ? '-' : text
}
