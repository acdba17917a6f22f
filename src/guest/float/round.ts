/**
 * From an exact number to the nearest one of a format, by rounding mode, with the flags that this raises.
 * IEEE 754-2019, sections 4.3 and 7; RISC-V unprivileged specification 20240411, sections 20.2 and 20.4.
 *
 * R1 A result is computed exactly (or with its lowest bit standing for whatever lies below it) and rounded here, once.
 * R2 Tininess is detected after rounding, as if the exponent were unbounded.
 */
import type { BinaryFormat } from './format.ts'

/** Values of the rm field and of frm; 5 and 6 are reserved, 7 is the mode in frm. */
export const Rounding = { NEAREST_EVEN: 0, TO_ZERO: 1, DOWN: 2, UP: 3, NEAREST_AWAY: 4 } as const
export type RoundingMode = (typeof Rounding)[keyof typeof Rounding]

/** Bits of fflags. */
export const Flag = { INEXACT: 1, UNDERFLOW: 2, OVERFLOW: 4, DIVIDE_BY_ZERO: 8, INVALID: 16 } as const

/** How to round, and what happened since `flags` was last cleared. */
export class FloatStatus {
  mode: RoundingMode = Rounding.NEAREST_EVEN
  flags = 0

  raise(flags: number): void {
    this.flags |= flags
  }
}

/** Number of bits of a positive BigInt. */
export function bitLength(value: bigint): number {
  const digits = value.toString(16)
  return digits.length * 4 - Math.clz32(Number.parseInt(digits[0] as string, 16)) + 28
}

/** value / 2^shift as an integer, rounded. @param shift may be negative */
export function roundShift(value: bigint, shift: number, negative: boolean, status: FloatStatus): bigint {
  if (shift <= 0) return value << BigInt(-shift)
  const kept = value >> BigInt(shift)
  const rest = value - (kept << BigInt(shift))
  if (rest === 0n) return kept
  status.raise(Flag.INEXACT)
  return roundsUp(kept, rest, 1n << BigInt(shift - 1), negative, status.mode) ? kept + 1n : kept
}

/** @param rest what is lost, more than nothing; @param half of the last bit kept */
function roundsUp(kept: bigint, rest: bigint, half: bigint, negative: boolean, mode: RoundingMode): boolean {
  switch (mode) {
    case Rounding.NEAREST_EVEN:
      return rest > half || (rest === half && (kept & 1n) === 1n)
    case Rounding.TO_ZERO:
      return false
    case Rounding.DOWN:
      return negative
    case Rounding.UP:
      return !negative
    case Rounding.NEAREST_AWAY:
      return rest >= half
  }
}

/** The bits of significand * 2^exponent. @param significand more than 0, of any length */
export function roundPack(
  format: BinaryFormat,
  negative: boolean,
  exponent: number,
  significand: bigint,
  status: FloatStatus,
): bigint {
  const { precision, minExponent } = format
  const sign = negative ? format.signBit : 0n
  const top = exponent + bitLength(significand) - 1
  const unit = Math.max(top, minExponent) - precision + 1
  const before = status.flags
  status.flags = 0
  const rounded = roundShift(significand, unit - exponent, negative, status)
  const inexact = status.flags !== 0
  if (inexact && top < minExponent && isTiny(format, negative, exponent, significand, top, status)) {
    status.raise(Flag.UNDERFLOW)
  }
  status.flags |= before
  // A carry into the next binade makes the significand a power of two: the sum below then has the right exponent field.
  const field = rounded >> format.fraction === 0n ? 0n : BigInt(unit + precision - 1 - minExponent)
  const bits = (field << format.fraction) + rounded
  if (bits < format.infinity) return sign | bits
  status.raise(Flag.OVERFLOW | Flag.INEXACT)
  return sign | (overflowsToInfinity(negative, status.mode) ? format.infinity : format.largest)
}

/** Rounded to full precision, would it stay below the smallest normal number? */
function isTiny(
  format: BinaryFormat,
  negative: boolean,
  exponent: number,
  significand: bigint,
  top: number,
  status: FloatStatus,
): boolean {
  if (top < format.minExponent - 1) return true
  const full = roundShift(significand, top - format.precision + 1 - exponent, negative, status)
  return full >> BigInt(format.precision) === 0n
}

const overflowsToInfinity = (negative: boolean, mode: RoundingMode): boolean =>
  mode === Rounding.NEAREST_EVEN || mode === Rounding.NEAREST_AWAY || mode === (negative ? Rounding.DOWN : Rounding.UP)
