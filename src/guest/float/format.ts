/**
 * The binary interchange formats of IEEE 754-2019, section 3.4, and a number taken apart.
 *
 * R1 Everything follows from the width and the number of fraction bits; no operation knows a particular format.
 */

export interface BinaryFormat {
  /** Bits: 32 or 64. */
  readonly width: bigint
  /** Bits of the significand that are stored: one fewer than the precision. */
  readonly fraction: bigint
  /** Precision, and the exponents of the smallest normal and the largest number. */
  readonly precision: number
  readonly minExponent: number
  readonly maxExponent: number
  readonly signBit: bigint
  readonly fractionMask: bigint
  /** The exponent field of infinities and NaNs. */
  readonly specialExponent: number
  readonly infinity: bigint
  readonly largest: bigint
  /** The NaN that every operation gives (RISC-V unprivileged specification 20240411, section 20.3). */
  readonly canonicalNan: bigint
}

function binaryFormat(width: number, precision: number): BinaryFormat {
  const fraction = BigInt(precision - 1)
  const exponentBits = width - precision
  const specialExponent = 2 ** exponentBits - 1
  const infinity = BigInt(specialExponent) << fraction
  const maxExponent = 2 ** (exponentBits - 1) - 1
  return {
    width: BigInt(width),
    fraction,
    precision,
    minExponent: 1 - maxExponent,
    maxExponent,
    signBit: 1n << BigInt(width - 1),
    fractionMask: (1n << fraction) - 1n,
    specialExponent,
    infinity,
    largest: infinity - 1n,
    canonicalNan: infinity | (1n << (fraction - 1n)),
  }
}

export const BINARY32: BinaryFormat = binaryFormat(32, 24)
export const BINARY64: BinaryFormat = binaryFormat(64, 53)

export type Kind = 'zero' | 'finite' | 'infinite' | 'quiet' | 'signaling'

/** Of a zero, an infinity and a NaN only kind and sign count; a finite number is significand * 2^exponent. */
export interface Unpacked {
  readonly kind: Kind
  readonly negative: boolean
  readonly exponent: number
  readonly significand: bigint
}

/** @param bits the number, unsigned, no wider than the format */
export function unpack(format: BinaryFormat, bits: bigint): Unpacked {
  const negative = (bits & format.signBit) !== 0n
  const field = Number((bits & ~format.signBit) >> format.fraction)
  const fraction = bits & format.fractionMask
  if (field === format.specialExponent) {
    const quiet = fraction >> (format.fraction - 1n) === 1n
    const kind = fraction === 0n ? 'infinite' : quiet ? 'quiet' : 'signaling'
    return { kind, negative, exponent: 0, significand: 0n }
  }
  if (field === 0) {
    const exponent = format.minExponent - format.precision + 1
    return { kind: fraction === 0n ? 'zero' : 'finite', negative, exponent, significand: fraction }
  }
  const exponent = field - 1 + format.minExponent - format.precision + 1
  return { kind: 'finite', negative, exponent, significand: fraction | (1n << format.fraction) }
}

export const isNan = (x: Unpacked): boolean => x.kind === 'quiet' || x.kind === 'signaling'
