/**
 * Decoded instructions by instruction word.
 *
 * R1 The key is the word itself, fetched from memory on every execution: no store, fence.i, unmapped or reused frame can
 *    make an entry stale.
 * R2 One cache may serve all harts of a machine.
 */
import { type Decoded, Decoder } from '../isa/index.ts'

const SLOTS = 1 << 14

export class DecodeCache {
  static readonly opaque = true
  /** 16-bit instructions, each in its own place. */
  readonly shorts: (Decoded | undefined)[] = Array.from({ length: 1 << 16 }, () => undefined)
  /** 32-bit instructions, one per hash value. */
  readonly words: Int32Array = new Int32Array(SLOTS)
  readonly decoded: (Decoded | undefined)[] = Array.from({ length: SLOTS }, () => undefined)
  private readonly decoder = new Decoder()

  /** @param half the 16 bits of a short instruction */
  short(half: number): Decoded {
    const known = this.shorts[half]
    return known ?? this.fillShort(half)
  }

  /** @param word the 32 bits of a long instruction, signed */
  long(word: number): Decoded {
    const slot = (word ^ (word >>> 11) ^ (word >>> 21)) & (SLOTS - 1)
    const known = this.decoded[slot]
    return known !== undefined && this.words[slot] === word ? known : this.fillLong(word, slot)
  }

  private fillShort(half: number): Decoded {
    const decoded = this.decoder.decode(half)
    this.shorts[half] = decoded
    return decoded
  }

  private fillLong(word: number, slot: number): Decoded {
    const decoded = this.decoder.decode(word)
    this.words[slot] = word
    this.decoded[slot] = decoded
    return decoded
  }
}
