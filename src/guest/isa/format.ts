/**
 * Instruction formats: where an instruction's bits hold its operands, and how the operands are written.
 * RISC-V unprivileged specification 20240411, sections 2.3 and 26 (compressed).
 *
 * R1 A field is described once, as slices of bits; decoding and encoding both follow from it.
 * R2 A compressed format names the operands of the instruction it expands to: a register that the encoding implies
 *    is a field without slices.
 */

/** `width` instruction bits from `low` upwards are bits `to` upwards of the operand. */
export interface Slice {
  readonly low: number
  readonly width: number
  readonly to: number
}

/** One operand: its slices put together, sign-extended if `signed`, plus `bias`. */
export interface Field {
  readonly slices: readonly Slice[]
  readonly signed: boolean
  /** Added to what the slices hold: 8 for the compressed registers x8-x15, the value itself for implied operands. */
  readonly bias: number
  /** Bits of the operand up to and including its highest slice, and how many of the lowest are always zero. */
  readonly width: number
  readonly zeros: number
}

/** Floating-point registers are rd, rs1, rs2 and rs3 as well; `rm` is the rounding mode in bits 14:12. */
export type OperandName = 'rd' | 'rs1' | 'rs2' | 'rs3' | 'rm' | 'imm'
export const OPERAND_NAMES: readonly OperandName[] = ['rd', 'rs1', 'rs2', 'rs3', 'rm', 'imm']
export type Operands = Readonly<Record<OperandName, number>>

/** Operands that a format does not name are 0. `syntax` is the operand text; its words are those of the disassembler. */
export interface Format extends Partial<Readonly<Record<OperandName, Field>>> {
  readonly syntax: string
}

/** Slices are given as `[low, width, to]`. */
export function field(slices: readonly (readonly [number, number, number])[], signed: boolean, bias = 0): Field {
  const tops = slices.map(([, width, to]) => width + to)
  const bottoms = slices.map(([, , to]) => to)
  return {
    slices: slices.map(([low, width, to]) => ({ low, width, to })),
    signed,
    bias,
    width: Math.max(0, ...tops),
    zeros: slices.length === 0 ? 0 : Math.min(...bottoms),
  }
}

export const unsigned = (...slices: readonly (readonly [number, number, number])[]): Field => field(slices, false)
export const signed = (...slices: readonly (readonly [number, number, number])[]): Field => field(slices, true)
/** An operand that the encoding implies. */
export const fixed = (value: number): Field => field([], false, value)
/** A register in five bits, and one of x8-x15 in three. */
export const register = (low: number): Field => field([[low, 5, 0]], false)
export const shortRegister = (low: number): Field => field([[low, 3, 0]], false, 8)

/** The operand in an instruction, as a signed 32-bit number. */
export function extract(f: Field, word: number): number {
  let value = 0
  for (const { low, width, to } of f.slices) value |= ((word >>> low) & ((1 << width) - 1)) << to
  if (f.signed) value = (value << (32 - f.width)) >> (32 - f.width)
  return value + f.bias
}

/** The instruction bits of an operand; bits that the field has no place for are lost. */
export function insert(f: Field, operand: number): number {
  let word = 0
  for (const { low, width, to } of f.slices) word |= (((operand - f.bias) >>> to) & ((1 << width) - 1)) << low
  return word
}

const rd = register(7)
const rs1 = register(15)
const rs2 = register(20)
const immI = signed([20, 12, 0])

/** Formats of the 32-bit instructions. */
export const R: Format = { rd, rs1, rs2, syntax: 'rd,rs1,rs2' }
export const R_UNARY: Format = { rd, rs1, syntax: 'rd,rs1' }
export const I: Format = { rd, rs1, imm: immI, syntax: 'rd,rs1,imm' }
export const LOAD: Format = { rd, rs1, imm: immI, syntax: 'rd,imm(rs1)' }
export const STORE: Format = { rs1, rs2, imm: signed([7, 5, 0], [25, 7, 5]), syntax: 'rs2,imm(rs1)' }
export const BRANCH: Format = {
  rs1,
  rs2,
  imm: signed([8, 4, 1], [25, 6, 5], [7, 1, 11], [31, 1, 12]),
  syntax: 'rs1,rs2,target',
}
export const UPPER: Format = { rd, imm: signed([12, 20, 12]), syntax: 'rd,upper' }
export const JUMP: Format = { rd, imm: signed([21, 10, 1], [20, 1, 11], [12, 8, 12], [31, 1, 20]), syntax: 'rd,target' }
export const SHIFT: Format = { rd, rs1, imm: unsigned([20, 6, 0]), syntax: 'rd,rs1,shamt' }
export const SHIFTW: Format = { rd, rs1, imm: unsigned([20, 5, 0]), syntax: 'rd,rs1,shamt' }
export const FENCE: Format = { rd, rs1, imm: unsigned([20, 12, 0]), syntax: 'pred,succ' }
/** The whole instruction is opcode, or carries fields that are ignored. */
export const NONE: Format = { syntax: '' }
export const CSR: Format = { rd, rs1, imm: unsigned([20, 12, 0]), syntax: 'rd,csr,rs1' }
/** Here rs1 is a five-bit constant. */
export const CSRI: Format = { rd, rs1, imm: unsigned([20, 12, 0]), syntax: 'rd,csr,zimm' }
export const AMO: Format = { rd, rs1, rs2, syntax: 'rd,rs2,(rs1)' }
export const LR: Format = { rd, rs1, syntax: 'rd,(rs1)' }
export const FENCE_VMA: Format = { rs1, rs2, syntax: 'rs1,rs2' }

const rs3 = register(27)
const rm = unsigned([12, 3, 0])

/** Floating-point formats: f and x say where each register is; `_RM` has a rounding mode. */
export const F_LOAD: Format = { ...LOAD, syntax: 'frd,imm(rs1)' }
export const F_STORE: Format = { ...STORE, syntax: 'frs2,imm(rs1)' }
export const F_FFF_RM: Format = { rd, rs1, rs2, rs3, rm, syntax: 'frd,frs1,frs2,frs3,rm' }
export const F_FF_RM: Format = { rd, rs1, rs2, rm, syntax: 'frd,frs1,frs2,rm' }
export const F_F_RM: Format = { rd, rs1, rm, syntax: 'frd,frs1,rm' }
export const F_X_RM: Format = { rd, rs1, rm, syntax: 'frd,rs1,rm' }
/** Conversions that are always exact: their rounding mode is written only if it is not the first. */
export const F_F_EXACT: Format = { rd, rs1, rm, syntax: 'frd,frs1,exact' }
export const F_X_EXACT: Format = { rd, rs1, rm, syntax: 'frd,rs1,exact' }
export const X_F_RM: Format = { rd, rs1, rm, syntax: 'rd,frs1,rm' }
export const F_FF: Format = { rd, rs1, rs2, syntax: 'frd,frs1,frs2' }
export const X_FF: Format = { rd, rs1, rs2, syntax: 'rd,frs1,frs2' }
export const F_X: Format = { rd, rs1, syntax: 'frd,rs1' }
export const X_F: Format = { rd, rs1, syntax: 'rd,frs1' }

const x0 = fixed(0)
const ra = fixed(1)
const sp = fixed(2)
const full = register(7)
const fullRs2 = register(2)
const upperShort = shortRegister(7)
const lowerShort = shortRegister(2)
const imm6 = signed([2, 5, 0], [12, 1, 5])
const shamt6 = unsigned([2, 5, 0], [12, 1, 5])
const offsetW = unsigned([6, 1, 2], [10, 3, 3], [5, 1, 6])
const offsetD = unsigned([10, 3, 3], [5, 2, 6])
const immJ = signed([3, 3, 1], [11, 1, 4], [2, 1, 5], [7, 1, 6], [6, 1, 7], [9, 2, 8], [8, 1, 10], [12, 1, 11])
const immB = signed([3, 2, 1], [10, 2, 3], [2, 1, 5], [5, 2, 6], [12, 1, 8])
const wideImm = unsigned([6, 1, 2], [5, 1, 3], [11, 2, 4], [7, 4, 6])
const spImm = signed([6, 1, 4], [2, 1, 5], [5, 1, 6], [3, 2, 7], [12, 1, 9])

/** Formats of the 16-bit instructions, named after the specification's CI, CSS, CL and so on. */
export const CI: Format = { rd: full, rs1: full, imm: imm6, syntax: 'rd,imm' }
export const CI_LI: Format = { rd: full, rs1: x0, imm: imm6, syntax: 'rd,imm' }
export const CI_LUI: Format = { rd: full, imm: signed([2, 5, 12], [12, 1, 17]), syntax: 'rd,upper' }
export const CI_16SP: Format = { rd: sp, rs1: sp, imm: spImm, syntax: 'rd,imm' }
export const CI_NOP: Format = { rd: x0, rs1: x0, imm: imm6, syntax: 'hint' }
export const CI_SHIFT: Format = { rd: full, rs1: full, imm: shamt6, syntax: 'rd,shamt' }
export const CI_LWSP: Format = {
  rd: full,
  rs1: sp,
  imm: unsigned([4, 3, 2], [12, 1, 5], [2, 2, 6]),
  syntax: 'rd,imm(rs1)',
}
export const CI_LDSP: Format = {
  rd: full,
  rs1: sp,
  imm: unsigned([5, 2, 3], [12, 1, 5], [2, 3, 6]),
  syntax: 'rd,imm(rs1)',
}
export const CSS_SW: Format = { rs1: sp, rs2: fullRs2, imm: unsigned([9, 4, 2], [7, 2, 6]), syntax: 'rs2,imm(rs1)' }
export const CSS_SD: Format = { rs1: sp, rs2: fullRs2, imm: unsigned([10, 3, 3], [7, 3, 6]), syntax: 'rs2,imm(rs1)' }
export const CIW: Format = { rd: lowerShort, rs1: sp, imm: wideImm, syntax: 'rd,rs1,imm' }
export const CL_W: Format = { rd: lowerShort, rs1: upperShort, imm: offsetW, syntax: 'rd,imm(rs1)' }
export const CL_D: Format = { rd: lowerShort, rs1: upperShort, imm: offsetD, syntax: 'rd,imm(rs1)' }
export const CS_W: Format = { rs2: lowerShort, rs1: upperShort, imm: offsetW, syntax: 'rs2,imm(rs1)' }
export const CS_D: Format = { rs2: lowerShort, rs1: upperShort, imm: offsetD, syntax: 'rs2,imm(rs1)' }
export const CA: Format = { rd: upperShort, rs1: upperShort, rs2: lowerShort, syntax: 'rd,rs2' }
export const CB: Format = { rs1: upperShort, rs2: x0, imm: immB, syntax: 'rs1,target' }
export const CB_IMM: Format = { rd: upperShort, rs1: upperShort, imm: imm6, syntax: 'rd,imm' }
export const CB_SHIFT: Format = { rd: upperShort, rs1: upperShort, imm: shamt6, syntax: 'rd,shamt' }
export const CJ: Format = { rd: x0, imm: immJ, syntax: 'target' }
export const CR_JR: Format = { rd: x0, rs1: full, syntax: 'rs1' }
export const CR_JALR: Format = { rd: ra, rs1: full, syntax: 'rs1' }
export const CR_MV: Format = { rd: full, rs1: x0, rs2: fullRs2, syntax: 'rd,rs2' }
export const CR_ADD: Format = { rd: full, rs1: full, rs2: fullRs2, syntax: 'rd,rs2' }
export const C_FLDSP: Format = { ...CI_LDSP, syntax: 'frd,imm(rs1)' }
export const C_FSDSP: Format = { ...CSS_SD, syntax: 'frs2,imm(rs1)' }
export const C_FLD: Format = { ...CL_D, syntax: 'frd,imm(rs1)' }
export const C_FSD: Format = { ...CS_D, syntax: 'frs2,imm(rs1)' }
