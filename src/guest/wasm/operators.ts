/**
 * The arithmetic of the instruction table as WebAssembly operators on the stack machine.
 * RISC-V unprivileged specification 20240411, chapters 2, 4 and 12.
 *
 * R1 Each method takes its arguments from the stack and leaves its result there; what it is given (`void`) is nothing.
 * R2 No operator traps: divisors are tested before the division.
 */
import type { Code } from './code.ts'
import { Op, Type } from './opcodes.ts'

export class WasmOperators {
  protected readonly code: Code
  /** Index of a function of two i64: the upper half of the unsigned product. */
  private readonly mulHighFunction: number
  /** Scratch for two operands. */
  private readonly a: number
  private readonly b: number

  constructor(code: Code, mulHighFunction: number) {
    this.code = code
    this.mulHighFunction = mulHighFunction
    this.a = code.local(Type.i64)
    this.b = code.local(Type.i64)
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
    this.code.call(this.mulHighFunction)
  }
  mulHigh(_a: void, _b: void): void {
    this.keepBoth()
    this.code.call(this.mulHighFunction)
    this.subtractIfNegative(this.a, this.b)
    this.subtractIfNegative(this.b, this.a)
  }
  mulHighSignedUnsigned(_a: void, _b: void): void {
    this.keepBoth()
    this.code.call(this.mulHighFunction)
    this.subtractIfNegative(this.a, this.b)
  }

  /** -1 for a divisor of 0; a divisor of -1 negates, which is what overflow gives. */
  div(_a: void, _b: void): void {
    const { a, b, code } = this
    this.splitSmall()
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
    const { a, b, code } = this
    this.splitSmall()
    code.get(a)
    code.i64(0)
    code.get(b)
    code.op(Op.i64Eqz)
    code.op(Op.select)
    this.otherwise(Op.i64RemS)
  }
  remUnsigned(_a: void, _b: void): void {
    this.splitZero()
    this.code.get(this.a)
    this.otherwise(Op.i64RemU)
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

  /** Copies both operands to the scratch locals; they stay on the stack. */
  private keepBoth(): void {
    const { a, b, code } = this
    code.set(b)
    code.tee(a)
    code.get(b)
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
  private splitSmall(): void {
    const { a, b, code } = this
    code.set(b)
    code.set(a)
    code.get(b)
    code.i64(1)
    code.op(Op.i64Add)
    code.i64(1)
    code.op(Op.i64LeU)
    code.if(Type.i64)
  }

  private splitZero(): void {
    const { a, b, code } = this
    code.set(b)
    code.set(a)
    code.get(b)
    code.op(Op.i64Eqz)
    code.if(Type.i64)
  }

  private otherwise(operator: typeof Op.i64DivS | typeof Op.i64DivU | typeof Op.i64RemS | typeof Op.i64RemU): void {
    const { a, b, code } = this
    code.else()
    code.get(a)
    code.get(b)
    code.op(operator)
    code.end()
  }
}

/** The body of the function that `mulHighFunction` names: (i64, i64) -> i64. */
export function mulHighBody(code: Code): void {
  const [a, b] = [0, 1]
  const [low, middle] = [code.local(Type.i64), code.local(Type.i64)]
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
