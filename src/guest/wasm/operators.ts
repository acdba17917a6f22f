/**
 * The arithmetic of the instruction table as WebAssembly operators on the stack machine: what the interpreter and the
 * translator have in common.
 * RISC-V unprivileged specification 20240411, chapters 2, 4 and 12.
 *
 * R1 Each method takes its arguments from the stack and leaves its result there; what it is given (`void`) is nothing.
 * R2 No operator traps: divisors are tested before the division.
 */
import type { Code } from './code.ts'
import { Op, Type } from './opcodes.ts'

/** Distances, and the lower one of each two neighbours. */
const SWAPS = [
  [8, 0x00ff_00ff_00ff_00ffn],
  [16, 0x0000_ffff_0000_ffffn],
] as const

export class WasmOperators {
  /** The function in the making. */
  protected readonly code: Code
  /** Scratch locals of the function, made when first asked for. */
  private readonly scratch: number[] = []

  constructor(code: Code) {
    this.code = code
  }

  constant(value: bigint): void {
    this.code.i64Big(value)
  }
  add(_a: void, _b: void): void {
    this.code.op(Op.i64Add)
  }
  sub(_a: void, _b: void): void {
    this.code.op(Op.i64Sub)
  }
  and(_a: void, _b: void): void {
    this.code.op(Op.i64And)
  }
  or(_a: void, _b: void): void {
    this.code.op(Op.i64Or)
  }
  xor(_a: void, _b: void): void {
    this.code.op(Op.i64Xor)
  }
  shiftLeft(_a: void, _amount: void): void {
    this.code.op(Op.i64Shl)
  }
  shiftRight(_a: void, _amount: void): void {
    this.code.op(Op.i64ShrU)
  }
  shiftRightSigned(_a: void, _amount: void): void {
    this.code.op(Op.i64ShrS)
  }
  mul(_a: void, _b: void): void {
    this.code.op(Op.i64Mul)
  }
  mulHighUnsigned(_a: void, _b: void): void {
    this.takeBoth()
    this.highProduct()
  }
  /** The unsigned product, less what the sign bits stand for. */
  mulHigh(_a: void, _b: void): void {
    const [a, b] = this.takeBoth()
    this.highProduct()
    this.subtractIfNegative(a, b)
    this.subtractIfNegative(b, a)
  }
  mulHighSignedUnsigned(_a: void, _b: void): void {
    const [a, b] = this.takeBoth()
    this.highProduct()
    this.subtractIfNegative(a, b)
  }

  /** -1 for a divisor of 0; a divisor of -1 negates, which is what overflow gives. */
  div(_a: void, _b: void): void {
    const { code } = this
    const [a, b] = this.splitSmall()
    code.i64(0)
    code.get(a)
    code.op(Op.i64Sub)
    code.i64(-1)
    code.get(b)
    code.op(Op.i64Eqz)
    code.op(Op.i32Eqz)
    code.op(Op.select)
    this.otherwise(Op.i64DivS)
  }
  divUnsigned(_a: void, _b: void): void {
    this.splitZero()
    this.code.i64(-1)
    this.otherwise(Op.i64DivU)
  }
  /** The dividend for a divisor of 0, 0 for -1. */
  rem(_a: void, _b: void): void {
    const { code } = this
    const [a, b] = this.splitSmall()
    code.get(a)
    code.i64(0)
    code.get(b)
    code.op(Op.i64Eqz)
    code.op(Op.select)
    this.otherwise(Op.i64RemS)
  }
  remUnsigned(_a: void, _b: void): void {
    const [a] = this.splitZero()
    this.code.get(a)
    this.otherwise(Op.i64RemU)
  }

  /** WebAssembly takes amounts modulo 64 as well. */
  rotateLeft(_a: void, _amount: void): void {
    this.code.op(Op.i64Rotl)
  }
  rotateRight(_a: void, _amount: void): void {
    this.code.op(Op.i64Rotr)
  }
  countLeadingZeros(_a: void): void {
    this.code.op(Op.i64Clz)
  }
  countTrailingZeros(_a: void): void {
    this.code.op(Op.i64Ctz)
  }
  countOnes(_a: void): void {
    this.code.op(Op.i64Popcnt)
  }
  /** Neighbours change places: bytes, pairs, fours. */
  reverseBytes(_a: void): void {
    const { code } = this
    const a = this.temporary(0)
    for (const [bits, mask] of SWAPS) {
      code.set(a)
      code.get(a)
      code.i64(bits)
      code.op(Op.i64ShrU)
      code.i64Big(mask)
      code.op(Op.i64And)
      code.get(a)
      code.i64Big(mask)
      code.op(Op.i64And)
      code.i64(bits)
      code.op(Op.i64Shl)
      code.op(Op.i64Or)
    }
    code.i64(32)
    code.op(Op.i64Rotl)
  }

  signExtend32(_a: void): void {
    this.code.op(Op.i64Extend32S)
  }
  zeroExtend32(_a: void): void {
    this.code.i64(0xffff_ffff)
    this.code.op(Op.i64And)
  }

  equal(_a: void, _b: void): void {
    this.code.op(Op.i64Eq)
  }
  notEqual(_a: void, _b: void): void {
    this.code.op(Op.i64Ne)
  }
  less(_a: void, _b: void): void {
    this.code.op(Op.i64LtS)
  }
  lessUnsigned(_a: void, _b: void): void {
    this.code.op(Op.i64LtU)
  }
  greaterEqual(_a: void, _b: void): void {
    this.code.op(Op.i64GeS)
  }
  greaterEqualUnsigned(_a: void, _b: void): void {
    this.code.op(Op.i64GeU)
  }
  truth(_condition: void): void {
    this.code.op(Op.i64ExtendI32U)
  }
  choose(_a: void, _b: void, _condition: void): void {
    this.code.op(Op.select)
  }

  /** Scratch local `n` of type i64: 0 and 1 are the operands of the operators above. */
  private temporary(n: number): number {
    while (this.scratch.length <= n) this.scratch.push(this.code.local(Type.i64))
    return this.scratch[n] as number
  }

  /** Takes both operands off the stack into scratch locals. */
  private takeBoth(): readonly [number, number] {
    const [a, b] = [this.temporary(0), this.temporary(1)]
    this.code.set(b)
    this.code.set(a)
    return [a, b]
  }

  /** Pushes the upper half of the unsigned product of scratch 0 and 1, by 32-bit halves. */
  private highProduct(): void {
    const { code } = this
    const [a, b, low, middle] = [this.temporary(0), this.temporary(1), this.temporary(2), this.temporary(3)]
    const lower = (local: number): void => {
      code.get(local)
      code.i64(0xffff_ffff)
      code.op(Op.i64And)
    }
    const upper = (local: number): void => {
      code.get(local)
      code.i64(32)
      code.op(Op.i64ShrU)
    }
    // low = aL * bL; middle = aH * bL + (low >> 32)
    lower(a)
    lower(b)
    code.op(Op.i64Mul)
    code.set(low)
    upper(a)
    lower(b)
    code.op(Op.i64Mul)
    upper(low)
    code.op(Op.i64Add)
    code.set(middle)
    // low = aL * bH + middleL; result = aH * bH + middleH + (low >> 32)
    lower(a)
    upper(b)
    code.op(Op.i64Mul)
    lower(middle)
    code.op(Op.i64Add)
    code.set(low)
    upper(a)
    upper(b)
    code.op(Op.i64Mul)
    upper(middle)
    code.op(Op.i64Add)
    upper(low)
    code.op(Op.i64Add)
  }

  private subtractIfNegative(tested: number, subtracted: number): void {
    const { code } = this
    code.get(tested)
    code.i64(63)
    code.op(Op.i64ShrS)
    code.get(subtracted)
    code.op(Op.i64And)
    code.op(Op.i64Sub)
  }

  /** Takes both operands; the arm that follows is for a divisor of 0 or -1. */
  private splitSmall(): readonly [number, number] {
    const { code } = this
    const [a, b] = this.takeBoth()
    code.get(b)
    code.i64(1)
    code.op(Op.i64Add)
    code.i64(1)
    code.op(Op.i64LeU)
    code.if(Type.i64)
    return [a, b]
  }

  private splitZero(): readonly [number, number] {
    const { code } = this
    const [a, b] = this.takeBoth()
    code.get(b)
    code.op(Op.i64Eqz)
    code.if(Type.i64)
    return [a, b]
  }

  private otherwise(operator: typeof Op.i64DivS | typeof Op.i64DivU | typeof Op.i64RemS | typeof Op.i64RemU): void {
    const { code } = this
    code.else()
    code.get(this.temporary(0))
    code.get(this.temporary(1))
    code.op(operator)
    code.end()
  }
}
