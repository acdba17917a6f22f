/**
 * Generated code that turns a 16-bit instruction into the 32-bit one it is short for, from the rows of the table.
 *
 * R1 The result depends on the 16 bits alone, so it may be remembered for ever.
 */
import { type Field, fixed, type Format, type OperandName, ROWS, type Row } from '../isa/index.ts'
import type { Code } from './code.ts'
import { pushField, pushInserted } from './fields.ts'
import { Op, Type } from './opcodes.ts'

/** What an encoding without a row becomes: no row matches this either. */
export const NO_EXPANSION = -1

const OPERANDS: readonly OperandName[] = ['rd', 'rs1', 'rs2', 'imm']
const fieldOf = (format: Format, name: OperandName): Field => format[name] ?? fixed(0)

/** The body of a function from i32 (16 bits) to i32: never 0. */
export function expandBody(code: Code): void {
  const half = 0
  const operand = code.local(Type.i32)
  for (const row of ROWS) {
    if (row.expandsTo === undefined) continue
    code.get(half)
    code.i32(row.mask)
    code.op(Op.i32And)
    code.i32(row.match)
    code.op(Op.i32Eq)
    code.if()
    // An excluded value: leave the arm and try the rows that follow.
    for (const [name, value] of row.except) {
      pushField(code, fieldOf(row.format, name), half)
      code.i32(value)
      code.op(Op.i32Eq)
      code.brIf(code.depth)
    }
    pushExpansion(code, row, row.expandsTo, half, operand)
    code.return()
    code.end()
  }
  code.i32(NO_EXPANSION)
}

function pushExpansion(code: Code, row: Row, target: Row, half: number, operand: number): void {
  code.i32(target.match | 0)
  for (const name of OPERANDS) {
    if (target.format[name] === undefined) continue
    pushField(code, fieldOf(row.format, name), half)
    code.set(operand)
    if (pushInserted(code, fieldOf(target.format, name), operand)) code.op(Op.i32Or)
  }
}
