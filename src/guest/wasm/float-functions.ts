/**
 * Functions on doubles that generated code calls: fused multiplication and addition out of ordinary ones, and whether a
 * rounded result is exact. float/native.ts has the first in JavaScript. S. Boldo, G. Melquiond: Emulation of a FMA and
 * correctly rounded sums, 2008.
 *
 * R1 Inside the bounds below no step underflows or overflows; what lies outside is told apart by the answer.
 */
import type { Code } from './code.ts'
import { Op, Type } from './opcodes.ts'

const SMALLEST = 2 ** -900
const LARGEST = 2 ** 900
const LARGEST_FACTOR = 2 ** 500
/** Splits a double into halves of 26 bits (Dekker). */
const SPLITTER = 2 ** 27 + 1
/** What the functions about exactness answer if they cannot tell. */
export const UNKNOWN = 2

/** (a, b) -> f64: the sum, and if it is not exact, of its two neighbours the one with an odd significand. */
export function addToOddBody(code: Code): void {
  pushOddSum(code, 0, 1)
}

/** Pushes the sum of two locals, and if it is not exact, of its two neighbours the one with an odd significand. */
function pushOddSum(code: Code, a: number, b: number): void {
  const [sum, error] = [code.local(Type.f64), code.local(Type.f64)]
  const bits = code.local(Type.i64)
  pushSum(code, a, b, sum)
  pushError(code, a, b, sum)
  code.set(error)
  code.get(sum)
  code.op(Op.i64ReinterpretF64)
  code.tee(bits)
  // Towards the error, or else away from it.
  code.i64(1)
  code.i64(-1)
  code.get(error)
  code.f64(0)
  code.op(Op.f64Gt)
  code.get(sum)
  code.f64(0)
  code.op(Op.f64Gt)
  code.op(Op.i32Eq)
  code.op(Op.select)
  code.i64(0)
  code.get(error)
  code.f64(0)
  code.op(Op.f64Ne)
  code.get(bits)
  code.op(Op.i32WrapI64)
  code.i32(1)
  code.op(Op.i32And)
  code.op(Op.i32GtU)
  code.op(Op.select)
  code.op(Op.i64Add)
  code.op(Op.f64ReinterpretI64)
}

/** `sum` becomes a + b. */
function pushSum(code: Code, a: number, b: number, sum: number): void {
  code.get(a)
  code.get(b)
  code.op(Op.f64Add)
  code.set(sum)
}

/** Pushes what the sum of two locals lost (Knuth): a - (sum - (sum - a)) + (b - (sum - a)). */
function pushError(code: Code, a: number, b: number, sum: number): void {
  const bPart = (): void => {
    code.get(sum)
    code.get(a)
    code.op(Op.f64Sub)
  }
  code.get(a)
  code.get(sum)
  bPart()
  code.op(Op.f64Sub)
  code.op(Op.f64Sub)
  code.get(b)
  bPart()
  code.op(Op.f64Sub)
  code.op(Op.f64Add)
}

/** Pushes whether |x| is at most `largest`. */
function pushAtMost(code: Code, x: number, largest: number): void {
  code.get(x)
  code.op(Op.f64Abs)
  code.f64(largest)
  code.op(Op.f64Le)
}

/** Pushes whether |x| lies between `SMALLEST` and `LARGEST`. */
function pushWithin(code: Code, x: number): void {
  code.get(x)
  code.op(Op.f64Abs)
  code.f64(SMALLEST)
  code.op(Op.f64Ge)
  pushAtMost(code, x, LARGEST)
  code.op(Op.i32And)
}

/** Pushes what `high`, the product of a and b, lost (Dekker): aLow * bLow - (high - aHigh * bHigh - aLow * bHigh - aHigh * bLow). */
function pushProductError(code: Code, a: number, b: number, high: number): void {
  const local = (): number => code.local(Type.f64)
  const [aHigh, bHigh, aLow, bLow] = [local(), local(), local(), local()]
  // Halves: x * splitter - (x * splitter - x).
  for (const [x, xHigh, xLow] of [
    [a, aHigh, aLow],
    [b, bHigh, bLow],
  ] as const) {
    const big = (): void => {
      code.get(x)
      code.f64(SPLITTER)
      code.op(Op.f64Mul)
    }
    big()
    big()
    code.get(x)
    code.op(Op.f64Sub)
    code.op(Op.f64Sub)
    code.set(xHigh)
    code.get(x)
    code.get(xHigh)
    code.op(Op.f64Sub)
    code.set(xLow)
  }
  const product = (x: number, y: number): void => {
    code.get(x)
    code.get(y)
    code.op(Op.f64Mul)
  }
  product(aLow, bLow)
  code.get(high)
  product(aHigh, bHigh)
  code.op(Op.f64Sub)
  product(aLow, bHigh)
  code.op(Op.f64Sub)
  product(aHigh, bLow)
  code.op(Op.f64Sub)
  code.op(Op.f64Sub)
}

/**
 * Pushes whether three numbers lie well inside the bounds for a * b + c: exponents of a and b from -256 to 255, of c from
 * -512 to 511, which are powers of two of exponents.
 */
function pushCommon(code: Code, a: number, b: number, c: number): void {
  const excess = (x: number, least: number): void => {
    code.get(x)
    code.op(Op.i64ReinterpretF64)
    code.i64(52)
    code.op(Op.i64ShrU)
    code.op(Op.i32WrapI64)
    code.i32(0x7ff)
    code.op(Op.i32And)
    code.i32(1023 + least)
    code.op(Op.i32Sub)
  }
  excess(a, -256)
  excess(b, -256)
  code.op(Op.i32Or)
  excess(c, -512)
  code.i32(1)
  code.op(Op.i32ShrU)
  code.op(Op.i32Or)
  code.i32(512)
  code.op(Op.i32LtU)
}

/** (a, b, c) -> f64: a * b + c rounded once; NaN if this way cannot tell. What comes out is exact if it is tiny. */
export function fmaBody(code: Code): void {
  const [a, b, c] = [0, 1, 2]
  const local = (): number => code.local(Type.f64)
  const [high, low, sum, total] = [local(), local(), local(), local()]
  const [sumError, totalError] = [local(), local()]
  const isZero = (x: number): void => {
    code.get(x)
    code.f64(0)
    code.op(Op.f64Eq)
  }
  code.get(a)
  code.get(b)
  code.op(Op.f64Mul)
  code.set(high)
  pushCommon(code, a, b, c)
  code.op(Op.i32Eqz)
  code.if()
  pushWithin(code, high)
  pushWithin(code, c)
  isZero(c)
  code.op(Op.i32Or)
  code.op(Op.i32And)
  for (const factor of [a, b]) {
    pushAtMost(code, factor, LARGEST_FACTOR)
    code.op(Op.i32And)
  }
  code.op(Op.i32Eqz)
  code.if()
  // A product that is zero is exact, and so is the sum.
  isZero(a)
  isZero(b)
  code.op(Op.i32Or)
  code.if()
  code.get(high)
  code.get(c)
  code.op(Op.f64Add)
  code.return()
  code.end()
  code.f64(Number.NaN)
  code.return()
  code.end()
  code.end()
  pushProductError(code, a, b, high)
  code.set(low)
  pushSum(code, c, low, sum)
  pushError(code, c, low, sum)
  code.set(sumError)
  pushSum(code, high, sum, total)
  pushError(code, high, sum, total)
  code.set(totalError)
  code.get(total)
  pushOddSum(code, sumError, totalError)
  code.op(Op.f64Add)
}

/** (a, b, product) -> i32: 0 if the product is exactly a * b, 1 if it is not, or `UNKNOWN`. */
export function productDiffersBody(code: Code): void {
  const [a, b, product] = [0, 1, 2]
  const high = code.local(Type.f64)
  code.get(a)
  code.get(b)
  code.op(Op.f64Mul)
  code.tee(high)
  code.f64(0)
  code.op(Op.f64Eq)
  code.get(a)
  code.f64(0)
  code.op(Op.f64Eq)
  code.get(b)
  code.f64(0)
  code.op(Op.f64Eq)
  code.op(Op.i32Or)
  code.op(Op.i32And)
  code.if()
  code.get(product)
  code.f64(0)
  code.op(Op.f64Ne)
  code.return()
  code.end()
  pushWithin(code, high)
  for (const factor of [a, b]) {
    pushAtMost(code, factor, LARGEST_FACTOR)
    code.op(Op.i32And)
  }
  code.op(Op.i32Eqz)
  code.if()
  code.i32(UNKNOWN)
  code.return()
  code.end()
  code.get(high)
  code.get(product)
  code.op(Op.f64Ne)
  pushProductError(code, a, b, high)
  code.f64(0)
  code.op(Op.f64Ne)
  code.op(Op.i32Or)
}

/** (a, b, sum) -> i32: 0 if `sum` is exactly a + b, 1 if it is not, or `UNKNOWN`. */
export function sumDiffersBody(code: Code): void {
  const [a, b, given] = [0, 1, 2]
  const sum = code.local(Type.f64)
  pushAtMost(code, a, LARGEST)
  pushAtMost(code, b, LARGEST)
  code.op(Op.i32And)
  code.op(Op.i32Eqz)
  code.if()
  code.i32(UNKNOWN)
  code.return()
  code.end()
  pushSum(code, a, b, sum)
  code.get(sum)
  code.get(given)
  code.op(Op.f64Ne)
  pushError(code, a, b, sum)
  code.f64(0)
  code.op(Op.f64Ne)
  code.op(Op.i32Or)
}
