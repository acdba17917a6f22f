/** How arrays, Maps and Sets are read. */
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
