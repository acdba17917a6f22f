/**
 * Floating-point operations that round: the operators of WebAssembly round to nearest even.
 *
 * R1 A result is kept if it is sure to raise nothing but INEXACT: far enough from underflow and overflow, or exact.
 * R2 Singles are computed in single where that takes one operator, else in double and rounded once more, which is the same
 *    as once: 53 bits are more than 2 * 24 + 1.
 */
import type { FloatFormat } from '../isa/index.ts'
import type { Code } from './code.ts'
import { UNKNOWN } from './float-functions.ts'
import type { ExactnessFunctions, FloatFunctions, FloatOperands, FloatSource } from './float-operands.ts'
import type { FloatScratch } from './float-scratch.ts'
import { Op, Type } from './opcodes.ts'

const BINARY = {
  s: { add: Op.f32Add, sub: Op.f32Sub, mul: Op.f32Mul, div: Op.f32Div },
  d: { add: Op.f64Add, sub: Op.f64Sub, mul: Op.f64Mul, div: Op.f64Div },
} as const
/** Bits of the fraction, and the exponent field of infinities and NaNs. */
const FIELDS = { s: { fraction: 23, special: 0xff }, d: { fraction: 52, special: 0x7ff } } as const
/** Exponent fields from this on are normal whether the number was rounded or not. */
const SMALLEST_FIELD = 2

export class FloatArithmetic {
  private readonly operands: FloatOperands
  private readonly code: Code
  private readonly scratch: FloatScratch
  private readonly functions: FloatFunctions
  /** Local, once it is made. */
  private answer = -1

  constructor(operands: FloatOperands, scratch: FloatScratch, functions: FloatFunctions) {
    this.operands = operands
    this.code = operands.code
    this.scratch = scratch
    this.functions = functions
  }

  binary(operation: 'add' | 'sub' | 'mul' | 'div', format: FloatFormat): void {
    const { code, operands } = this
    const [a, b, result] = this.scratch.of(format)
    operands.need('nearest')
    operands.push('rs1', format)
    code.set(a)
    operands.push('rs2', format)
    code.set(b)
    code.get(a)
    code.get(b)
    code.op(BINARY[format][operation])
    code.set(result)
    // A sum that is tiny is exact.
    if (operation === 'add' || operation === 'sub') this.needFinite(result, format)
    else this.needOrdinary(result, format, operation === 'mul' ? [a, b] : [a])
    operands.inexactIf((functions) => this.pushDiffers(operation, format, functions))
    code.get(result)
    operands.set(format, true)
  }

  sqrt(format: FloatFormat): void {
    const { code, operands } = this
    const [a, , result] = this.scratch.of(format)
    operands.need('nearest')
    operands.push('rs1', format)
    code.tee(a)
    code.op(format === 's' ? Op.f32Sqrt : Op.f64Sqrt)
    code.tee(result)
    code.get(result)
    code.op(format === 's' ? Op.f32Ne : Op.f64Ne)
    operands.giveUpIf()
    operands.inexactIf(({ productDiffers }) => {
      for (const local of [result, result, a]) this.pushDouble(local, format)
      code.call(productDiffers)
      this.giveUpIfUnknown()
    })
    code.get(result)
    operands.set(format, true)
  }

  fused(operation: 'madd' | 'msub' | 'nmsub' | 'nmadd', format: FloatFormat): void {
    const { code, operands } = this
    const single = format === 's'
    const wide = this.scratch.of('d')[2]
    const push = (source: FloatSource, negated: boolean): void => {
      operands.push(source, format)
      if (single) code.op(Op.f64PromoteF32)
      if (negated) code.op(Op.f64Neg)
    }
    operands.need('nearest')
    push('rs1', operation === 'nmsub' || operation === 'nmadd')
    push('rs2', false)
    // The product of two singles fits in a double.
    if (single) code.op(Op.f64Mul)
    push('rs3', operation === 'msub' || operation === 'nmadd')
    code.call(single ? this.functions.addToOdd : this.functions.fma)
    code.set(wide)
    if (single) return this.storeNarrowed(wide)
    this.needFinite(wide, 'd')
    operands.inexactIf(() => {
      code.i32(1)
      operands.giveUpIf()
      code.i32(0)
    })
    code.get(wide)
    operands.set('d', true)
  }

  /** A double in a local, rounded to single, to frd. What lies beside a double of 53 bits must be in its last one. */
  storeNarrowed(wide: number): void {
    const { code, operands } = this
    const result = this.scratch.of('s')[2]
    code.get(wide)
    code.op(Op.f32DemoteF64)
    code.set(result)
    this.needOrdinary(result, 's', [wide], 'd')
    operands.inexactIf(() => {
      this.pushDouble(result, 's')
      code.get(wide)
      code.op(Op.f64Ne)
    })
    code.get(result)
    operands.set('s', true)
  }

  /** Pushes whether the result of an operation on the scratch locals is not exact, as i32. */
  private pushDiffers(
    operation: 'add' | 'sub' | 'mul' | 'div',
    format: FloatFormat,
    { productDiffers, sumDiffers }: ExactnessFunctions,
  ): void {
    const [a, b, result] = this.scratch.of(format)
    const locals = operation === 'div' ? [result, b, a] : [a, b, result]
    for (const [n, local] of locals.entries()) {
      this.pushDouble(local, format)
      if (n === 1 && operation === 'sub') this.code.op(Op.f64Neg)
    }
    this.code.call(operation === 'add' || operation === 'sub' ? sumDiffers : productDiffers)
    this.giveUpIfUnknown()
  }

  private pushDouble(local: number, format: FloatFormat): void {
    this.code.get(local)
    if (format === 's') this.code.op(Op.f64PromoteF32)
  }

  private giveUpIfUnknown(): void {
    const { code } = this
    if (this.answer < 0) this.answer = code.local(Type.i32)
    code.tee(this.answer)
    code.i32(UNKNOWN)
    code.op(Op.i32Eq)
    this.operands.giveUpIf()
    code.get(this.answer)
  }

  /** Pushes the exponent field of a local. */
  private pushField(local: number, format: FloatFormat): void {
    const { code } = this
    code.get(local)
    if (format === 's') {
      code.op(Op.i32ReinterpretF32)
      code.i32(FIELDS.s.fraction)
      code.op(Op.i32ShrU)
    } else {
      code.op(Op.i64ReinterpretF64)
      code.i64(FIELDS.d.fraction)
      code.op(Op.i64ShrU)
      code.op(Op.i32WrapI64)
    }
    code.i32(FIELDS[format].special)
    code.op(Op.i32And)
  }

  private needFinite(result: number, format: FloatFormat): void {
    this.pushField(result, format)
    this.code.i32(FIELDS[format].special)
    this.code.op(Op.i32Eq)
    this.operands.giveUpIf()
  }

  /** Normal and finite, or a zero because one of `factors` is zero. */
  private needOrdinary(
    result: number,
    format: FloatFormat,
    factors: readonly number[],
    factorFormat: FloatFormat = format,
  ): void {
    const { code } = this
    const isZero = (local: number, of: FloatFormat): void => {
      code.get(local)
      if (of === 's') code.f32(0)
      else code.f64(0)
      code.op(of === 's' ? Op.f32Eq : Op.f64Eq)
    }
    this.pushField(result, format)
    code.i32(SMALLEST_FIELD)
    code.op(Op.i32Sub)
    code.i32(FIELDS[format].special - SMALLEST_FIELD)
    code.op(Op.i32GeU)
    code.if()
    for (const [n, factor] of factors.entries()) {
      isZero(factor, factorFormat)
      if (n > 0) code.op(Op.i32Or)
    }
    isZero(result, format)
    code.op(Op.i32And)
    code.op(Op.i32Eqz)
    this.operands.giveUpIf()
    code.end()
  }
}
