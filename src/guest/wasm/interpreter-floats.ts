/**
 * Floating-point registers and the state of the unit as the WebAssembly interpreter has them: in the hart's area, asked anew
 * by each instruction.
 */
import { Cell } from '../hart/index.ts'
import type { Field, FloatFormat, Row } from '../isa/index.ts'
import type { Code } from './code.ts'
import { pushField } from './fields.ts'
import type { ExactnessFunctions, FloatNeed, FloatOperands, FloatSource } from './float-operands.ts'
import { Mem, Op, Type } from './opcodes.ts'

const F0 = Cell.f0 * 8
const FCSR = Cell.fcsr * 8
const STATUS = Cell.sstatus * 8
const FS = 0x6000
const INEXACT = 1
/** Values of frm above this are reserved. */
const LAST_MODE = 4
const [NEAREST, TO_ZERO, DOWN, UP] = [0, 1, 2, 3]
const DYNAMIC = 7

/** What the emitter has of the instruction at hand. */
export interface FloatHost {
  /** The row that is being written. */
  row(): Row
  /** Pushes the address, less the offset of f0, of the register that a field names. */
  cell(field: Field): void
  rs1(): void
  rd(): void
}

export class InterpreterFloats implements FloatOperands {
  readonly code: Code
  private readonly host: FloatHost
  /** i32: the hart's area, the instruction word; the label of what gives up. */
  private readonly base: number
  private readonly word: number
  private readonly slow: () => number
  private readonly exactness: ExactnessFunctions
  private readonly mode: number
  private readonly value: { readonly s: number; readonly d: number }
  private readonly bits: number

  constructor(
    code: Code,
    host: FloatHost,
    frame: { readonly base: number; readonly word: number; readonly slow: number },
    exactness: ExactnessFunctions,
  ) {
    this.code = code
    this.host = host
    this.base = frame.base
    this.word = frame.word
    this.slow = () => frame.slow
    this.exactness = exactness
    this.mode = code.local(Type.i32)
    this.value = { s: code.local(Type.f32), d: code.local(Type.f64) }
    this.bits = code.local(Type.i64)
  }

  need(need: FloatNeed): void {
    const { code } = this
    this.needOn()
    if (need === 'nothing') return
    this.pushMode()
    code.tee(this.mode)
    if (need === 'nearest') return this.giveUpIf()
    // Modes 5 and 6 are no instruction at all; nearest-away is not here.
    code.i32(need === 'legal mode' ? LAST_MODE : UP)
    code.op(Op.i32GtU)
    this.giveUpIf()
  }

  /** Gives up if sstatus.FS is Off. */
  needOn(): void {
    const { code } = this
    code.get(this.base)
    code.mem(Mem.i32Load, STATUS)
    code.i32(FS)
    code.op(Op.i32And)
    code.op(Op.i32Eqz)
    this.giveUpIf()
  }

  /** sstatus.FS becomes Dirty. */
  dirty(): void {
    for (const [offset, bits] of [
      [STATUS, FS],
      [STATUS + 4, 1 << 31],
    ] as const) {
      this.code.get(this.base)
      this.code.get(this.base)
      this.code.mem(Mem.i32Load, offset)
      this.code.i32(bits)
      this.code.op(Op.i32Or)
      this.code.mem(Mem.i32Store, offset)
    }
  }

  giveUpIf(): void {
    this.code.brIf(this.slow())
  }

  push(source: FloatSource, format: FloatFormat): void {
    const { code } = this
    if (format === 's') {
      this.cell(source)
      code.mem(Mem.i32Load, F0 + 4)
      code.i32(-1)
      code.op(Op.i32Ne)
      this.giveUpIf()
    }
    this.cell(source)
    code.mem(format === 's' ? Mem.f32Load : Mem.f64Load, F0)
  }

  pushBits(source: FloatSource): void {
    this.cell(source)
    this.code.mem(Mem.i64Load, F0)
  }

  /** Each handler is reached from any other. */
  isSame(): boolean {
    return false
  }
  isNumber(): boolean {
    return false
  }
  isNowNumber(): void {}

  set(format: FloatFormat): void {
    const { code } = this
    const value = this.value[format]
    code.set(value)
    this.cell('rd')
    code.get(value)
    code.mem(format === 's' ? Mem.f32Store : Mem.f64Store, F0)
    if (format === 's') {
      this.cell('rd')
      code.i32(-1)
      code.mem(Mem.i32Store, F0 + 4)
    }
    this.dirty()
  }

  setBits(): void {
    this.code.set(this.bits)
    this.cell('rd')
    this.code.get(this.bits)
    this.code.mem(Mem.i64Store, F0)
    this.dirty()
  }

  roundToInteger(): void {
    const { code, mode } = this
    const value = this.value.d
    code.set(value)
    const rounded = (
      operator: typeof Op.f64Nearest | typeof Op.f64Trunc | typeof Op.f64Floor | typeof Op.f64Ceil,
    ): void => {
      code.get(value)
      code.op(operator)
    }
    const choose = (than: number): void => {
      code.get(mode)
      code.i32(than)
      code.op(Op.i32Eq)
      code.op(Op.select)
    }
    rounded(Op.f64Trunc)
    rounded(Op.f64Nearest)
    rounded(Op.f64Floor)
    rounded(Op.f64Ceil)
    choose(DOWN)
    choose(NEAREST)
    choose(TO_ZERO)
  }

  inexactIf(test: (functions: ExactnessFunctions) => void): void {
    const { code } = this
    code.get(this.base)
    code.mem(Mem.i32Load, FCSR)
    code.i32(INEXACT)
    code.op(Op.i32And)
    code.op(Op.i32Eqz)
    code.if()
    test(this.exactness)
    code.if()
    code.get(this.base)
    code.get(this.base)
    code.mem(Mem.i32Load, FCSR)
    code.i32(INEXACT)
    code.op(Op.i32Or)
    code.mem(Mem.i32Store, FCSR)
    this.dirty()
    code.end()
    code.end()
  }

  rs1(): void {
    this.host.rs1()
  }
  rd(): void {
    this.host.rd()
  }

  private cell(name: 'rd' | FloatSource): void {
    this.host.cell(this.host.row().format[name] as Field)
  }

  /** Pushes the mode of the instruction: its rm field, or what frm holds. */
  private pushMode(): void {
    const { code } = this
    const rm = (): void => pushField(code, this.host.row().format.rm as Field, this.word)
    code.get(this.base)
    code.mem(Mem.i32Load, FCSR)
    code.i32(5)
    code.op(Op.i32ShrU)
    rm()
    rm()
    code.i32(DYNAMIC)
    code.op(Op.i32Eq)
    code.op(Op.select)
  }
}
