/** Operands for floating-point operations that favour what goes wrong: cancellation, halfway cases, the limits of integers. */
import type { Random } from '../../../src/base/index.ts'
import type { FloatFormat, FloatOperation } from '../../../src/guest/index.ts'
import { floatBits } from '../hart/differential/floats.ts'

const view = new DataView(new ArrayBuffer(8))
const MASK = { s: 0xffff_ffffn, d: 0xffff_ffff_ffff_ffffn } as const

/** Bits as a number, and back: rounded to the format. */
function numberOf(bits: bigint, format: FloatFormat): number {
  if (format === 'd') view.setBigUint64(0, bits)
  else view.setUint32(0, Number(bits))
  return format === 'd' ? view.getFloat64(0) : view.getFloat32(0)
}
export function bitsOf(value: number, format: FloatFormat): bigint {
  if (format === 'd') view.setFloat64(0, value)
  else view.setFloat32(0, value)
  return format === 'd' ? view.getBigUint64(0) : BigInt(view.getUint32(0))
}

const nudge = (random: Random, bits: bigint, format: FloatFormat): bigint =>
  (bits + BigInt(random.between(-3, 3))) & MASK[format]
const signBit = (format: FloatFormat): bigint => (MASK[format] >> 1n) + 1n

/** A second operand that has to do with the first. */
function related(random: Random, a: bigint, format: FloatFormat): bigint {
  const choice = random.below(8)
  const sign = random.oneIn(2) ? signBit(format) : 0n
  if (choice === 0) return nudge(random, a ^ sign, format)
  // Near in exponent: their sum has its rounding bit anywhere.
  const fraction = format === 's' ? 23n : 52n
  if (choice < 4)
    return (a + (BigInt(random.between(-56, 56)) << fraction) + (random.next64() % (1n << fraction))) & MASK[format]
  return floatBits(random, format)
}

/** Where conversions to integers change: halves and integers around the limits. */
function nearInteger(random: Random, format: FloatFormat): bigint {
  const middle = random.pick([0, 0, 1, 2 ** 23, 2 ** 31, 2 ** 32, 2 ** 52, 2 ** 63, 2 ** 64])
  const value = (random.oneIn(2) ? 1 : -1) * (middle + random.between(-9, 9) / random.pick([1, 2, 4, 8]))
  return nudge(random, bitsOf(value, format), format)
}

function anyInteger(random: Random): bigint {
  const bits = 1n << BigInt(random.below(64))
  const choice = random.below(4)
  if (choice === 0) return bits + BigInt(random.between(-2, 2))
  // All in the bits that decide about rounding.
  if (choice === 1) return bits + (bits >> BigInt(random.between(20, 56))) + BigInt(random.between(-1, 1))
  return random.next64() % (2n * bits)
}

/** Operands a, b and c of an operation, unboxed; an integer operand is a. */
export function operands(random: Random, operation: FloatOperation, format: FloatFormat): [bigint, bigint, bigint] {
  if (operation.startsWith('from')) {
    const value = anyInteger(random)
    return [BigInt.asUintN(64, random.oneIn(2) ? value : -value), 0n, 0n]
  }
  if (operation === 'convert') {
    if (format === 'd') return [floatBits(random, 's'), 0n, 0n]
    if (random.oneIn(3)) return [floatBits(random, 'd'), 0n, 0n]
    const wide = bitsOf(numberOf(floatBits(random, 's'), 's'), 'd')
    return [nudge(random, wide + random.pick([0n, 1n << 28n, 1n << 29n, 3n << 27n]), 'd'), 0n, 0n]
  }
  if (operation.startsWith('to') && random.oneIn(2)) return [nearInteger(random, format), 0n, 0n]
  const a = floatBits(random, format)
  // A square, and its neighbours.
  if (operation === 'sqrt' && random.oneIn(2))
    return [nudge(random, bitsOf(numberOf(a, format) ** 2, format), format), 0n, 0n]
  const b = random.oneIn(2) ? floatBits(random, format) : related(random, a, format)
  // What almost cancels the product, or lies anywhere near it.
  const product = bitsOf(numberOf(a, format) * numberOf(b, format), format)
  const c = random.oneIn(2) ? floatBits(random, format) : related(random, product ^ signBit(format), format)
  return [a, b, c]
}
