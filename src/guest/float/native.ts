/**
 * The host's doubles where they give what soft-float gives: round to nearest even, INEXACT raised already, and a result
 * far from overflow and underflow. S. Boldo, G. Melquiond: Emulation of a FMA and correctly rounded sums, 2008.
 *
 * R1 `isOrdinary` of the result decides: a NaN or an infinity among the operands, an overflow, a division by zero or a
 *    subnormal never passes it, and nothing but INEXACT is raised by what does.
 * R2 Singles are computed in double and rounded once more, which is the same as once: 53 bits are more than 2 * 24 + 1.
 */

/** Results of these sizes are normal, rounded or not. */
const SMALLEST_DOUBLE = 2 ** -1021
const LARGEST_DOUBLE = Number.MAX_VALUE
const SMALLEST_SINGLE = 2 ** -125
const LARGEST_SINGLE = (2 - 2 ** -23) * 2 ** 127
/** Inside these bounds no step of the fused algorithm underflows or overflows. */
const SMALLEST_FUSED = 2 ** -900
const LARGEST_FUSED = 2 ** 900
const LARGEST_FACTOR = 2 ** 500
/** Splits a double into halves of 26 bits (Dekker). */
const SPLITTER = 2 ** 27 + 1

const within = (value: number, smallest: number, largest: number): boolean => {
  const size = Math.abs(value)
  return size >= smallest && size <= largest
}

export const isOrdinary = (result: number): boolean => within(result, SMALLEST_DOUBLE, LARGEST_DOUBLE)
/** @param result after Math.fround */
export const isOrdinarySingle = (result: number): boolean => within(result, SMALLEST_SINGLE, LARGEST_SINGLE)

/** Fused multiplication and addition out of ordinary ones. */
export class NativeFma {
  private readonly wide = new Float64Array(1)
  private readonly halves = new Int32Array(this.wide.buffer)

  /** a * b + c of singles, to be rounded to single. */
  single(a: number, b: number, c: number): number {
    // The product of two singles fits in a double.
    return Math.fround(this.addToOdd(a * b, c))
  }

  /** a * b + c of doubles, rounded to nearest even; NaN if this way cannot tell. */
  double(a: number, b: number, c: number): number {
    const high = a * b
    const small = !within(high, SMALLEST_FUSED, LARGEST_FUSED) || (c !== 0 && !within(c, SMALLEST_FUSED, LARGEST_FUSED))
    if (small || Math.abs(a) > LARGEST_FACTOR || Math.abs(b) > LARGEST_FACTOR) return Number.NaN
    const [aBig, bBig] = [a * SPLITTER, b * SPLITTER]
    const [aHigh, bHigh] = [aBig - (aBig - a), bBig - (bBig - b)]
    const [aLow, bLow] = [a - aHigh, b - bHigh]
    const low = aLow * bLow - (high - aHigh * bHigh - aLow * bHigh - aHigh * bLow)
    const sum = c + low
    const sumError = errorOf(c, low, sum)
    const total = high + sum
    const totalError = errorOf(high, sum, total)
    return total + this.addToOdd(sumError, totalError)
  }

  /** a + b, and if that is not exact, of its two neighbours the one with an odd significand: rounding it again is safe. */
  private addToOdd(a: number, b: number): number {
    const sum = a + b
    const error = errorOf(a, b, sum)
    if (error === 0) return sum
    const { wide, halves } = this
    wide[0] = sum
    const low = halves[0] as number
    if ((low & 1) !== 0) return sum
    if (error > 0 === sum > 0) {
      halves[0] = low | 1
    } else {
      halves[0] = low - 1
      if (low === 0) halves[1] = (halves[1] as number) - 1
    }
    return wide[0]
  }
}

/** What a + b lost in `sum` (Knuth). */
function errorOf(a: number, b: number, sum: number): number {
  const bPart = sum - a
  return a - (sum - bPart) + (b - bPart)
}
