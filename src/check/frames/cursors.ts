/**
 * Iterators of loops that await: like those of the language, with their places in fields that a snapshot sees.
 *
 * R1 Fields are written under the names that modules.ts lists.
 */

/** As the native one: it sees what is appended while the loop runs. */
export class ArrayCursor implements Iterator<unknown> {
  private readonly values: ArrayLike<unknown>
  private at = 0

  constructor(values: ArrayLike<unknown>) {
    this.values = values
  }

  next(): IteratorResult<unknown> {
    if (this.at >= this.values.length) return { done: true, value: undefined }
    return { done: false, value: this.values[this.at++] }
  }
}

/** As the native one, except that an entry that is deleted and added again during the loop is not seen twice. */
export class KeyedCursor implements Iterator<unknown> {
  private readonly entries: Map<unknown, unknown> | Set<unknown>
  private readonly seen = new Set<unknown>()

  constructor(entries: Map<unknown, unknown> | Set<unknown>) {
    this.entries = entries
  }

  next(): IteratorResult<unknown> {
    const keyed = this.entries instanceof Map
    for (const entry of this.entries) {
      const key = keyed ? (entry as [unknown, unknown])[0] : entry
      if (this.seen.has(key)) continue
      this.seen.add(key)
      return { done: false, value: entry }
    }
    return { done: true, value: undefined }
  }
}
