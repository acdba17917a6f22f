/** Random floating-point bits that favour the corners of both formats. */
import type { Random } from '../../../../src/base/index.ts'

/** Fraction and exponent bits. */
const LAYOUT = { s: [23n, 8n], d: [52n, 11n] } as const

/** Bits of one format: zeros, subnormals, powers of two and their neighbours, near the limits, halfway cases, NaNs. */
export function floatBits(random: Random, format: 's' | 'd'): bigint {
  const [fractionBits, exponentBits] = LAYOUT[format]
  const top = (1n << exponentBits) - 1n
  const bias = top >> 1n
  const fractionMask = (1n << fractionBits) - 1n
  const sign = BigInt(random.below(2)) << (fractionBits + exponentBits)
  return sign | (exponent(random, top, bias) << fractionBits) | fraction(random, fractionBits, fractionMask)
}

function exponent(random: Random, top: bigint, bias: bigint): bigint {
  const choice = random.below(16)
  if (choice === 0) return 0n
  if (choice === 1) return top
  if (choice === 2) return top - 1n
  if (choice === 3) return 1n
  // Where products, quotients and integers have their limits.
  if (choice < 6) return (bias >> 1n) + BigInt(random.between(-2, 2)) + (random.oneIn(2) ? bias : 0n)
  if (choice < 12) return bias + BigInt(random.between(-70, 70))
  return random.next64() & top
}

function fraction(random: Random, bits: bigint, mask: bigint): bigint {
  const choice = random.below(8)
  const one = 1n << (random.next64() % bits)
  if (choice === 0) return 0n
  if (choice === 1) return one
  if (choice === 2) return mask & ~(one - 1n)
  if (choice === 3) return one - 1n
  if (choice === 4) return mask - BigInt(random.below(3))
  if (choice === 5) return BigInt(random.below(4))
  // Few bits: products and sums that fall exactly between two numbers.
  if (choice === 6) return (one | (1n << (random.next64() % bits))) ^ BigInt(random.below(2))
  return random.next64() & mask
}

/** What may be in a register: doubles, boxed singles, and singles whose box is broken. */
export function floatValue(random: Random): bigint {
  const choice = random.below(16)
  if (choice < 7) return floatBits(random, 'd')
  const single = floatBits(random, 's')
  return choice < 15 ? single | (0xffff_ffffn << 32n) : single | (random.next64() & (0xffff_fffen << 32n))
}
