/**
 * Floating-point instructions as WebAssembly operators, where those give exactly what soft-float gives. Everything else is
 * given up before anything has happened. float/native.ts has some of the same rules in JavaScript.
 *
 * R1 Of the flags only INEXACT is raised here. What may raise another one is given up, and so is a result that is a NaN.
 * R2 A single that is not boxed is given up.
 */
import type { FloatFormat, FloatOperation } from '../isa/index.ts'
import type { Code } from './code.ts'
import { FloatArithmetic } from './float-arithmetic.ts'
import { FloatConversion } from './float-conversion.ts'
import type { FloatFunctions, FloatOperands, FloatSource } from './float-operands.ts'
import { FloatScratch } from './float-scratch.ts'
import { Op } from './opcodes.ts'

const COMPARE = {
  s: { eq: Op.f32Eq, lt: Op.f32Lt, le: Op.f32Le },
  d: { eq: Op.f64Eq, lt: Op.f64Lt, le: Op.f64Le },
} as const
const EXTREMUM = { s: { min: Op.f32Min, max: Op.f32Max }, d: { min: Op.f64Min, max: Op.f64Max } } as const
/** Bits of a format as an unsigned i64. */
const LAYOUT = {
  s: { sign: 1n << 31n, smallestNormal: 1n << 23n, infinity: 0xffn << 23n, quiet: 0x1ffn << 22n },
  d: { sign: 1n << 63n, smallestNormal: 1n << 52n, infinity: 0x7ffn << 52n, quiet: 0xfffn << 51n },
} as const

export class FloatWriter {
  private readonly operands: FloatOperands
  private readonly code: Code
  private readonly scratch: FloatScratch
  private readonly arithmetic: FloatArithmetic
  private readonly conversion: FloatConversion

  constructor(operands: FloatOperands, functions: FloatFunctions) {
    this.operands = operands
    this.code = operands.code
    this.scratch = new FloatScratch(operands.code)
    this.arithmetic = new FloatArithmetic(operands, this.scratch, functions)
    this.conversion = new FloatConversion(operands, this.scratch, this.arithmetic)
  }

  write(operation: FloatOperation, format: FloatFormat): void {
    const { arithmetic, code, conversion, operands } = this
    switch (operation) {
      case 'add':
      case 'sub':
      case 'mul':
      case 'div':
        return arithmetic.binary(operation, format)
      case 'sqrt':
        return arithmetic.sqrt(format)
      case 'madd':
      case 'msub':
      case 'nmsub':
      case 'nmadd':
        return arithmetic.fused(operation, format)
      case 'convert':
        return format === 's' ? conversion.narrow() : conversion.widen()
      case 'eq':
      case 'lt':
      case 'le':
        return this.compare(operation, format)
      case 'min':
      case 'max':
        return this.extremum(operation, format)
      case 'class':
        return this.classify(format)
      case 'sgnj':
      case 'sgnjn':
      case 'sgnjx':
        return this.signs(operation, format)
      case 'moveToInteger':
        operands.need('nothing')
        operands.pushBits('rs1')
        if (format === 's') code.op(Op.i64Extend32S)
        return operands.rd()
      case 'moveFromInteger':
        operands.need('nothing')
        operands.rs1()
        if (format === 's') {
          code.i64Big(-1n << 32n)
          code.op(Op.i64Or)
        }
        return operands.setBits()
      case 'toW':
      case 'toWu':
      case 'toL':
      case 'toLu':
        return conversion.toInteger(operation, format)
      case 'fromW':
      case 'fromWu':
      case 'fromL':
      case 'fromLu':
        return conversion.fromInteger(operation, format)
    }
  }

  private compare(operation: 'eq' | 'lt' | 'le', format: FloatFormat): void {
    const { code, operands } = this
    operands.need('nothing')
    const [a, b] = this.takeBoth(format)
    // A quiet NaN is not equal to anything; every other comparison with one is invalid.
    if (operation === 'eq') this.giveUpOnSignaling(format)
    else {
      for (const source of ['rs1', 'rs2'] as const) {
        if (operands.isNumber(source, format)) continue
        this.pushIsNan(source === 'rs1' ? a : b, format)
        operands.giveUpIf()
        operands.isNowNumber(source, format)
      }
    }
    code.get(a)
    code.get(b)
    code.op(COMPARE[format][operation])
    code.op(Op.i64ExtendI32U)
    operands.rd()
  }

  /** A NaN only if both operands are; minus zero is less than zero, as it is for WebAssembly. */
  private extremum(operation: 'min' | 'max', format: FloatFormat): void {
    const { code, operands } = this
    operands.need('nothing')
    const [a, b, result] = this.takeBoth(format)
    code.get(a)
    code.get(b)
    code.op(EXTREMUM[format][operation])
    code.set(result)
    const numbers = operands.isNumber('rs1', format) && operands.isNumber('rs2', format)
    if (!numbers) {
      this.pushIsNan(result, format)
      code.if()
      this.giveUpOnSignaling(format)
      code.get(b)
      code.get(a)
      this.pushIsNan(a, format)
      code.op(Op.select)
      code.tee(result)
      code.get(result)
      code.op(format === 's' ? Op.f32Ne : Op.f64Ne)
      operands.giveUpIf()
      code.end()
    }
    code.get(result)
    operands.set(format, true)
  }

  /** Both operands in scratch locals, and one for a result. */
  private takeBoth(format: FloatFormat): readonly [number, number, number] {
    const [a, b, result] = this.scratch.of(format)
    this.operands.push('rs1', format)
    this.code.set(a)
    this.operands.push('rs2', format)
    this.code.set(b)
    return [a, b, result]
  }

  private pushIsNan(local: number, format: FloatFormat): void {
    this.code.get(local)
    this.code.get(local)
    this.code.op(format === 's' ? Op.f32Ne : Op.f64Ne)
  }

  /** Of the operands in the scratch locals. */
  private giveUpOnSignaling(format: FloatFormat): void {
    const { code, operands } = this
    const sources: readonly FloatSource[] = ['rs1', 'rs2']
    for (const [n, source] of sources.entries()) {
      if (operands.isNumber(source, format)) continue
      const local = this.scratch.of(format)[n] as number
      this.pushIsNan(local, format)
      code.get(local)
      if (format === 's') {
        code.op(Op.i32ReinterpretF32)
        code.i32(1 << 22)
        code.op(Op.i32And)
      } else {
        code.op(Op.i64ReinterpretF64)
        code.i64Big(1n << 51n)
        code.op(Op.i64And)
        code.i64(0)
        code.op(Op.i64Ne)
      }
      code.op(Op.i32Eqz)
      code.op(Op.i32And)
      operands.giveUpIf()
    }
  }

  /** From zero to quiet NaN the bits grow, with the number of the class; down from zero the negative ones have their own. */
  private classify(format: FloatFormat): void {
    const { code, operands } = this
    const { sign, smallestNormal, infinity, quiet } = LAYOUT[format]
    const [bits, size, number] = [this.scratch.wide(0), this.scratch.wide(1), this.scratch.wide(2)]
    operands.need('nothing')
    operands.push('rs1', format)
    if (format === 's') {
      code.op(Op.i32ReinterpretF32)
      code.op(Op.i64ExtendI32U)
    } else code.op(Op.i64ReinterpretF64)
    code.tee(bits)
    code.i64Big(sign - 1n)
    code.op(Op.i64And)
    code.set(size)
    code.i64(4)
    for (const least of [1n, smallestNormal, infinity, infinity + 1n, quiet]) {
      code.get(size)
      code.i64Big(least)
      code.op(Op.i64GeU)
      code.op(Op.i64ExtendI32U)
      code.op(Op.i64Add)
    }
    code.set(number)
    code.i64(1)
    code.i64(7)
    code.get(number)
    code.op(Op.i64Sub)
    code.get(number)
    code.get(bits)
    code.get(size)
    code.op(Op.i64Ne)
    code.get(size)
    code.i64Big(infinity)
    code.op(Op.i64LeU)
    code.op(Op.i32And)
    code.op(Op.select)
    code.op(Op.i64Shl)
    operands.rd()
  }

  private signs(operation: 'sgnj' | 'sgnjn' | 'sgnjx', format: FloatFormat): void {
    const { code, operands } = this
    const single = format === 's'
    operands.need('nothing')
    const isNumber = operands.isNumber('rs1', format)
    operands.push('rs1', format)
    if (operands.isSame('rs1', 'rs2')) {
      if (operation === 'sgnjn') code.op(single ? Op.f32Neg : Op.f64Neg)
      else if (operation === 'sgnjx') code.op(single ? Op.f32Abs : Op.f64Abs)
    } else if (operation === 'sgnjx') {
      this.pushAsBits(format)
      operands.push('rs2', format)
      this.pushAsBits(format)
      if (single) code.i32(1 << 31)
      else code.i64Big(-1n << 63n)
      code.op(single ? Op.i32And : Op.i64And)
      code.op(single ? Op.i32Xor : Op.i64Xor)
      code.op(single ? Op.f32ReinterpretI32 : Op.f64ReinterpretI64)
    } else {
      operands.push('rs2', format)
      if (operation === 'sgnjn') code.op(single ? Op.f32Neg : Op.f64Neg)
      code.op(single ? Op.f32Copysign : Op.f64Copysign)
    }
    operands.set(format, isNumber)
  }

  private pushAsBits(format: FloatFormat): void {
    this.code.op(format === 's' ? Op.i32ReinterpretF32 : Op.i64ReinterpretF64)
  }
}
