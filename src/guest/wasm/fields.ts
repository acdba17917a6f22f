/** Operand fields of an instruction (isa/format.ts) taken apart and put together by generated code, for words not known before. */
import type { Field, Slice } from '../isa/index.ts'
import type { Code } from './code.ts'
import { Op } from './opcodes.ts'

/** Shifts the i32 on the stack: left if the amount is positive. */
function shift(code: Code, amount: number): void {
  if (amount === 0) return
  code.i32(Math.abs(amount))
  code.op(amount > 0 ? Op.i32Shl : Op.i32ShrU)
}

/** The slice that holds the sign of a field, if it has one. */
const signSlice = (field: Field): Slice | undefined =>
  field.signed ? field.slices.find((slice) => slice.to + slice.width === field.width) : undefined

/** Pushes the operand of the word in a local, as `extract` computes it, shifted left by `scale` bits. */
export function pushField(code: Code, field: Field, word: number, scale = 0): void {
  let parts = 0
  for (const slice of field.slices) {
    const { low, width, to } = slice
    code.get(word)
    if (slice === signSlice(field)) {
      // To the top, and back down with the sign.
      shift(code, 32 - low - width)
      code.i32(32 - width - to - scale)
      code.op(Op.i32ShrS)
      if (to + scale > 0 && low > 0) {
        code.i32(-(2 ** (to + scale)))
        code.op(Op.i32And)
      }
    } else {
      shift(code, to + scale - low)
      if (low + width < 32 || to + scale > 0) {
        code.i32((2 ** width - 1) * 2 ** (to + scale))
        code.op(Op.i32And)
      }
    }
    if (parts++ > 0) code.op(Op.i32Or)
  }
  if (parts === 0) code.i32(field.bias * 2 ** scale)
  else if (field.bias !== 0) {
    code.i32(field.bias * 2 ** scale)
    code.op(Op.i32Add)
  }
}

/** Pushes the instruction bits of the operand in a local, as `insert` computes them. @returns false for a field without bits */
export function pushInserted(code: Code, field: Field, operand: number): boolean {
  let parts = 0
  for (const { low, width, to } of field.slices) {
    code.get(operand)
    if (field.bias !== 0) {
      code.i32(field.bias)
      code.op(Op.i32Sub)
    }
    shift(code, low - to)
    code.i32(((2 ** width - 1) * 2 ** low) | 0)
    code.op(Op.i32And)
    if (parts++ > 0) code.op(Op.i32Or)
  }
  return parts > 0
}
