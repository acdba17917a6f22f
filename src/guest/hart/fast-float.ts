/**
 * Floating-point instructions in the host's arithmetic, where that is exact (float/native.ts); without BigInts.
 *
 * R1 An operation is done here completely, with no flag to raise, or not at all.
 */
import { isOrdinary, isOrdinarySingle, NativeFma } from '../float/index.ts'
import type { Decoded, FloatFormat, FloatOperation } from '../isa/index.ts'
import type { Hart } from './hart.ts'
import { Cell, CELLS } from './state.ts'

const LOW = Cell.f0 * 2
const HIGH = LOW + 1

export class FastFloat {
  private readonly fma = new NativeFma()
  private readonly doubles: Float64Array
  private readonly singles: Float32Array
  private readonly halves: Int32Array

  constructor({ state }: Hart) {
    this.doubles = state.doubles
    this.halves = state.halves
    this.singles = new Float32Array(state.cells.buffer, state.cells.byteOffset, CELLS * 2)
  }

  /**
   * An operation that rounds, in the mode nearest-even with INEXACT raised.
   * @returns false if nothing was done
   */
  arithmetic(operation: FloatOperation, format: FloatFormat, now: Decoded): boolean {
    return format === 'd' ? this.double(operation, now) : this.single(operation, now)
  }

  private double(operation: FloatOperation, now: Decoded): boolean {
    const { doubles } = this
    const a = doubles[Cell.f0 + now.rs1] as number
    const b = doubles[Cell.f0 + now.rs2] as number
    const result = this.compute(operation, a, b, doubles[Cell.f0 + now.rs3] as number, false)
    if (!isOrdinary(result)) return false
    doubles[Cell.f0 + now.rd] = result
    return true
  }

  private single(operation: FloatOperation, now: Decoded): boolean {
    const { singles, halves } = this
    const [a, b, c] = [now.rs1 * 2, now.rs2 * 2, now.rs3 * 2]
    // Registers that the instruction does not name are f0 here, and may well be doubles.
    if (halves[HIGH + a] !== -1) return false
    if (halves[HIGH + b] !== -1 && operation !== 'sqrt') return false
    if (halves[HIGH + c] !== -1 && now.row.format.rs3 !== undefined) return false
    const [x, y] = [singles[LOW + a] as number, singles[LOW + b] as number]
    const result = Math.fround(this.compute(operation, x, y, singles[LOW + c] as number, true))
    if (!isOrdinarySingle(result)) return false
    singles[LOW + now.rd * 2] = result
    halves[HIGH + now.rd * 2] = -1
    return true
  }

  /** NaN for what is not done here. */
  private compute(operation: FloatOperation, a: number, b: number, c: number, single: boolean): number {
    switch (operation) {
      case 'add':
        return a + b
      case 'sub':
        return a - b
      case 'mul':
        return a * b
      case 'div':
        return a / b
      case 'sqrt':
        return Math.sqrt(a)
      case 'madd':
        return single ? this.fma.single(a, b, c) : this.fma.double(a, b, c)
      case 'msub':
        return single ? this.fma.single(a, b, -c) : this.fma.double(a, b, -c)
      case 'nmsub':
        return single ? this.fma.single(-a, b, c) : this.fma.double(-a, b, c)
      case 'nmadd':
        return single ? this.fma.single(-a, b, -c) : this.fma.double(-a, b, -c)
      default:
        return Number.NaN
    }
  }
}
