/**
 * The floating-point operations that rows are made of: which registers each takes and gives, and whether it rounds.
 * RISC-V unprivileged specification 20240411, chapters 20 and 21.
 *
 * R1 An instruction is an operation and a format; what an engine must know of it is here, so that it may do some
 *    operations itself and leave the others to the reference.
 */

/** Single and double precision. */
export type FloatFormat = 's' | 'd'

/** `W`, `Wu`, `L` and `Lu` are the integers of 32 and 64 bits, signed and unsigned. */
export type FloatOperation =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'sqrt'
  /** frs1 * frs2 + frs3, rounded once; with frs3 negated; with the product negated; with both negated. */
  | 'madd'
  | 'msub'
  | 'nmsub'
  | 'nmadd'
  | 'sgnj'
  | 'sgnjn'
  | 'sgnjx'
  | 'min'
  | 'max'
  | 'eq'
  | 'lt'
  | 'le'
  | 'class'
  | 'toW'
  | 'toWu'
  | 'toL'
  | 'toLu'
  | 'fromW'
  | 'fromWu'
  | 'fromL'
  | 'fromLu'
  /** To the format at hand from the other one. */
  | 'convert'
  /** The bits as they are, between frs1 and rd, rs1 and frd. */
  | 'moveToInteger'
  | 'moveFromInteger'

export interface FloatOperationRow {
  /** Floating-point registers that it reads: frs1, then frs2, then frs3. With 0 it reads rs1. */
  readonly sources: 0 | 1 | 2 | 3
  /** True if the result goes to rd, else to frd. */
  readonly toInteger: boolean
  /** The instruction has a rounding mode, and is illegal if that is reserved, even where the result is always exact. */
  readonly rounds: boolean
  /** It may raise flags. */
  readonly flags: boolean
}

const op = (sources: 0 | 1 | 2 | 3, toInteger: boolean, rounds: boolean, flags: boolean): FloatOperationRow => ({
  sources,
  toInteger,
  rounds,
  flags,
})
const arithmetic = op(2, false, true, true)
const fused = op(3, false, true, true)
const sign = op(2, false, false, false)
const extremum = op(2, false, false, true)
const comparison = op(2, true, false, true)
const toInteger = op(1, true, true, true)
const fromInteger = op(0, false, true, true)

export const FLOAT_OPERATIONS: Readonly<Record<FloatOperation, FloatOperationRow>> = {
  add: arithmetic,
  sub: arithmetic,
  mul: arithmetic,
  div: arithmetic,
  sqrt: op(1, false, true, true),
  madd: fused,
  msub: fused,
  nmsub: fused,
  nmadd: fused,
  sgnj: sign,
  sgnjn: sign,
  sgnjx: sign,
  min: extremum,
  max: extremum,
  eq: comparison,
  lt: comparison,
  le: comparison,
  class: op(1, true, false, false),
  toW: toInteger,
  toWu: toInteger,
  toL: toInteger,
  toLu: toInteger,
  fromW: fromInteger,
  fromWu: fromInteger,
  fromL: fromInteger,
  fromLu: fromInteger,
  convert: op(1, false, true, true),
  moveToInteger: op(1, true, false, false),
  moveFromInteger: op(0, false, false, false),
}
