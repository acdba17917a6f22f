/**
 * What an atomic read-modify-write stores, as WebAssembly operators. RISC-V unprivileged specification 20240411, section 13.4.
 */
import type { AmoOperation } from '../isa/index.ts'
import type { Code } from './code.ts'
import { Op } from './opcodes.ts'

const ARITHMETIC: Readonly<Partial<Record<AmoOperation, 0x7c | 0x83 | 0x84 | 0x85>>> = {
  add: Op.i64Add,
  and: Op.i64And,
  or: Op.i64Or,
  xor: Op.i64Xor,
}
/** The old value is kept if it compares so with the operand; both are sign-extended, which keeps unsigned order. */
const COMPARISONS: Readonly<Partial<Record<AmoOperation, 0x53 | 0x54 | 0x55 | 0x56>>> = {
  min: Op.i64LtS,
  max: Op.i64GtS,
  minu: Op.i64LtU,
  maxu: Op.i64GtU,
}

/** Pushes it. @param old i64 local: what was there, sign-extended; @param rs2 pushes the operand */
export function pushCombined(code: Code, size: 4 | 8, operation: AmoOperation, old: number, rs2: () => void): void {
  const operand = (): void => {
    rs2()
    if (size === 4) code.op(Op.i64Extend32S)
  }
  if (operation !== 'swap') code.get(old)
  operand()
  const arithmetic = ARITHMETIC[operation]
  if (arithmetic !== undefined) return code.op(arithmetic)
  const comparison = COMPARISONS[operation]
  if (comparison === undefined) return
  code.get(old)
  operand()
  code.op(comparison)
  code.op(Op.select)
}
