/**
 * How typed arrays are read: as 32-bit words, whatever their elements are.
 *
 * R1 What is compared are bits: of two zeroes or two values that are no numbers, each counts as itself.
 */
import { bytesEqual } from '../../base/index.ts'
import type { KindParts, Reading } from './cell.ts'

export type Words = Int32Array | Uint32Array | Uint8Array | Float64Array

/** Words from which on a call for the whole is faster than a loop. */
const LONG = 128

/** Most elements of long arrays are zero. */
function readWords(words: ArrayLike<number>, reading: Reading): void {
  reading.mix(words.length)
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!
    if (word === 0) continue
    reading.mix(at)
    reading.mix(word)
  }
}

/** Of a length that is no whole number of words. */
const bytesParts: KindParts<Uint8Array, Uint8Array> = {
  isSame(bytes, copy) {
    for (let at = 0; at < copy.length; at++) if (bytes[at] !== copy[at]) return false
    return true
  },
  copy: (bytes) => bytes.slice(),
  read: readWords,
  putBack: (bytes, copy) => bytes.set(copy),
}

/** The copy is no typed array: short ones of those are dear to make. */
const wordsParts: KindParts<Int32Array, readonly number[]> = {
  isSame(words, copy) {
    const { length } = copy
    const whole = length & ~3
    let at = 0
    for (; at < whole; at += 4) {
      if (words[at] !== copy[at] || words[at + 1] !== copy[at + 1]) return false
      if (words[at + 2] !== copy[at + 2] || words[at + 3] !== copy[at + 3]) return false
    }
    for (; at < length; at++) if (words[at] !== copy[at]) return false
    return true
  },
  copy(words) {
    const { length } = words
    const copy: number[] = []
    copy.length = length
    for (let at = 0; at < length; at++) copy[at] = words[at]!
    return copy
  },
  read: readWords,
  putBack(words, copy) {
    for (let at = 0; at < copy.length; at++) words[at] = copy[at]!
  },
}

/** As bytes. */
const longParts: KindParts<Uint8Array, Uint8Array> = {
  isSame: bytesEqual,
  copy: (bytes) => bytes.slice(),
  read: (copy, reading) => readWords(new Int32Array(copy.buffer), reading),
  putBack: (bytes, copy) => bytes.set(copy),
}

/** How an array is read, and as what. */
export function readAs({ buffer, byteOffset, byteLength }: Words): { readonly view: object; readonly parts: unknown } {
  const isWhole = ((byteOffset | byteLength) & 3) === 0
  const words = byteLength >>> 2
  if (isWhole && words < LONG) return { view: new Int32Array(buffer, byteOffset, words), parts: wordsParts }
  return { view: new Uint8Array(buffer, byteOffset, byteLength), parts: isWhole ? longParts : bytesParts }
}

/** Do both show the same words, so that one cannot change without the other? */
export function isSameView(one: Words, other: Words): boolean {
  return one.buffer === other.buffer && one.byteOffset === other.byteOffset && one.byteLength === other.byteLength
}
