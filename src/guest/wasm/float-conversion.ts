/** Conversions between the formats, and between floating-point numbers and integers. */
import type { FloatFormat } from '../isa/index.ts'
import type { Code } from './code.ts'
import type { FloatArithmetic } from './float-arithmetic.ts'
import type { FloatOperands } from './float-operands.ts'
import type { FloatScratch } from './float-scratch.ts'
import { Op } from './opcodes.ts'

/** Integers by their names in `FloatOperation`; the bounds of those that come out lie beside what is representable. */
const INTEGERS = {
  W: { from: { s: Op.f32ConvertI32S, d: Op.f64ConvertI32S }, low: -(2 ** 31) - 1, high: 2 ** 31 },
  Wu: { from: { s: Op.f32ConvertI32U, d: Op.f64ConvertI32U }, low: -1, high: 2 ** 32 },
  L: { from: { s: Op.f32ConvertI64S, d: Op.f64ConvertI64S }, low: -(2 ** 63), high: 2 ** 63 },
  Lu: { from: { s: Op.f32ConvertI64U, d: Op.f64ConvertI64U }, low: -1, high: 2 ** 63 },
} as const
type Kind = 'W' | 'Wu' | 'L' | 'Lu'

export class FloatConversion {
  private readonly operands: FloatOperands
  private readonly code: Code
  private readonly scratch: FloatScratch
  private readonly arithmetic: FloatArithmetic

  constructor(operands: FloatOperands, scratch: FloatScratch, arithmetic: FloatArithmetic) {
    this.operands = operands
    this.code = operands.code
    this.scratch = scratch
    this.arithmetic = arithmetic
  }

  /** Double to single. */
  narrow(): void {
    const wide = this.scratch.of('d')[2]
    this.operands.need('nearest')
    this.operands.push('rs1', 'd')
    this.code.set(wide)
    this.arithmetic.storeNarrowed(wide)
  }

  /** Single to double, which is exact. */
  widen(): void {
    const { code, operands } = this
    const [a] = this.scratch.of('s')
    operands.need('legal mode')
    operands.push('rs1', 's')
    code.set(a)
    if (!operands.isNumber('rs1', 's')) {
      code.get(a)
      code.get(a)
      code.op(Op.f32Ne)
      operands.giveUpIf()
      operands.isNowNumber('rs1', 's')
    }
    code.get(a)
    code.op(Op.f64PromoteF32)
    operands.set('d', true)
  }

  /** What is out of range is given up. */
  toInteger(operation: `to${Kind}`, format: FloatFormat): void {
    const { code, operands } = this
    const kind = operation.slice(2) as Kind
    const [a, , rounded] = this.scratch.of('d')
    const { low, high } = INTEGERS[kind]
    operands.need('any mode')
    operands.push('rs1', format)
    if (format === 's') code.op(Op.f64PromoteF32)
    code.tee(a)
    operands.roundToInteger()
    code.tee(rounded)
    code.f64(low)
    code.op(Op.f64Gt)
    code.get(rounded)
    code.f64(high)
    code.op(Op.f64Lt)
    code.op(Op.i32And)
    code.op(Op.i32Eqz)
    operands.giveUpIf()
    operands.inexactIf(() => {
      code.get(a)
      code.get(rounded)
      code.op(Op.f64Ne)
    })
    code.get(rounded)
    code.op(Op.i64TruncSatF64S)
    if (kind === 'Wu') code.op(Op.i64Extend32S)
    operands.rd()
  }

  fromInteger(operation: `from${Kind}`, format: FloatFormat): void {
    const { code, operands } = this
    const kind = operation.slice(4) as Kind
    const wide = kind === 'L' || kind === 'Lu'
    const exact = format === 'd' && !wide
    const result = this.scratch.of(format)[2]
    operands.need(exact ? 'legal mode' : 'nearest')
    operands.rs1()
    if (!wide) code.op(Op.i32WrapI64)
    code.op(INTEGERS[kind].from[format])
    code.set(result)
    if (!exact) operands.inexactIf(() => this.pushDiffers(kind, result, format))
    code.get(result)
    operands.set(format, true)
  }

  /** Pushes whether `result` is not the integer in rs1: converted back, it is another one. */
  private pushDiffers(kind: Kind, result: number, format: FloatFormat): void {
    const { code, operands } = this
    const wide = this.scratch.of('d')[0]
    code.get(result)
    if (format === 's') code.op(Op.f64PromoteF32)
    code.tee(wide)
    code.f64(INTEGERS[kind].high)
    code.op(Op.f64Ge)
    operands.giveUpIf()
    code.get(wide)
    code.op(Op.i64TruncSatF64S)
    operands.rs1()
    if (kind === 'W') code.op(Op.i64Extend32S)
    else if (kind === 'Wu') {
      code.i64(0xffff_ffff)
      code.op(Op.i64And)
    }
    code.op(Op.i64Ne)
  }
}
