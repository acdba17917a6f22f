/**
 * The architectural state of a hart as numbers in one buffer, so that it can be hashed, saved, or shared with a worker.
 *
 * R1 Every cell is 64 bits wide. A register can be read as one BigInt or as two 32-bit halves; both views are the
 *    same bytes (little-endian hosts only, as WebAssembly memory is).
 */

/** Index of each cell; x0-x31 are cells 0-31 and x0 is always 0. */
export const Cell = {
  pc: 32,
  sstatus: 33,
  sie: 34,
  /** All pending bits; a guest sees those that are its own to see. */
  sip: 35,
  stvec: 36,
  scounteren: 37,
  senvcfg: 38,
  sscratch: 39,
  sepc: 40,
  scause: 41,
  stval: 42,
  satp: 43,
  /** 1 in S-mode, 0 in U-mode. */
  privilege: 44,
  /** Retired instructions, as a double: exact up to 2^53. */
  instret: 45,
  /** fflags in bits 4:0, frm in bits 7:5. */
  fcsr: 46,
  stimecmp: 47,
  /** f0-f31 are this cell and those behind it. A single is boxed: the upper 32 bits are ones. */
  f0: 64,
} as const
export type CellIndex = (typeof Cell)[keyof typeof Cell]
export const CELLS: number = Cell.f0 + 32

/** The buffer of a hart and its views. */
export class HartState {
  readonly cells: BigInt64Array
  /** Low half of cell n at 2n, high half at 2n+1. */
  readonly halves: Int32Array
  readonly doubles: Float64Array

  /** @param buffer at least `CELLS * 8` bytes from `offset`; a new one by default */
  constructor(buffer: ArrayBufferLike = new ArrayBuffer(CELLS * 8), offset = 0) {
    this.cells = new BigInt64Array(buffer, offset, CELLS)
    this.halves = new Int32Array(buffer, offset, CELLS * 2)
    this.doubles = new Float64Array(buffer, offset, CELLS)
  }
}
