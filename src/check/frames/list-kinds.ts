/** How arrays, Maps, Sets and typed arrays are read. */
import type { KindParts } from './cell.ts'
import type { Reading } from './cell.ts'

type Values = readonly unknown[]

/** Elements or entries: those of long lists are mostly empty. */
function readList(values: Values, reading: Reading): void {
  reading.mix(values.length)
  for (let at = 0; at < values.length; at++) {
    if (values[at] === null) continue
    reading.mix(at)
    reading.value(values[at])
  }
}

export const arrayParts: KindParts<unknown[], Values> = {
  isSame(array, values) {
    if (array.length !== values.length) return false
    for (let at = 0; at < values.length; at++) if (array[at] !== values[at]) return false
    return true
  },
  copy: (array) => array.slice(),
  read: readList,
  putBack(array, values) {
    if (array.length !== values.length) array.length = values.length
    for (let at = 0; at < values.length; at++) if (array[at] !== values[at]) array[at] = values[at]
  },
}

export const mapParts: KindParts<Map<unknown, unknown>, Values> = {
  isSame: isSameMap,
  copy(map) {
    const entries: unknown[] = []
    for (const [key, value] of map) entries.push(key, value)
    return entries
  },
  read: readList,
  putBack(map, entries) {
    if (isSameMap(map, entries)) return
    map.clear()
    for (let at = 0; at < entries.length; at += 2) map.set(entries[at], entries[at + 1])
  },
}

function isSameMap(map: ReadonlyMap<unknown, unknown>, entries: Values): boolean {
  if (map.size * 2 !== entries.length) return false
  if (entries.length === 0) return true
  let at = 0
  for (const [key, value] of map) if (key !== entries[at++] || value !== entries[at++]) return false
  return true
}

export const setParts: KindParts<Set<unknown>, Values> = {
  isSame: isSameSet,
  copy: (set) => [...set],
  read: readList,
  putBack(set, entries) {
    if (isSameSet(set, entries)) return
    set.clear()
    for (const entry of entries) set.add(entry)
  },
}

function isSameSet(set: ReadonlySet<unknown>, entries: Values): boolean {
  if (set.size !== entries.length) return false
  if (entries.length === 0) return true
  let at = 0
  for (const entry of set) if (entry !== entries[at++]) return false
  return true
}

export type Words = Int32Array | Uint32Array | Uint8Array | Float64Array
type View = Int32Array | Uint8Array

/** Any typed array as 32-bit words, so that nearly all are compared in one way; as bytes where it has no whole words. */
export function viewOf({ buffer, byteOffset, byteLength }: Words): View {
  const isWhole = ((byteOffset | byteLength) & 3) === 0
  return isWhole ? new Int32Array(buffer, byteOffset, byteLength >>> 2) : new Uint8Array(buffer, byteOffset, byteLength)
}

/** Of the views. */
export const wordsParts: KindParts<View, View> = {
  isSame(words, copy) {
    for (let at = 0; at < words.length; at++) if (words[at] !== copy[at]) return false
    return true
  },
  copy: (words) => words.slice(),
  read(words, reading) {
    reading.mix(words.length)
    for (let at = 0; at < words.length; at++) {
      if (words[at] === 0) continue
      reading.mix(at)
      reading.mix(words[at] as number)
    }
  },
  putBack: (words, copy) => words.set(copy),
}
