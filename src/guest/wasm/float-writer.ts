/**
 * Floating-point instructions as WebAssembly operators, where those give exactly what soft-float gives; float/native.ts
 * has the same rules in JavaScript. Everything else is given up before anything has happened.
 *
 * R1 Arithmetic needs the mode nearest-even with INEXACT raised already, and an ordinary result: then no flag changes.
 * R2 A single that is not boxed, and a NaN where it matters, is given up.
 */
import { Cell } from '../hart/index.ts'
import type { FloatFormat, FloatOperation } from '../isa/index.ts'
import type { Code } from './code.ts'
import { Mem, Op, Type } from './opcodes.ts'

/** What differs between the generators. */
export interface FloatOperands {
  readonly code: Code
  /** Pushes an i32 to which the offset of f0 is added: `area + 8 * register`. */
  pushRegister(name: 'rd' | 'rs1' | 'rs2' | 'rs3'): void
  /** Pushes the i32 area. */
  pushArea(): void
  /** Pushes the rm field as i32. */
  pushMode(): void
  /** Pushes rs1, and takes rd from the stack, as i64. */
  rs1(): void
  rd(): void
  /** Label of what gives up. */
  slow(): number
}

const F0 = Cell.f0 * 8
const FCSR = Cell.fcsr * 8
const STATUS = Cell.sstatus * 8
const FS = 0x6000
const MODE_AND_INEXACT = 0xe1
/** Ordinary results: see float/native.ts. */
const BOUNDS = { s: [2 ** -125, (2 - 2 ** -23) * 2 ** 127], d: [2 ** -1021, Number.MAX_VALUE] } as const
const BINARY = {
  s: { add: Op.f32Add, sub: Op.f32Sub, mul: Op.f32Mul, div: Op.f32Div },
  d: { add: Op.f64Add, sub: Op.f64Sub, mul: Op.f64Mul, div: Op.f64Div },
} as const
const COMPARE = {
  s: { eq: Op.f32Eq, lt: Op.f32Lt, le: Op.f32Le },
  d: { eq: Op.f64Eq, lt: Op.f64Lt, le: Op.f64Le },
} as const
const INTEGERS = {
  W: { from: { s: Op.f32ConvertI32S, d: Op.f64ConvertI32S }, low: -(2 ** 31) - 1, high: 2 ** 31 },
  Wu: { from: { s: Op.f32ConvertI32U, d: Op.f64ConvertI32U }, low: -1, high: 2 ** 32 },
  L: { from: { s: Op.f32ConvertI64S, d: Op.f64ConvertI64S }, low: -(2 ** 63), high: 2 ** 63 },
  Lu: { from: { s: Op.f32ConvertI64U, d: Op.f64ConvertI64U }, low: -1, high: 2 ** 63 },
} as const

export class FloatWriter {
  private readonly operands: FloatOperands
  private readonly code: Code
  /** Functions of this module: fmaBody and addToOddBody. */
  private readonly fmaFunction: number
  private readonly addToOddFunction: number
  private readonly f64: readonly [number, number]
  private readonly f32: readonly [number, number]

  constructor(operands: FloatOperands, fmaFunction: number, addToOddFunction: number) {
    this.operands = operands
    const { code } = operands
    this.code = code
    this.fmaFunction = fmaFunction
    this.addToOddFunction = addToOddFunction
    this.f64 = [code.local(Type.f64), code.local(Type.f64)]
    this.f32 = [code.local(Type.f32), code.local(Type.f32)]
  }

  /** Gives up if sstatus.FS is Off. */
  needOn(): void {
    const { code } = this
    this.operands.pushArea()
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
      this.operands.pushArea()
      this.operands.pushArea()
      this.code.mem(Mem.i32Load, offset)
      this.code.i32(bits)
      this.code.op(Op.i32Or)
      this.code.mem(Mem.i32Store, offset)
    }
  }

  /** @returns false, with code that must be thrown away, if the operation is not done here */
  write(operation: FloatOperation, format: FloatFormat): boolean {
    this.needOn()
    switch (operation) {
      case 'add':
      case 'sub':
      case 'mul':
      case 'div':
        return this.arithmetic(format, () => {
          this.push('rs1', format)
          this.push('rs2', format)
          this.code.op(BINARY[format][operation])
        })
      case 'sqrt':
        return this.arithmetic(format, () => {
          this.push('rs1', format)
          this.code.op(format === 's' ? Op.f32Sqrt : Op.f64Sqrt)
        })
      case 'madd':
      case 'msub':
      case 'nmsub':
      case 'nmadd':
        return this.arithmetic(format, () => this.fused(operation, format))
      case 'convert':
        return format === 's'
          ? this.arithmetic('s', () => (this.push('rs1', 'd'), this.code.op(Op.f32DemoteF64)))
          : this.widen()
      case 'eq':
      case 'lt':
      case 'le':
        this.numbers(format)
        this.push('rs1', format)
        this.push('rs2', format)
        this.code.op(COMPARE[format][operation])
        this.code.op(Op.i64ExtendI32U)
        this.operands.rd()
        return true
      case 'sgnj':
      case 'sgnjn':
      case 'sgnjx':
        return this.signs(operation, format)
      case 'moveToInteger':
        this.operands.pushRegister('rs1')
        this.code.mem(format === 's' ? Mem.i64Load32S : Mem.i64Load, F0)
        this.operands.rd()
        return true
      case 'moveFromInteger':
        return this.setBits(() => {
          this.operands.rs1()
          if (format === 'd') return
          this.code.i64Big(-1n << 32n)
          this.code.op(Op.i64Or)
        })
      case 'toW':
      case 'toWu':
      case 'toL':
      case 'toLu':
        return this.toInteger(operation.slice(2) as keyof typeof INTEGERS, format)
      case 'fromW':
      case 'fromWu':
      case 'fromL':
      case 'fromLu':
        return this.fromInteger(operation.slice(4) as keyof typeof INTEGERS, format)
      default:
        return false
    }
  }

  private giveUpIf(): void {
    this.code.brIf(this.operands.slow())
  }

  private pushCell(name: 'rs1' | 'rs2' | 'rs3', format: FloatFormat): void {
    this.operands.pushRegister(name)
    this.code.mem(format === 's' ? Mem.f32Load : Mem.f64Load, F0)
  }

  /** A source register; an unboxed single gives up. */
  private push(name: 'rs1' | 'rs2' | 'rs3', format: FloatFormat): void {
    if (format === 's') this.needBox(name)
    this.pushCell(name, format)
  }

  private needBox(name: 'rs1' | 'rs2' | 'rs3'): void {
    const { code } = this
    this.operands.pushRegister(name)
    code.mem(Mem.i32Load, F0 + 4)
    code.i32(-1)
    code.op(Op.i32Ne)
    this.giveUpIf()
  }

  /** Pushes fcsr with the mode of this instruction in the place of frm, as far as it is legal. */
  private pushStatus(): void {
    const { code, operands } = this
    operands.pushArea()
    code.mem(Mem.i32Load, FCSR)
    operands.pushMode()
    code.i32(5)
    code.op(Op.i32Shl)
    operands.pushArea()
    code.mem(Mem.i32Load, FCSR)
    code.i32(0x1f)
    code.op(Op.i32And)
    code.op(Op.i32Or)
    operands.pushMode()
    code.i32(7)
    code.op(Op.i32Eq)
    code.op(Op.select)
  }

  private needNearestAndInexact(): void {
    const { code } = this
    this.pushStatus()
    code.i32(MODE_AND_INEXACT)
    code.op(Op.i32And)
    code.i32(1)
    code.op(Op.i32Ne)
    this.giveUpIf()
  }

  /** Stores what `compute` pushes, a number of the format, if it is ordinary. */
  private arithmetic(format: FloatFormat, compute: () => void): boolean {
    const { code } = this
    const [smallest, largest] = BOUNDS[format]
    const [result] = format === 's' ? this.f32 : this.f64
    const size = (): void => {
      code.get(result)
      code.op(format === 's' ? Op.f32Abs : Op.f64Abs)
      if (format === 's') code.op(Op.f64PromoteF32)
    }
    this.needNearestAndInexact()
    compute()
    code.set(result)
    size()
    code.f64(smallest)
    code.op(Op.f64Ge)
    size()
    code.f64(largest)
    code.op(Op.f64Le)
    code.op(Op.i32And)
    code.op(Op.i32Eqz)
    this.giveUpIf()
    this.store(format)
    return true
  }

  /** The first local of the format to frd. */
  private store(format: FloatFormat): void {
    const { code, operands } = this
    operands.pushRegister('rd')
    code.get((format === 's' ? this.f32 : this.f64)[0])
    code.mem(format === 's' ? Mem.f32Store : Mem.f64Store, F0)
    if (format === 's') {
      operands.pushRegister('rd')
      code.i32(-1)
      code.mem(Mem.i32Store, F0 + 4)
    }
    this.dirty()
  }

  private fused(operation: 'madd' | 'msub' | 'nmsub' | 'nmadd', format: FloatFormat): void {
    const { code } = this
    const single = format === 's'
    const push = (name: 'rs1' | 'rs2' | 'rs3', negated: boolean): void => {
      this.push(name, format)
      if (single) code.op(Op.f64PromoteF32)
      if (negated) code.op(Op.f64Neg)
    }
    push('rs1', operation === 'nmsub' || operation === 'nmadd')
    push('rs2', false)
    // The product of two singles fits in a double.
    if (single) code.op(Op.f64Mul)
    push('rs3', operation === 'msub' || operation === 'nmadd')
    code.call(single ? this.addToOddFunction : this.fmaFunction)
    if (single) code.op(Op.f32DemoteF64)
  }

  /** Single to double, which is exact. */
  private widen(): boolean {
    const { code } = this
    this.needLegalMode()
    const [a] = this.f32
    this.push('rs1', 's')
    code.tee(a)
    code.get(a)
    code.op(Op.f32Ne)
    this.giveUpIf()
    code.get(a)
    code.op(Op.f64PromoteF32)
    code.set(this.f64[0])
    this.store('d')
    return true
  }

  /** A mode above 4 gives up; that is the case if the word is no instruction, too. */
  private needLegalMode(): void {
    const { code } = this
    this.pushStatus()
    code.i32(0x9f)
    code.op(Op.i32GtU)
    this.giveUpIf()
  }

  /** Two numbers, no NaN. */
  private numbers(format: FloatFormat): void {
    const { code } = this
    for (const name of ['rs1', 'rs2'] as const) {
      this.push(name, format)
      this.pushCell(name, format)
      code.op(format === 's' ? Op.f32Ne : Op.f64Ne)
      this.giveUpIf()
    }
  }

  private signs(operation: 'sgnj' | 'sgnjn' | 'sgnjx', format: FloatFormat): boolean {
    const { code, operands } = this
    const sign = format === 's' ? 1n << 31n : 1n << 63n
    const bits = (name: 'rs1' | 'rs2'): void => {
      operands.pushRegister(name)
      code.mem(Mem.i64Load, F0)
    }
    if (format === 's') for (const name of ['rs1', 'rs2'] as const) this.needBox(name)
    return this.setBits(() => {
      bits('rs1')
      if (operation !== 'sgnjx') {
        code.i64Big(BigInt.asIntN(64, ~sign))
        code.op(Op.i64And)
      }
      bits('rs2')
      if (operation === 'sgnjn') {
        code.i64(-1)
        code.op(Op.i64Xor)
      }
      code.i64Big(BigInt.asIntN(64, sign))
      code.op(Op.i64And)
      code.op(operation === 'sgnjx' ? Op.i64Xor : Op.i64Or)
    })
  }

  /** Stores the i64 that `compute` pushes in frd. */
  private setBits(compute: () => void): boolean {
    this.operands.pushRegister('rd')
    compute()
    this.code.mem(Mem.i64Store, F0)
    this.dirty()
    return true
  }

  /** Truncates, as C does; what is out of range, or inexact for the first time, gives up. */
  private toInteger(kind: keyof typeof INTEGERS, format: FloatFormat): boolean {
    const { code } = this
    const [a] = this.f64
    const { low, high } = INTEGERS[kind]
    this.push('rs1', format)
    if (format === 's') code.op(Op.f64PromoteF32)
    code.set(a)
    // The mode is to zero, and INEXACT is raised or the number an integer.
    this.pushStatus()
    code.i32(MODE_AND_INEXACT)
    code.op(Op.i32And)
    code.i32((1 << 5) | 1)
    code.op(Op.i32Ne)
    this.giveUpIf()
    code.get(a)
    code.f64(low)
    code.op(Op.f64Gt)
    code.get(a)
    code.f64(high)
    code.op(Op.f64Lt)
    code.op(Op.i32And)
    code.op(Op.i32Eqz)
    this.giveUpIf()
    code.get(a)
    code.op(Op.i64TruncSatF64S)
    if (kind === 'Wu') code.op(Op.i64Extend32S)
    this.operands.rd()
    return true
  }

  private fromInteger(kind: keyof typeof INTEGERS, format: FloatFormat): boolean {
    const { code } = this
    const wide = kind === 'L' || kind === 'Lu'
    if (format === 'd' && !wide) this.needLegalMode()
    else this.needNearestAndInexact()
    this.operands.rs1()
    if (!wide) code.op(Op.i32WrapI64)
    code.op(INTEGERS[kind].from[format])
    code.set((format === 's' ? this.f32 : this.f64)[0])
    this.store(format)
    return true
  }
}

/** (a, b) -> f64: the sum, and if it is not exact, of its two neighbours the one with an odd significand. */
export function addToOddBody(code: Code): void {
  const [a, b] = [0, 1]
  const [sum, error] = [code.local(Type.f64), code.local(Type.f64)]
  const bits = code.local(Type.i64)
  pushSum(code, a, b, sum)
  pushError(code, a, b, sum)
  code.set(error)
  code.get(sum)
  code.op(Op.i64ReinterpretF64)
  code.set(bits)
  code.get(error)
  code.f64(0)
  code.op(Op.f64Eq)
  code.get(bits)
  code.op(Op.i32WrapI64)
  code.i32(1)
  code.op(Op.i32And)
  code.op(Op.i32Or)
  code.if()
  code.get(sum)
  code.return()
  code.end()
  code.get(bits)
  code.i64(1)
  code.i64(-1)
  code.get(error)
  code.f64(0)
  code.op(Op.f64Gt)
  code.get(sum)
  code.f64(0)
  code.op(Op.f64Gt)
  code.op(Op.i32Eq)
  code.op(Op.select)
  code.op(Op.i64Add)
  code.op(Op.f64ReinterpretI64)
}

/** `sum` becomes a + b. */
function pushSum(code: Code, a: number, b: number, sum: number): void {
  code.get(a)
  code.get(b)
  code.op(Op.f64Add)
  code.set(sum)
}

/** Pushes what the sum of two locals lost (Knuth): a - (sum - (sum - a)) + (b - (sum - a)). */
function pushError(code: Code, a: number, b: number, sum: number): void {
  const bPart = (): void => {
    code.get(sum)
    code.get(a)
    code.op(Op.f64Sub)
  }
  code.get(a)
  code.get(sum)
  bPart()
  code.op(Op.f64Sub)
  code.op(Op.f64Sub)
  code.get(b)
  bPart()
  code.op(Op.f64Sub)
  code.op(Op.f64Add)
}

const SMALLEST_FUSED = 2 ** -900
const LARGEST_FUSED = 2 ** 900
const LARGEST_FACTOR = 2 ** 500
const SPLITTER = 2 ** 27 + 1

/** (a, b, c) -> f64: a * b + c rounded once; NaN if this way cannot tell. @param addToOdd the function of `addToOddBody` */
export function fmaBody(code: Code, addToOdd: number): void {
  const [a, b, c] = [0, 1, 2]
  const local = (): number => code.local(Type.f64)
  const [high, low, aHigh, bHigh, aLow, bLow, sum, total] = [
    local(),
    local(),
    local(),
    local(),
    local(),
    local(),
    local(),
    local(),
  ]
  const sumError = local()
  const atMost = (x: number, largest: number): void => {
    code.get(x)
    code.op(Op.f64Abs)
    code.f64(largest)
    code.op(Op.f64Le)
  }
  const within = (x: number): void => {
    code.get(x)
    code.op(Op.f64Abs)
    code.f64(SMALLEST_FUSED)
    code.op(Op.f64Ge)
    atMost(x, LARGEST_FUSED)
    code.op(Op.i32And)
  }
  code.get(a)
  code.get(b)
  code.op(Op.f64Mul)
  code.set(high)
  within(high)
  within(c)
  code.get(c)
  code.f64(0)
  code.op(Op.f64Eq)
  code.op(Op.i32Or)
  code.op(Op.i32And)
  atMost(a, LARGEST_FACTOR)
  code.op(Op.i32And)
  atMost(b, LARGEST_FACTOR)
  code.op(Op.i32And)
  code.op(Op.i32Eqz)
  code.if()
  code.f64(Number.NaN)
  code.return()
  code.end()
  // Dekker's halves: x * splitter - (x * splitter - x).
  for (const [x, xHigh, xLow] of [
    [a, aHigh, aLow],
    [b, bHigh, bLow],
  ] as const) {
    const big = (): void => {
      code.get(x)
      code.f64(SPLITTER)
      code.op(Op.f64Mul)
    }
    big()
    big()
    code.get(x)
    code.op(Op.f64Sub)
    code.op(Op.f64Sub)
    code.set(xHigh)
    code.get(x)
    code.get(xHigh)
    code.op(Op.f64Sub)
    code.set(xLow)
  }
  const product = (x: number, y: number): void => {
    code.get(x)
    code.get(y)
    code.op(Op.f64Mul)
  }
  // low = aLow * bLow - (high - aHigh * bHigh - aLow * bHigh - aHigh * bLow)
  product(aLow, bLow)
  code.get(high)
  product(aHigh, bHigh)
  code.op(Op.f64Sub)
  product(aLow, bHigh)
  code.op(Op.f64Sub)
  product(aHigh, bLow)
  code.op(Op.f64Sub)
  code.op(Op.f64Sub)
  code.set(low)
  pushSum(code, c, low, sum)
  pushError(code, c, low, sum)
  code.set(sumError)
  pushSum(code, high, sum, total)
  code.get(total)
  code.get(sumError)
  pushError(code, high, sum, total)
  code.call(addToOdd)
  code.op(Op.f64Add)
}
