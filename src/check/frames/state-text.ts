/**
 * A state in words: every value that a snapshot would hash, under the path that leads to it. For finding out what makes
 * two states differ that were thought to be the same, and what a search that has too many states is counting.
 */
import type { Snapshots } from './snapshots.ts'

/** Path -> value, in the order of the visit. Objects show their class and the number that the hash gives them. */
export function stateText(snapshots: Snapshots): ReadonlyMap<string, string> {
  const text = new Map<string, string>()
  const numbers = new Map<object, number>()
  const found: { readonly object: object; readonly path: string }[] = []
  const show = (path: string, value: unknown): void => {
    if (value === null || (typeof value !== 'object' && typeof value !== 'function')) {
      text.set(path, typeof value === 'string' ? `'${value}'` : String(value))
      return
    }
    const { kind, name } = snapshots.shapeOf(value)
    if (kind === 'opaque') return
    let number = numbers.get(value)
    if (number === undefined) {
      numbers.set(value, (number = numbers.size))
      found.push({ object: value, path })
    }
    text.set(path, `${name} #${number}`)
  }
  for (const name in snapshots.rootsByName) show(name, snapshots.rootsByName[name])
  for (const { object, path } of found) {
    for (const [name, value] of snapshots.childrenOf(object)) {
      show(/^[[.(]/.test(name) ? path + name : `${path}.${name}`, value)
    }
  }
  return text
}

/** The paths under which two states differ, with both values. */
export function differences(one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>): readonly string[] {
  const lines: string[] = []
  for (const [path, value] of one) {
    const now = other.get(path)
    if (now !== value) lines.push(`${path}: ${value}, ${now ?? 'nothing'}`)
  }
  for (const [path, value] of other) if (!one.has(path)) lines.push(`${path}: nothing, ${value}`)
  return lines
}
