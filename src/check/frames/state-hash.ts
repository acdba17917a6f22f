/**
 * Two 32-bit hashes of one sequence of values, mixed by different means, so that a collision in one says nothing about
 * the other: together 64 bits. Among a million states the chance that any two collide is below one in thirty million.
 *
 * R1 Equal sequences hash alike in one process; strings are compared by number, so hashes mean nothing in another one.
 */

/** Numbers of strings and of constants: the same for all worlds that are compared. */
export class Names {
  private readonly numbers = new Map<unknown, number>()

  numberOf(name: unknown): number {
    let number = this.numbers.get(name)
    if (number === undefined) this.numbers.set(name, (number = this.numbers.size))
    return number
  }
}

/** What stands before a value that is no small integer. */
export const Tag = {
  double: 0x6b84_2c51,
  text: 0x1fd3_9a07,
  big: 0x5c10_e2b3,
  object: 0x37a9_44ed,
  base: 0x7b1e_5f23,
  nothing: 0x4e67_c6a7,
  null: 0x2545_f491,
  true: 0x7f4a_7c15,
  false: 0x1656_67b1,
  constant: 0x27d4_eb2f,
  opaque: 0x165d_3a19,
  end: 0x0b3d_11c7,
} as const

const floats: Float64Array = new Float64Array(1)
const halves: Int32Array = new Int32Array(floats.buffer)

export class StateHash {
  a = 0
  b = 0

  reset(): void {
    this.a = 0x1234_5678
    this.b = 0x5bd1_e995
  }

  /** Takes in 32 bits. */
  mix(value: number): void {
    let k = Math.imul(value, 0xcc9e_2d51)
    k = Math.imul((k << 15) | (k >>> 17), 0x1b87_3593)
    const a = this.a ^ k
    this.a = (Math.imul((a << 13) | (a >>> 19), 5) + 0xe654_6b64) | 0
    let j = Math.imul(value ^ (value >>> 15), 0x85eb_ca6b)
    j = Math.imul((j << 11) | (j >>> 21), 0x9e37_79b1)
    const b = this.b ^ j
    this.b = (Math.imul((b << 17) | (b >>> 15), 9) + 0x38b3_4ae5) | 0
  }

  /** Takes in the two words of another hash that has ended. */
  pair(a: number, b: number): void {
    const x = this.a ^ a
    this.a = (Math.imul((x << 13) | (x >>> 19), 5) + 0xe654_6b64) | 0
    const y = this.b ^ b
    this.b = (Math.imul((y << 17) | (y >>> 15), 9) + 0x38b3_4ae5) | 0
  }

  number(value: number): void {
    if ((value | 0) === value) {
      this.mix(value)
      return
    }
    floats[0] = value
    this.mix(Tag.double)
    this.mix(halves[0] as number)
    this.mix(halves[1] as number)
  }

  /** Ends the sequence: every bit reaches every bit. */
  finish(): void {
    this.a = avalanche(this.a)
    this.b = avalanche(this.b ^ 0x9747_b28c)
  }
}

function avalanche(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35)
  return (h ^ (h >>> 16)) >>> 0
}
