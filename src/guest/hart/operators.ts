/**
 * The arithmetic of the reference interpreter: RISC-V operators on signed 64-bit BigInts.
 * RISC-V unprivileged specification 20240411, chapters 2, 4 and 12.
 *
 * R1 Arguments and results lie in [-2^63, 2^63).
 */

const signed = (value: bigint): bigint => BigInt.asIntN(64, value)
const unsigned = (value: bigint): bigint => BigInt.asUintN(64, value)

export class Operators {
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
    return signed(a << (amount & 63n))
  }
  shiftRight(a: bigint, amount: bigint): bigint {
    return signed(unsigned(a) >> (amount & 63n))
  }
  shiftRightSigned(a: bigint, amount: bigint): bigint {
    return a >> (amount & 63n)
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
}
