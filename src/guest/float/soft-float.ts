/**
 * Floating-point arithmetic in integers: exact results, rounded once, in any format and rounding mode, with all flags.
 * RISC-V unprivileged specification 20240411, chapters 20 and 21; IEEE 754-2019.
 *
 * R1 Arguments and results are bits of the format, unsigned.
 * R2 A NaN that comes out is the canonical one; a signaling NaN that goes in raises INVALID.
 * R3 The reference for every faster way to compute the same: clarity before speed.
 */
import { type BinaryFormat, isNan, unpack, type Unpacked } from './format.ts'
import { bitLength, Flag, type FloatStatus, Rounding, roundPack, roundShift } from './round.ts'

/** Exponents that differ by more than this: of the smaller number only the sign matters (R1 of round.ts). */
const FAR = 320
const GUARD = 200n

export class SoftFloat {
  /** Immutable. */
  readonly format: BinaryFormat
  /** Shared with whoever sets the mode and reads the flags. */
  readonly status: FloatStatus

  constructor(format: BinaryFormat, status: FloatStatus) {
    this.format = format
    this.status = status
  }

  add(a: bigint, b: bigint): bigint {
    const [x, y] = [unpack(this.format, a), unpack(this.format, b)]
    if (isNan(x) || isNan(y)) return this.nan(x, y)
    return this.sum(x, y)
  }

  sub(a: bigint, b: bigint): bigint {
    return this.add(a, b ^ this.format.signBit)
  }

  mul(a: bigint, b: bigint): bigint {
    const [x, y] = [unpack(this.format, a), unpack(this.format, b)]
    if (isNan(x) || isNan(y)) return this.nan(x, y)
    const negative = x.negative !== y.negative
    if (x.kind === 'infinite' || y.kind === 'infinite') {
      return x.kind === 'zero' || y.kind === 'zero' ? this.invalid() : this.infinity(negative)
    }
    if (x.kind === 'zero' || y.kind === 'zero') return this.zero(negative)
    return roundPack(this.format, negative, x.exponent + y.exponent, x.significand * y.significand, this.status)
  }

  div(a: bigint, b: bigint): bigint {
    const [x, y] = [unpack(this.format, a), unpack(this.format, b)]
    if (isNan(x) || isNan(y)) return this.nan(x, y)
    const negative = x.negative !== y.negative
    if (x.kind === 'infinite') return y.kind === 'infinite' ? this.invalid() : this.infinity(negative)
    if (y.kind === 'infinite') return this.zero(negative)
    if (y.kind === 'zero') {
      if (x.kind === 'zero') return this.invalid()
      this.status.raise(Flag.DIVIDE_BY_ZERO)
      return this.infinity(negative)
    }
    if (x.kind === 'zero') return this.zero(negative)
    // Bits enough for the precision whatever the significands' lengths, and one that stands for the remainder.
    const shift = 2 * this.format.precision + 3
    const numerator = x.significand << BigInt(shift)
    const quotient = numerator / y.significand
    const sticky = quotient * y.significand === numerator ? 0n : 1n
    return roundPack(this.format, negative, x.exponent - y.exponent - shift - 1, quotient * 2n + sticky, this.status)
  }

  sqrt(a: bigint): bigint {
    const x = unpack(this.format, a)
    if (isNan(x)) return this.nan(x, x)
    if (x.kind === 'zero') return a
    if (x.negative) return this.invalid()
    if (x.kind === 'infinite') return a
    // An even exponent, and bits enough for the precision in the root.
    let shift = 2 * this.format.precision + 6
    if ((x.exponent - shift) % 2 !== 0) shift++
    const square = x.significand << BigInt(shift)
    const root = integerRoot(square)
    const sticky = root * root === square ? 0n : 1n
    return roundPack(this.format, false, (x.exponent - shift) / 2 - 1, root * 2n + sticky, this.status)
  }

  /** a * b + c, rounded once; the product or c may be negated first. */
  fma(a: bigint, b: bigint, c: bigint, negateProduct = false, negateAddend = false): bigint {
    const [x, y, given] = [unpack(this.format, a), unpack(this.format, b), unpack(this.format, c)]
    const impossible = (x.kind === 'infinite' && y.kind === 'zero') || (x.kind === 'zero' && y.kind === 'infinite')
    // Infinity times zero is invalid even beside a quiet NaN.
    if (impossible) return this.invalid()
    if (isNan(x) || isNan(y) || isNan(given)) {
      this.nan(x, y)
      return this.nan(given, given)
    }
    const negative = (x.negative !== y.negative) !== negateProduct
    const z = negateAddend ? { ...given, negative: !given.negative } : given
    if (x.kind === 'infinite' || y.kind === 'infinite') return this.sum(special('infinite', negative), z)
    if (x.kind === 'zero' || y.kind === 'zero') return this.sum(special('zero', negative), z)
    const exponent = x.exponent + y.exponent
    return this.sum({ kind: 'finite', negative, exponent, significand: x.significand * y.significand }, z)
  }

  /** The sum of two numbers of any precision, none of them a NaN. */
  private sum(x: Unpacked, y: Unpacked): bigint {
    if (x.kind === 'infinite' || y.kind === 'infinite') {
      if (x.kind === y.kind && x.negative !== y.negative) return this.invalid()
      return this.infinity(x.kind === 'infinite' ? x.negative : y.negative)
    }
    if (x.kind === 'zero' && y.kind === 'zero') {
      return this.zero(x.negative === y.negative ? x.negative : this.status.mode === Rounding.DOWN)
    }
    if (x.kind === 'zero') return roundPack(this.format, y.negative, y.exponent, y.significand, this.status)
    if (y.kind === 'zero') return roundPack(this.format, x.negative, x.exponent, x.significand, this.status)
    const [high, low] = x.exponent >= y.exponent ? [x, y] : [y, x]
    const distance = high.exponent - low.exponent
    const far = distance > FAR
    const exponent = far ? high.exponent - Number(GUARD) : low.exponent
    const larger = high.significand << (far ? GUARD : BigInt(distance))
    const smaller = far ? 1n : low.significand
    const total = (high.negative ? -larger : larger) + (low.negative ? -smaller : smaller)
    if (total === 0n) return this.zero(this.status.mode === Rounding.DOWN)
    return roundPack(this.format, total < 0n, exponent, total < 0n ? -total : total, this.status)
  }

  /** The smaller one; -0 is smaller than +0, and a number is preferred to a NaN. */
  min(a: bigint, b: bigint): bigint {
    return this.extremum(a, b, true)
  }
  max(a: bigint, b: bigint): bigint {
    return this.extremum(a, b, false)
  }

  private extremum(a: bigint, b: bigint, smaller: boolean): bigint {
    const [x, y] = [unpack(this.format, a), unpack(this.format, b)]
    if (x.kind === 'signaling' || y.kind === 'signaling') this.status.raise(Flag.INVALID)
    if (isNan(x)) return isNan(y) ? this.format.canonicalNan : b
    if (isNan(y)) return a
    return this.order(a) < this.order(b) === smaller ? a : b
  }

  /** Integers in the order of the numbers that are not NaN, with -0 before +0. */
  private order(bits: bigint): bigint {
    return (bits & this.format.signBit) === 0n ? bits : this.format.signBit - 1n - bits
  }

  /** Quiet: only signaling NaNs are invalid. */
  eq(a: bigint, b: bigint): boolean {
    return this.comparable(a, b, false) && (a === b || this.areZeros(a, b))
  }
  lt(a: bigint, b: bigint): boolean {
    return this.comparable(a, b, true) && this.order(a) < this.order(b) && !this.areZeros(a, b)
  }
  le(a: bigint, b: bigint): boolean {
    return this.comparable(a, b, true) && (this.order(a) <= this.order(b) || this.areZeros(a, b))
  }

  private comparable(a: bigint, b: bigint, signaling: boolean): boolean {
    const [x, y] = [unpack(this.format, a), unpack(this.format, b)]
    if (!isNan(x) && !isNan(y)) return true
    if (signaling || x.kind === 'signaling' || y.kind === 'signaling') this.status.raise(Flag.INVALID)
    return false
  }

  private areZeros(a: bigint, b: bigint): boolean {
    return ((a | b) & ~this.format.signBit) === 0n
  }

  /** One bit of ten, as fclass numbers them. */
  classify(a: bigint): bigint {
    const x = unpack(this.format, a)
    if (x.kind === 'signaling') return 1n << 8n
    if (x.kind === 'quiet') return 1n << 9n
    const normal = x.significand >> this.format.fraction === 1n
    const size = x.kind === 'infinite' ? 3 : x.kind === 'zero' ? 0 : normal ? 2 : 1
    return 1n << BigInt(x.negative ? 3 - size : 4 + size)
  }

  /**
   * To an integer of 32 or 64 bits; what does not fit becomes the nearest one that does, a NaN the largest.
   * @returns the integer itself, negative or not
   */
  toInteger(a: bigint, bits: 32 | 64, isSigned: boolean): bigint {
    const x = unpack(this.format, a)
    const width = BigInt(bits)
    const largest = isSigned ? (1n << (width - 1n)) - 1n : (1n << width) - 1n
    const smallest = isSigned ? -(1n << (width - 1n)) : 0n
    if (x.kind === 'zero') return 0n
    if (x.kind !== 'finite') {
      this.status.raise(Flag.INVALID)
      return x.kind === 'infinite' && x.negative ? smallest : largest
    }
    const before = this.status.flags
    const magnitude = roundShift(x.significand, -x.exponent, x.negative, this.status)
    const value = x.negative ? -magnitude : magnitude
    if (value >= smallest && value <= largest) return value
    this.status.flags = before | Flag.INVALID
    return x.negative ? smallest : largest
  }

  /** @param value any integer */
  fromInteger(value: bigint): bigint {
    if (value === 0n) return 0n
    return roundPack(this.format, value < 0n, 0, value < 0n ? -value : value, this.status)
  }

  /** @param a bits of the other format */
  convert(from: BinaryFormat, a: bigint): bigint {
    const x = unpack(from, a)
    if (isNan(x)) return this.nan(x, x)
    if (x.kind === 'infinite') return this.infinity(x.negative)
    if (x.kind === 'zero') return this.zero(x.negative)
    return roundPack(this.format, x.negative, x.exponent, x.significand, this.status)
  }

  private zero(negative: boolean): bigint {
    return negative ? this.format.signBit : 0n
  }
  private infinity(negative: boolean): bigint {
    return this.format.infinity | this.zero(negative)
  }
  private invalid(): bigint {
    this.status.raise(Flag.INVALID)
    return this.format.canonicalNan
  }
  private nan(x: Unpacked, y: Unpacked): bigint {
    if (x.kind === 'signaling' || y.kind === 'signaling') this.status.raise(Flag.INVALID)
    return this.format.canonicalNan
  }
}

const special = (kind: 'zero' | 'infinite', negative: boolean): Unpacked => ({
  kind,
  negative,
  exponent: 0,
  significand: 0n,
})

/** The integer part of a square root: Newton's iteration from above. */
function integerRoot(square: bigint): bigint {
  let root = 1n << BigInt((bitLength(square) + 1) >> 1)
  for (;;) {
    const next = (root + square / root) >> 1n
    if (next >= root) return root
    root = next
  }
}
