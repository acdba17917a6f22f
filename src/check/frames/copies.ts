/**
 * Copies of what a snapshot finds in lists and typed arrays, kept from one state to the next: most of it is the same.
 *
 * R1 A copy is never changed: records of many states share it.
 */
import { StateHash } from './state-hash.ts'

export type Words = Int32Array | Uint32Array | Uint8Array | Float64Array
type View = Int32Array | Uint8Array

/** Elements of an array, entries of a Map or Set, as they were. */
export interface List {
  readonly values: readonly unknown[]
  /** Its hash is the same in all states. */
  readonly isFixed: boolean
  readonly a: number
  readonly b: number
}

export function isSameList(values: readonly unknown[], copy: readonly unknown[]): boolean {
  if (values === copy) return true
  if (values.length !== copy.length) return false
  for (let at = 0; at < values.length; at++) if (values[at] !== copy[at]) return false
  return true
}

/** Words as they were, and their hash. */
export interface Copy {
  /** The array itself, as integers. */
  readonly view: View
  readonly words: View
  readonly a: number
  readonly b: number
}

/** Any typed array as 32-bit words, so that nearly all are compared in one way; as bytes where it has no whole words. */
export function viewOf({ buffer, byteOffset, byteLength }: Words): View {
  const isWhole = ((byteOffset | byteLength) & 3) === 0
  return isWhole ? new Int32Array(buffer, byteOffset, byteLength >>> 2) : new Uint8Array(buffer, byteOffset, byteLength)
}

export function isSame(words: View, copy: View): boolean {
  for (let at = 0; at < words.length; at++) if (words[at] !== copy[at]) return false
  return true
}

export function copyOf(view: View): Copy {
  const words = view.slice()
  const hash = new StateHash()
  hash.reset()
  hash.mix(words.length)
  for (let at = 0; at < words.length; at++) hash.mix(words[at] as number)
  hash.finish()
  return { view, words, a: hash.a, b: hash.b }
}

export function isSameMap(map: ReadonlyMap<unknown, unknown>, entries: readonly unknown[]): boolean {
  if (map.size * 2 !== entries.length) return false
  let at = 0
  for (const [key, value] of map) if (key !== entries[at++] || value !== entries[at++]) return false
  return true
}

export function isSameSet(set: ReadonlySet<unknown>, entries: readonly unknown[]): boolean {
  if (set.size !== entries.length) return false
  let at = 0
  for (const entry of set) if (entry !== entries[at++]) return false
  return true
}

export function putBackMap(map: Map<unknown, unknown>, entries: readonly unknown[]): void {
  if (isSameMap(map, entries)) return
  map.clear()
  for (let at = 0; at < entries.length; at += 2) map.set(entries[at], entries[at + 1])
}

export function putBackSet(set: Set<unknown>, entries: readonly unknown[]): void {
  if (isSameSet(set, entries)) return
  set.clear()
  for (const entry of entries) set.add(entry)
}
