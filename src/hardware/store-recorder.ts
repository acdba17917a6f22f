/**
 * What the explorer needs from physical memory: an undo log of stores, and a digest kept up to date at each store.
 *
 * A frame's digest is the sum over its 32-bit words of `mix(index in the frame, value)`, where a zero word counts zero; the
 * memory's hash is the sum over its frames of `mix(frame number, digest)`. A store then costs one subtraction and one
 * addition at each level, and undoing it gives back the very same numbers.
 *
 * R1 A store is bracketed: `begin` saves the aligned words it covers, `end` compares them and notes those that changed.
 * R2 The undo log holds (word, old value) pairs and is taken back strictly from its end.
 * R3 Digests depend on contents alone: never on the order or the number of the stores that produced them.
 * R4 Opaque: nothing here is protocol state of its own, all of it is derived from the frames.
 */
import { KernelError, PAGE_SIZE } from '../base/index.ts'

const WORD_SHIFT = 2
const WORDS_PER_FRAME: number = PAGE_SIZE >> WORD_SHIFT
const FRAME_WORD_MASK: number = WORDS_PER_FRAME - 1
const FRAME_WORD_SHIFT = 10
/** The widest bracket: one frame's worth of bytes at any alignment. */
const MAX_BRACKET: number = WORDS_PER_FRAME + 1

/** Which of the two independent 32-bit digests. */
export type DigestHalf = 0 | 1

/** Finaliser of MurmurHash3: every input bit reaches every output bit. */
function avalanche(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/** The two halves mix index and value by different means, so that a collision in one says nothing about the other. */
const mix0 = (index: number, value: number): number =>
  value === 0 ? 0 : avalanche(value ^ Math.imul(index + 1, 0x9e3779b1))
const mix1 = (index: number, value: number): number =>
  value === 0 ? 0 : avalanche(Math.imul(value, 0xcc9e2d51) + avalanche(index ^ 0x5bd1e995))

export class StoreRecorder {
  static readonly opaque = true
  private readonly words: Int32Array
  private readonly frames: number
  private journaling = false
  private digesting = false
  /** Pairs (word index, old value); the first `used` numbers count. */
  private journal: Int32Array
  private used = 0
  private readonly saved: Int32Array
  private bracketFirst = 0
  private bracketCount = 0
  /** Two numbers a frame. Empty until the first hash is asked for. */
  private digests: Int32Array
  private total0 = 0
  private total1 = 0

  /** @param words all of physical memory as 32-bit words */
  constructor(words: Int32Array, frames: number) {
    this.words = words
    this.frames = frames
    this.journal = new Int32Array(0)
    this.saved = new Int32Array(MAX_BRACKET)
    this.digests = new Int32Array(0)
  }

  /** Opens the bracket of a store to `size` bytes (at most one frame) at byte `address`. */
  begin(address: number, size: number): void {
    const first = address >>> WORD_SHIFT
    const count = ((address + size - 1) >>> WORD_SHIFT) - first + 1
    for (let i = 0; i < count; i++) this.saved[i] = this.words[first + i] as number
    this.bracketFirst = first
    this.bracketCount = count
  }

  /** Closes the bracket after the store. */
  end(): void {
    for (let i = 0; i < this.bracketCount; i++) {
      const word = this.bracketFirst + i
      const before = this.saved[i] as number
      const now = this.words[word] as number
      if (before === now) continue
      if (this.journaling) this.log(word, before)
      if (this.digesting) this.redigest(word, before, now)
    }
  }

  /** Turns the journal on and returns the place to come back to. */
  mark(): number {
    this.journaling = true
    return this.used
  }

  /**
   * Takes stores back until the journal is as long as at `mark`, which stays valid; later marks do not.
   * @throws KernelError EINVAL for a mark that an earlier undo has passed
   */
  undo(mark: number): void {
    if (mark > this.used) {
      throw new KernelError(
        'EINVAL',
        `snapshot mark ${mark} was undone already: the journal holds ${this.used} numbers`,
      )
    }
    while (this.used > mark) {
      this.used -= 2
      const word = this.journal[this.used] as number
      const old = this.journal[this.used + 1] as number
      const now = this.words[word] as number
      this.words[word] = old
      if (this.digesting) this.redigest(word, now, old)
    }
  }

  /** Forgets all marks and digests, and records nothing until they are asked for again. */
  stop(): void {
    this.journaling = false
    this.digesting = false
    this.used = 0
  }

  /** Half of the hash of all frames. */
  hash(half: DigestHalf): number {
    this.startDigesting()
    return (half === 0 ? this.total0 : this.total1) >>> 0
  }

  /** Half of the digest of one frame: equal for frames of equal contents, wherever they are. */
  frameHash(frame: number, half: DigestHalf): number {
    this.startDigesting()
    return (this.digests[frame * 2 + half] as number) >>> 0
  }

  private log(word: number, before: number): void {
    if (this.used + 2 > this.journal.length) {
      const grown = new Int32Array(Math.max(1024, this.journal.length * 2))
      grown.set(this.journal)
      this.journal = grown
    }
    this.journal[this.used] = word
    this.journal[this.used + 1] = before
    this.used += 2
  }

  private redigest(word: number, before: number, now: number): void {
    const frame = word >>> FRAME_WORD_SHIFT
    const index = word & FRAME_WORD_MASK
    const old0 = this.digests[frame * 2] as number
    const old1 = this.digests[frame * 2 + 1] as number
    const new0 = (old0 - mix0(index, before) + mix0(index, now)) | 0
    const new1 = (old1 - mix1(index, before) + mix1(index, now)) | 0
    this.digests[frame * 2] = new0
    this.digests[frame * 2 + 1] = new1
    this.total0 = (this.total0 - mix0(frame, old0) + mix0(frame, new0)) | 0
    this.total1 = (this.total1 - mix1(frame, old1) + mix1(frame, new1)) | 0
  }

  private startDigesting(): void {
    if (this.digesting) return
    this.digesting = true
    if (this.digests.length === 0) this.digests = new Int32Array(this.frames * 2)
    this.total0 = 0
    this.total1 = 0
    for (let frame = 0; frame < this.frames; frame++) {
      const base = frame * WORDS_PER_FRAME
      let sum0 = 0
      let sum1 = 0
      for (let index = 0; index < WORDS_PER_FRAME; index++) {
        const value = this.words[base + index] as number
        if (value === 0) continue
        sum0 = (sum0 + mix0(index, value)) | 0
        sum1 = (sum1 + mix1(index, value)) | 0
      }
      this.digests[frame * 2] = sum0
      this.digests[frame * 2 + 1] = sum1
      this.total0 = (this.total0 + mix0(frame, sum0)) | 0
      this.total1 = (this.total1 + mix1(frame, sum1)) | 0
    }
  }
}
