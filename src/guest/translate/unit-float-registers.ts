/**
 * Floating-point registers of a unit's function: which it has, and the locals that they are.
 *
 * A register that the unit uses for doubles is an f64 with all its bits, whatever they mean; one that it uses for singles is an
 * f32 and, as an i32, the upper half, which boxes it or does not.
 *
 * R1 No bit is lost: loads, stores, copies and reinterpretations leave NaNs alone, and nothing else is done to what is not
 *    known to be a number of the format.
 */
import { Cell } from '../hart/index.ts'
import type { FloatFormat } from '../isa/index.ts'
import type { Code } from '../wasm/code.ts'
import { Mem, Op, Type } from '../wasm/opcodes.ts'
import type { Unit } from './unit.ts'
import { HART } from './unit-abi.ts'
import { mayBeWritten } from './unit-writes.ts'

const F0 = Cell.f0 * 8
const NONE = -1

export class UnitFloatRegisters {
  private readonly code: Code
  /** Locals: the number, and the upper half of a single. */
  private readonly value = new Int32Array(32).fill(NONE)
  private readonly upper = new Int32Array(32).fill(NONE)
  /** Registers that the function writes, and those that may have been written at each block's end. */
  private readonly written: number
  private readonly dirty: Int32Array
  private bits = NONE

  constructor(code: Code, unit: Unit) {
    this.code = code
    // More uses as a single than as a double, if positive.
    const singles = new Int32Array(32)
    const used = new Uint8Array(32)
    const use = (register: number, format: FloatFormat): void => {
      used[register] = 1
      singles[register] = (singles[register] as number) + (format === 's' ? 1 : -1)
    }
    const own = unit.blocks.map(({ instructions }) => {
      let mask = 0
      for (const { decoded, survey } of instructions) {
        if (survey.float === null) continue
        const { reads, readFormat, writes } = survey.float
        for (const source of reads) use(decoded[source], readFormat)
        if (writes === null) continue
        use(decoded.rd, writes)
        mask |= 1 << decoded.rd
      }
      return mask
    })
    this.written = own.reduce((all, mask) => all | mask, 0)
    this.dirty = mayBeWritten(unit.blocks, own)
    this.declare(used, singles)
  }

  private declare(used: Readonly<Uint8Array>, singles: Readonly<Int32Array>): void {
    const { code } = this
    const isSingle = (n: number): boolean => (singles[n] as number) > 0
    for (let n = 0; n < 32; n++) if (used[n] === 1 && !isSingle(n)) this.value[n] = code.local(Type.f64)
    for (let n = 0; n < 32; n++) if (used[n] === 1 && isSingle(n)) this.value[n] = code.local(Type.f32)
    for (let n = 0; n < 32; n++) if (used[n] === 1 && isSingle(n)) this.upper[n] = code.local(Type.i32)
  }

  /** Loads all locals. */
  load(): void {
    const { code } = this
    for (let n = 0; n < 32; n++) {
      const value = this.value[n] as number
      if (value === NONE) continue
      code.get(HART)
      code.mem(this.isSingle(n) ? Mem.f32Load : Mem.f64Load, F0 + n * 8)
      code.set(value)
      if (!this.isSingle(n)) continue
      code.get(HART)
      code.mem(Mem.i32Load, F0 + n * 8 + 4)
      code.set(this.upper[n] as number)
    }
  }

  /** Stores what may have been written when a block ends. */
  storeFrom(block: number): void {
    this.store(this.dirty[block] as number)
  }
  storeAll(): void {
    this.store(this.written)
  }

  private store(mask: number): void {
    const { code } = this
    for (let n = 0; n < 32; n++) {
      if ((mask & (1 << n)) === 0) continue
      code.get(HART)
      code.get(this.value[n] as number)
      code.mem(this.isSingle(n) ? Mem.f32Store : Mem.f64Store, F0 + n * 8)
      if (!this.isSingle(n)) continue
      code.get(HART)
      code.get(this.upper[n] as number)
      code.mem(Mem.i32Store, F0 + n * 8 + 4)
    }
  }

  private isSingle(n: number): boolean {
    return this.upper[n] !== NONE
  }

  // Access.

  /** Pushes the bits of a double, or of the lower half. */
  push(n: number, format: FloatFormat): void {
    const { code } = this
    const single = this.isSingle(n)
    if (single === (format === 's')) return code.get(this.value[n] as number)
    this.pushBits(n)
    if (format === 'd') return code.op(Op.f64ReinterpretI64)
    code.op(Op.i32WrapI64)
    code.op(Op.f32ReinterpretI32)
  }

  /** Pushes the upper half as i32. */
  pushUpper(n: number): void {
    const { code } = this
    if (this.isSingle(n)) return code.get(this.upper[n] as number)
    this.pushBits(n)
    code.i64(32)
    code.op(Op.i64ShrU)
    code.op(Op.i32WrapI64)
  }

  /** Pushes all bits as i64. */
  pushBits(n: number): void {
    const { code } = this
    if (!this.isSingle(n)) {
      code.get(this.value[n] as number)
      return code.op(Op.i64ReinterpretF64)
    }
    code.get(this.value[n] as number)
    code.op(Op.i32ReinterpretF32)
    code.op(Op.i64ExtendI32U)
    code.get(this.upper[n] as number)
    code.op(Op.i64ExtendI32U)
    code.i64(32)
    code.op(Op.i64Shl)
    code.op(Op.i64Or)
  }

  /** Takes a number from the stack; a single gets its box. */
  set(n: number, format: FloatFormat): void {
    const { code } = this
    const single = this.isSingle(n)
    if (format === 's') {
      if (single) {
        code.set(this.value[n] as number)
        code.i32(-1)
        return code.set(this.upper[n] as number)
      }
      code.op(Op.i32ReinterpretF32)
      code.op(Op.i64ExtendI32U)
      code.i64Big(-1n << 32n)
      code.op(Op.i64Or)
      return this.setBits(n)
    }
    if (!single) return code.set(this.value[n] as number)
    code.op(Op.i64ReinterpretF64)
    this.setBits(n)
  }

  /** Takes all bits from the stack as i64. */
  setBits(n: number): void {
    const { code } = this
    if (!this.isSingle(n)) {
      code.op(Op.f64ReinterpretI64)
      return code.set(this.value[n] as number)
    }
    if (this.bits === NONE) this.bits = code.local(Type.i64)
    code.tee(this.bits)
    code.op(Op.i32WrapI64)
    code.op(Op.f32ReinterpretI32)
    code.set(this.value[n] as number)
    code.get(this.bits)
    code.i64(32)
    code.op(Op.i64ShrU)
    code.op(Op.i32WrapI64)
    code.set(this.upper[n] as number)
  }
}
