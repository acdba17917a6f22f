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
  return map.size * 2 === entries.length && (entries.length === 0 || comparison.isSameMap(map, entries))
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
  return set.size === entries.length && (entries.length === 0 || comparison.isSameSet(set, entries))
}

/** Goes through entries without making an iterator, or an array for each. */
class Comparison {
  private entries: Values = []
  private at = 0
  private isSame = true
  private readonly takeEntry = (value: unknown, key: unknown): void => {
    if (this.entries[this.at++] !== key || this.entries[this.at++] !== value) this.isSame = false
  }
  private readonly takeKey = (key: unknown): void => {
    if (this.entries[this.at++] !== key) this.isSame = false
  }

  /** @param entries as many as the map has */
  isSameMap(map: ReadonlyMap<unknown, unknown>, entries: Values): boolean {
    this.begin(entries)
    map.forEach(this.takeEntry)
    return this.isSame
  }

  isSameSet(set: ReadonlySet<unknown>, entries: Values): boolean {
    this.begin(entries)
    set.forEach(this.takeKey)
    return this.isSame
  }

  private begin(entries: Values): void {
    this.entries = entries
    this.at = 0
    this.isSame = true
  }
}

const comparison: Comparison = new Comparison()
