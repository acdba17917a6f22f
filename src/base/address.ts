/**
 * Address and frame-number kinds, as branded types that never mix.
 *
 * Guest virtual addresses are full 64-bit register values, so they are BigInt and stay at the edge of a hart.
 * Everything else is a plain number: host addresses and page numbers fit in 53 bits, and a Map keyed by a
 * number is several times faster than one keyed by a BigInt.
 *
 * R1 A function that takes an address names its kind in its type.
 * R2 Only the constructors below create a kind; arithmetic goes through them.
 */

declare const kind: unique symbol
type Brand<T, K extends string> = T & { readonly [kind]: K }

/** Guest virtual address: a 64-bit register value, unsigned. */
export type Gva = Brand<bigint, 'Gva'>
/** Guest virtual page number: the upper 52 bits of a Gva, unsigned. */
export type Gvn = Brand<number, 'Gvn'>
/** Guest physical address, in bytes. */
export type Gpa = Brand<number, 'Gpa'>
/** Guest frame number: Gpa >> 12. */
export type Gfn = Brand<number, 'Gfn'>
/** Host (user) virtual address, in bytes, below 2^38 (Sv39). */
export type Hva = Brand<number, 'Hva'>
/** Host virtual page number: Hva >> 12. */
export type Hvn = Brand<number, 'Hvn'>
/** Host physical address: a byte offset into physical memory. */
export type Hpa = Brand<number, 'Hpa'>
/** Host page frame number: Hpa >> 12. */
export type Pfn = Brand<number, 'Pfn'>

export const PAGE_SHIFT = 12
/** Bytes in a page. */
export const PAGE_SIZE = 4096
export const PAGE_MASK = 4095
/** Entries in a page table page, and their number as a power of two. */
export const PTRS_PER_TABLE = 512
export const TABLE_SHIFT = 9

export const KiB = 1024
export const MiB: number = 1024 * KiB
export const GiB: number = 1024 * MiB

export const gva = (value: bigint): Gva => BigInt.asUintN(64, value) as Gva
export const gpa = (value: number): Gpa => value as Gpa
export const gfn = (value: number): Gfn => value as Gfn
export const hva = (value: number): Hva => value as Hva
export const hvn = (value: number): Hvn => value as Hvn
export const hpa = (value: number): Hpa => value as Hpa
export const pfn = (value: number): Pfn => value as Pfn

/** The page number of a guest virtual address (52 bits, exact in a double). */
export const gvnOf = (address: Gva): Gvn => Number(address >> 12n) as Gvn
/** Addresses above 2^31 do not survive `>>`, so pages and addresses convert by division. */
export const gfnOf = (address: Gpa): Gfn => Math.floor(address / PAGE_SIZE) as Gfn
export const gpaOf = (frame: Gfn): Gpa => (frame * PAGE_SIZE) as Gpa
export const hvnOf = (address: Hva): Hvn => Math.floor(address / PAGE_SIZE) as Hvn
export const hvaOf = (page: Hvn): Hva => (page * PAGE_SIZE) as Hva
export const pfnOf = (address: Hpa): Pfn => Math.floor(address / PAGE_SIZE) as Pfn
export const hpaOf = (frame: Pfn): Hpa => (frame * PAGE_SIZE) as Hpa

export const isPageAligned = (value: number): boolean => value % PAGE_SIZE === 0
export const pageAlignDown = (value: number): number => value - (value % PAGE_SIZE)
export const pageAlignUp = (value: number): number => pageAlignDown(value + PAGE_MASK)

/** `0x`-prefixed lower-case hex, as kernel logs print addresses. */
export const hex = (value: number | bigint): string => `0x${value.toString(16)}`
