/**
 * The arithmetic of the `Emitter` vocabulary as WebAssembly operators on the value stack: what the interpreter and the
 * translator have in common.
 *
 * R1 No operator traps: a zero divisor and the overflow of a division are tested before (RISC-V unprivileged specification
 *    20240411, section 12.2).
 * R2 Values are i64, conditions are i32.
 */
import type { Code } from '../wasm/code.ts'
import { Op, type Operator, Type } from '../wasm/opcodes.ts'

export class UnitOperators {
  /** The function in the making. */
  protected code: Code
  /** Scratch locals of the function, made when first asked for. */
  private scratch: number[] = []

  constructor(code: Code) {
    this.code = code
  }

  /** Goes on with another function. */
  protected startFunction(code: Code): void {
    this.code = code
    this.scratch = []
  }

  constant(value: bigint): void {
    this.code.i64Big(value)
  }
  add(): void {
    this.code.op(Op.i64Add)
  }
  sub(): void {
    this.code.op(Op.i64Sub)
  }
  and(): void {
    this.code.op(Op.i64And)
  }
  or(): void {
    this.code.op(Op.i64Or)
  }
  xor(): void {
    this.code.op(Op.i64Xor)
  }
  /** WebAssembly takes shift amounts modulo 64 as well. */
  shiftLeft(): void {
    this.code.op(Op.i64Shl)
  }
  shiftRight(): void {
    this.code.op(Op.i64ShrU)
  }
  shiftRightSigned(): void {
    this.code.op(Op.i64ShrS)
  }
  mul(): void {
    this.code.op(Op.i64Mul)
  }

  mulHighUnsigned(): void {
    this.popOperands()
    this.highProduct()
  }
  /** The unsigned product, less what the sign bits stand for. */
  mulHigh(): void {
    const [a, b] = this.popOperands()
    this.highProduct()
    this.subtractIfNegative(a, b)
    this.subtractIfNegative(b, a)
  }
  mulHighSignedUnsigned(): void {
    const [a, b] = this.popOperands()
    this.highProduct()
    this.subtractIfNegative(a, b)
  }

  div(): void {
    this.divide(
      Op.i64DivS,
      () => this.code.i64(-1),
      () => this.negatedDividend(),
    )
  }
  divUnsigned(): void {
    this.divide(Op.i64DivU, () => this.code.i64(-1))
  }
  rem(): void {
    this.divide(
      Op.i64RemS,
      () => this.code.get(this.temporary(0)),
      () => this.code.i64(0),
    )
  }
  remUnsigned(): void {
    this.divide(Op.i64RemU, () => this.code.get(this.temporary(0)))
  }

  signExtend32(): void {
    this.code.op(Op.i64Extend32S)
  }
  zeroExtend32(): void {
    this.code.op(Op.i32WrapI64)
    this.code.op(Op.i64ExtendI32U)
  }

  equal(): void {
    this.code.op(Op.i64Eq)
  }
  notEqual(): void {
    this.code.op(Op.i64Ne)
  }
  less(): void {
    this.code.op(Op.i64LtS)
  }
  lessUnsigned(): void {
    this.code.op(Op.i64LtU)
  }
  greaterEqual(): void {
    this.code.op(Op.i64GeS)
  }
  greaterEqualUnsigned(): void {
    this.code.op(Op.i64GeU)
  }
  truth(): void {
    this.code.op(Op.i64ExtendI32U)
  }

  /** Scratch local `n` of type i64: 0 and 1 are the operands of the operators above. */
  protected temporary(n: number): number {
    while (this.scratch.length <= n) this.scratch.push(this.code.local(Type.i64))
    return this.scratch[n] as number
  }

  /** Takes both operands off the stack into scratch locals. */
  private popOperands(): readonly [number, number] {
    const [a, b] = [this.temporary(0), this.temporary(1)]
    this.code.set(b)
    this.code.set(a)
    return [a, b]
  }

  /** The quotient or remainder of the operands on the stack; `overflow` is the result for a divisor of -1. */
  private divide(operator: Operator, byZero: () => void, overflow?: () => void): void {
    const { code } = this
    const [a, b] = this.popOperands()
    code.get(b)
    code.op(Op.i64Eqz)
    code.if(Type.i64)
    byZero()
    code.else()
    if (overflow !== undefined) {
      code.get(b)
      code.i64(-1)
      code.op(Op.i64Eq)
      code.if(Type.i64)
      overflow()
      code.else()
    }
    code.get(a)
    code.get(b)
    code.op(operator)
    if (overflow !== undefined) code.end()
    code.end()
  }

  private negatedDividend(): void {
    this.code.i64(0)
    this.code.get(this.temporary(0))
    this.code.op(Op.i64Sub)
  }

  /** Pushes the upper half of the unsigned product of scratch 0 and 1, by 32-bit halves. */
  private highProduct(): void {
    const { code } = this
    const [a, b, middle, cross] = [this.temporary(0), this.temporary(1), this.temporary(2), this.temporary(3)]
    // middle = high(a) * low(b) + high(low(a) * low(b))
    this.high(a)
    this.low(b)
    this.mul()
    this.low(a)
    this.low(b)
    this.mul()
    code.i64(32)
    this.shiftRight()
    this.add()
    code.set(middle)
    // cross = low(a) * high(b) + low(middle)
    this.low(a)
    this.high(b)
    this.mul()
    this.low(middle)
    this.add()
    code.set(cross)
    this.high(a)
    this.high(b)
    this.mul()
    this.high(middle)
    this.add()
    this.high(cross)
    this.add()
  }

  private low(local: number): void {
    this.code.get(local)
    this.code.i64(0xffff_ffff)
    this.and()
  }

  private high(local: number): void {
    this.code.get(local)
    this.code.i64(32)
    this.shiftRight()
  }

  /** Subtracts `amount` from the value on the stack if `sign` is negative. */
  private subtractIfNegative(sign: number, amount: number): void {
    this.code.get(sign)
    this.code.i64(63)
    this.shiftRightSigned()
    this.code.get(amount)
    this.and()
    this.sub()
  }
}
