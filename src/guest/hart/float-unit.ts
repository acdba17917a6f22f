/**
 * Floating-point instructions of the reference interpreter: registers, boxing, rounding mode and flags around soft-float.
 * RISC-V unprivileged specification 20240411, chapters 20 and 21; privileged specification 20240411, section 3.1.6.6.
 *
 * R1 A single is read from a register only if it is boxed; anything else is the canonical NaN. Stores, moves to integer
 *    registers and nothing else see the bits as they are.
 * R2 FS becomes Dirty with each write of a floating-point register, and when a flag is raised that was not.
 */
import {
  BINARY32,
  BINARY64,
  type BinaryFormat,
  Flag,
  FloatStatus,
  Rounding,
  type RoundingMode,
  SoftFloat,
} from '../float/index.ts'
import { type Decoded, FLOAT_OPERATIONS, type FloatFormat, type FloatOperation } from '../isa/index.ts'
import { DataAccess } from './data-access.ts'
import { FastFloat } from './fast-float.ts'
import type { Hart } from './hart.ts'
import type { HartMemory } from './memory.ts'
import { Cell } from './state.ts'

const FCSR = Cell.fcsr * 2
const FLAGS = 0x1f
/** In the rm field: the mode that frm holds. Its values above 4 are reserved. */
const DYNAMIC = 7
const LAST_MODE = 4
const BOX = 0xffff_ffffn << 32n

export class FloatUnit extends DataAccess {
  private readonly status = new FloatStatus()
  private readonly single = new SoftFloat(BINARY32, this.status)
  private readonly double = new SoftFloat(BINARY64, this.status)

  private readonly fast: FastFloat

  constructor(hart: Hart, first: Decoded, memory: HartMemory = hart.memory) {
    super(hart, first, memory)
    this.fast = new FastFloat(hart)
  }

  float(operation: FloatOperation, format: FloatFormat): void {
    if (this.hart.floatOff) return this.illegal()
    const row = FLOAT_OPERATIONS[operation]
    const fcsr = this.halves[FCSR] as number
    if (row.rounds) {
      const { rm } = this.now
      const mode = rm === DYNAMIC ? fcsr >>> 5 : rm
      if (mode > LAST_MODE) return this.illegal()
      const native = mode === Rounding.NEAREST_EVEN && (fcsr & Flag.INEXACT) !== 0
      if (native && this.fast.arithmetic(operation, format, this.now)) return this.hart.floatChanged()
      this.status.mode = mode as RoundingMode
    }
    this.status.flags = 0
    const unit = format === 's' ? this.single : this.double
    if (row.toInteger) this.rd(this.integerResult(operation, unit))
    else this.setFloat(this.floatResult(operation, unit), unit)
    this.accrue(fcsr)
  }

  private accrue(fcsr: number): void {
    const flags = this.status.flags & FLAGS & ~fcsr
    if (flags === 0) return
    this.halves[FCSR] = fcsr | flags
    this.hart.floatChanged()
  }

  private setFloat(bits: bigint, unit: SoftFloat): void {
    this.cells[Cell.f0 + this.now.rd] = unit === this.single ? bits | BOX : bits
    this.hart.floatChanged()
  }

  /** A source register as bits of the format. */
  private read(register: number, format: BinaryFormat): bigint {
    const cell = Cell.f0 + register
    if (format === BINARY64) return BigInt.asUintN(64, this.cells[cell] as bigint)
    if (this.halves[cell * 2 + 1] !== -1) return format.canonicalNan
    return BigInt((this.halves[cell * 2] as number) >>> 0)
  }

  private floatResult(operation: FloatOperation, unit: SoftFloat): bigint {
    const { format } = unit
    const a = (): bigint => this.read(this.now.rs1, format)
    const b = (): bigint => this.read(this.now.rs2, format)
    const c = (): bigint => this.read(this.now.rs3, format)
    const { signBit } = format
    switch (operation) {
      case 'add':
        return unit.add(a(), b())
      case 'sub':
        return unit.sub(a(), b())
      case 'mul':
        return unit.mul(a(), b())
      case 'div':
        return unit.div(a(), b())
      case 'sqrt':
        return unit.sqrt(a())
      case 'madd':
        return unit.fma(a(), b(), c())
      case 'msub':
        return unit.fma(a(), b(), c(), false, true)
      case 'nmsub':
        return unit.fma(a(), b(), c(), true, false)
      case 'nmadd':
        return unit.fma(a(), b(), c(), true, true)
      case 'sgnj':
        return (a() & ~signBit) | (b() & signBit)
      case 'sgnjn':
        return (a() & ~signBit) | (~b() & signBit)
      case 'sgnjx':
        return a() ^ (b() & signBit)
      case 'min':
        return unit.min(a(), b())
      case 'max':
        return unit.max(a(), b())
      case 'fromW':
        return unit.fromInteger(BigInt.asIntN(32, this.rs1()))
      case 'fromWu':
        return unit.fromInteger(BigInt.asUintN(32, this.rs1()))
      case 'fromL':
        return unit.fromInteger(this.rs1())
      case 'fromLu':
        return unit.fromInteger(BigInt.asUintN(64, this.rs1()))
      case 'convert': {
        const from = format === BINARY32 ? BINARY64 : BINARY32
        return unit.convert(from, this.read(this.now.rs1, from))
      }
      default:
        return BigInt.asUintN(Number(format.width), this.rs1())
    }
  }

  private integerResult(operation: FloatOperation, unit: SoftFloat): bigint {
    const { format } = unit
    const a = (): bigint => this.read(this.now.rs1, format)
    const b = (): bigint => this.read(this.now.rs2, format)
    switch (operation) {
      case 'eq':
        return unit.eq(a(), b()) ? 1n : 0n
      case 'lt':
        return unit.lt(a(), b()) ? 1n : 0n
      case 'le':
        return unit.le(a(), b()) ? 1n : 0n
      case 'class':
        return unit.classify(a())
      case 'toW':
        return unit.toInteger(a(), 32, true)
      case 'toWu':
        return BigInt.asIntN(32, unit.toInteger(a(), 32, false))
      case 'toL':
        return unit.toInteger(a(), 64, true)
      case 'toLu':
        return BigInt.asIntN(64, unit.toInteger(a(), 64, false))
      default:
        return BigInt.asIntN(Number(format.width), this.cells[Cell.f0 + this.now.rs1] as bigint)
    }
  }
}
