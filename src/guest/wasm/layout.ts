/**
 * Where generated code finds a hart's registers and tables: one area of the memory's scratch a hart, all offsets relative
 * to its start, so that the same code serves every hart.
 *
 * | offset | what |
 * |---|---|
 * | 0 | `HartState`: x0-x31, pc, CSRs, f0-f31, 8 bytes each |
 * | 768 | the words of `Word` |
 * | 832 | the words of `WalkWord` |
 * | 1024 | free for engines |
 * | 2048 | the log of entries made: `WALK_LOG_RECORDS` of 8 bytes |
 * | 4096 | the three fast TLBs, read, write, execute, of `FAST_ROWS` rows each |
 *
 * A row of a fast TLB is 16 bytes: a 64-bit tag, and at 8 the 32-bit number that added to the low half of a guest address
 * gives its place in the memory. It answers the access of `size` bytes at `gva` if
 *
 *     tag == (gva & (-4096 | (size - 1)) | context
 *
 * with the 64-bit context word of the kind of access: so a misaligned access never hits, nor one that crosses pages, nor
 * one in another context. Contexts have bits 3 to 11 and are never 0: a row of zeros is empty.
 *
 * R1 Nothing in here is an absolute address: the area's start is a parameter of generated code.
 */

/** Rows of each fast TLB, direct mapped by the low bits of the page number. */
export const FAST_ROWS = 8192
export const FAST_ROW_BYTES = 16
/** Of a row's fields. */
export const ROW_TAG = 0
export const ROW_ADDEND = 8
export const FAST_TLB_BYTES: number = FAST_ROWS * FAST_ROW_BYTES

/** Byte offsets of the words that engines share with JavaScript, behind the cells of the hart; i32 unless another type is named. */
export const Word = {
  /** i64: bits of the tags of the present context, one word an access in the order of `Access`. */
  contextRead: 768,
  contextWrite: 776,
  contextExecute: 784,
  /** Instructions that the engine may still try. */
  budget: 792,
  /** Reason of the last exit. */
  reason: 796,
  /** Of the last miss: f64 page number, kind (`Access`), bytes. */
  missPage: 800,
  missKind: 808,
  missSize: 812,
  /** Not 0: leave as soon as possible. Written from outside. */
  kick: 816,
} as const

/** Byte offsets of what a walk by generated code depends on, and of its results; i32 unless another type is named. */
export const WalkWord = {
  /** A `WalkPlan`; `root` is i64, the contexts are by access. */
  stages: 832,
  levels: 836,
  root: 840,
  flags: 848,
  asid: 852,
  contexts: 856,
  frameLevels: 868,
  frameRoot: 872,
  frameContext: 876,
  /** Not 0: no row may be made that permits stores. */
  reserved: 880,
  /** Where the entries of the TLB for reads begin in the memory, bytes of each of the three, and their shape. */
  tlb: 884,
  tlbBytes: 888,
  setMask: 892,
  wayBytes: 896,
  /** Records in the log. */
  logged: 900,
  /** Of the last walk of a table that found a leaf: its level, G anywhere on the way, host address of its PTE. */
  leafLevel: 904,
  global: 908,
  pteAddress: 912,
} as const

/** Entries that generated code has written and nobody has counted: index and access shifted left by 24, then the PTE's address. */
export const WALK_LOG = 2048
export const WALK_LOG_RECORDS = 255
export const LOG_ACCESS_SHIFT = 24

/** For an engine's own words. */
export const ENGINE_WORDS = 1024
export const FAST_READ = 4096
export const FAST_WRITE: number = FAST_READ + FAST_TLB_BYTES
export const FAST_EXECUTE: number = FAST_WRITE + FAST_TLB_BYTES
/** Bytes of a hart's area. */
export const HART_AREA_BYTES: number = FAST_EXECUTE + FAST_TLB_BYTES
