/**
 * Seeded randomness: every random choice of a run comes from the kernel's one seed.
 *
 * R1 A stream is made by name, so that adding a consumer does not shift what another one draws.
 */
import { uniformInt } from 'pure-rand/distribution/uniformInt'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator'

/** FNV-1a over UTF-16 code units: turns a stream's name into seed material. */
function hashName(name: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** One stream of pseudo-random numbers (xoroshiro128+). */
export class Random {
  private readonly generator: RandomGenerator
  readonly seed: number

  /** @param seed any integer; its low 32 bits count. */
  constructor(seed: number) {
    this.seed = seed | 0
    this.generator = xoroshiro128plus(this.seed)
  }

  /** An independent stream, the same for the same seed and name. */
  stream(name: string): Random {
    return new Random(Math.imul(this.seed, 0x9e3779b1) ^ hashName(name))
  }

  /** An integer in [0, bound). */
  below(bound: number): number {
    return uniformInt(this.generator, 0, bound - 1)
  }

  /** An integer in [from, to], both included. */
  between(from: number, to: number): number {
    return uniformInt(this.generator, from, to)
  }

  /** True once in `n` on average. */
  oneIn(n: number): boolean {
    return this.below(n) === 0
  }

  /** One element of a non-empty array. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }

  /** 32 uniform bits, as a signed integer. */
  next32(): number {
    return this.generator.next()
  }

  /** 64 uniform bits. */
  next64(): bigint {
    return (BigInt(this.next32() >>> 0) << 32n) | BigInt(this.next32() >>> 0)
  }
}
