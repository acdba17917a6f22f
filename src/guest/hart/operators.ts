/**
 * The arithmetic of the reference interpreter: RISC-V operators on signed 64-bit BigInts.
 * RISC-V unprivileged specification 20240411, chapters 2, 4 and 12.
 *
 * R1 Arguments and results lie in [-2^63, 2^63).
 * R2 Shifts work on 32-bit halves: a BigInt shift by a variable amount costs V8 an allocation, the halves do not.
 */

const signed = (value: bigint): bigint => BigInt.asIntN(64, value)
const unsigned = (value: bigint): bigint => BigInt.asUintN(64, value)

export class Operators {
  /** Scratch: a value, a shift amount, and both as halves (little-endian). */
  private readonly wide = new BigInt64Array(2)
  private readonly parts = new Int32Array(this.wide.buffer)

  constant(value: bigint): bigint {
    return value
  }
  add(a: bigint, b: bigint): bigint {
    return signed(a + b)
  }
  sub(a: bigint, b: bigint): bigint {
    return signed(a - b)
  }
  and(a: bigint, b: bigint): bigint {
    return a & b
  }
  or(a: bigint, b: bigint): bigint {
    return a | b
  }
  xor(a: bigint, b: bigint): bigint {
    return a ^ b
  }
  shiftLeft(a: bigint, amount: bigint): bigint {
    const { parts } = this
    const n = this.split(a, amount)
    const low = parts[0] as number
    if (n >= 32) {
      parts[1] = low << n
      parts[0] = 0
    } else if (n > 0) {
      parts[1] = ((parts[1] as number) << n) | (low >>> (32 - n))
      parts[0] = low << n
    }
    return this.wide[0] as bigint
  }
  shiftRight(a: bigint, amount: bigint): bigint {
    const { parts } = this
    const n = this.split(a, amount)
    const high = parts[1] as number
    if (n >= 32) {
      parts[0] = high >>> n
      parts[1] = 0
    } else if (n > 0) {
      parts[0] = ((parts[0] as number) >>> n) | (high << (32 - n))
      parts[1] = high >>> n
    }
    return this.wide[0] as bigint
  }
  shiftRightSigned(a: bigint, amount: bigint): bigint {
    const { parts } = this
    const n = this.split(a, amount)
    const high = parts[1] as number
    if (n >= 32) {
      parts[0] = high >> n
      parts[1] = high >> 31
    } else if (n > 0) {
      parts[0] = ((parts[0] as number) >>> n) | (high << (32 - n))
      parts[1] = high >> n
    }
    return this.wide[0] as bigint
  }

  /** Puts `a` into `parts[0..1]`; returns the amount, 0 to 63. The operators of numbers take it modulo 32. */
  private split(a: bigint, amount: bigint): number {
    this.wide[0] = a
    this.wide[1] = amount
    return (this.parts[2] as number) & 63
  }

  mul(a: bigint, b: bigint): bigint {
    return signed(a * b)
  }
  mulHigh(a: bigint, b: bigint): bigint {
    return signed((a * b) >> 64n)
  }
  mulHighUnsigned(a: bigint, b: bigint): bigint {
    return signed((unsigned(a) * unsigned(b)) >> 64n)
  }
  mulHighSignedUnsigned(a: bigint, b: bigint): bigint {
    return signed((a * unsigned(b)) >> 64n)
  }
  div(a: bigint, b: bigint): bigint {
    return b === 0n ? -1n : signed(a / b)
  }
  divUnsigned(a: bigint, b: bigint): bigint {
    return b === 0n ? -1n : signed(unsigned(a) / unsigned(b))
  }
  rem(a: bigint, b: bigint): bigint {
    return b === 0n ? a : signed(a % b)
  }
  remUnsigned(a: bigint, b: bigint): bigint {
    return b === 0n ? a : signed(unsigned(a) % unsigned(b))
  }
  rotateLeft(a: bigint, amount: bigint): bigint {
    return this.rotate(a, Number(amount & 63n))
  }
  rotateRight(a: bigint, amount: bigint): bigint {
    return this.rotate(a, Number(-amount & 63n))
  }
  private rotate(a: bigint, left: number): bigint {
    return this.shiftLeft(a, BigInt(left)) | (left === 0 ? 0n : this.shiftRight(a, BigInt(64 - left)))
  }
  countLeadingZeros(a: bigint): bigint {
    const { parts } = this
    this.wide[0] = a
    const high = Math.clz32(parts[1] as number)
    return BigInt(high < 32 ? high : 32 + Math.clz32(parts[0] as number))
  }
  /** What comes below the lowest one is all that `a` and `a - 1` have in common as zeros and ones. */
  countTrailingZeros(a: bigint): bigint {
    return 64n - this.countLeadingZeros(signed(~a & (a - 1n)))
  }
  countOnes(a: bigint): bigint {
    let count = 0n
    for (let rest = unsigned(a); rest !== 0n; rest &= rest - 1n) count++
    return count
  }
  reverseBytes(a: bigint): bigint {
    let result = 0n
    for (let at = 0n; at < 64n; at += 8n) result = (result << 8n) | ((a >> at) & 0xffn)
    return signed(result)
  }
  signExtend32(a: bigint): bigint {
    return BigInt.asIntN(32, a)
  }
  zeroExtend32(a: bigint): bigint {
    return BigInt.asUintN(32, a)
  }

  equal(a: bigint, b: bigint): boolean {
    return a === b
  }
  notEqual(a: bigint, b: bigint): boolean {
    return a !== b
  }
  less(a: bigint, b: bigint): boolean {
    return a < b
  }
  lessUnsigned(a: bigint, b: bigint): boolean {
    return unsigned(a) < unsigned(b)
  }
  greaterEqual(a: bigint, b: bigint): boolean {
    return a >= b
  }
  greaterEqualUnsigned(a: bigint, b: bigint): boolean {
    return unsigned(a) >= unsigned(b)
  }
  truth(condition: boolean): bigint {
    return condition ? 1n : 0n
  }
  choose(a: bigint, b: bigint, condition: boolean): bigint {
    return condition ? a : b
  }
}
