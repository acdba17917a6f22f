/**
 * Which entries of a large TLB are valid: as a list, and chained by their `extra`, so that a flush takes time by what it
 * removes.
 */

const NONE = -1

export class UsedEntries {
  /** Valid entries, and their indexes in no order. */
  count = 0
  readonly indexes: Int32Array
  /** Place of each valid entry in the list. */
  private readonly places: Int32Array
  /** First entry of each chain, and each entry's neighbours and chain. */
  private readonly heads: Int32Array
  private readonly nexts: Int32Array
  private readonly previous: Int32Array
  private readonly chains: Int32Array

  /** @param entries a power of two */
  constructor(entries: number) {
    this.indexes = new Int32Array(entries)
    this.places = new Int32Array(entries)
    this.heads = new Int32Array(entries).fill(NONE)
    this.nexts = new Int32Array(entries)
    this.previous = new Int32Array(entries)
    this.chains = new Int32Array(entries)
  }

  /** An entry has become valid. */
  add(index: number, extra: number): void {
    this.places[index] = this.count
    this.indexes[this.count++] = index
    const chain = this.chainOf(extra)
    const next = this.heads[chain] as number
    this.chains[index] = chain
    this.nexts[index] = next
    this.previous[index] = NONE
    if (next !== NONE) this.previous[next] = index
    this.heads[chain] = index
  }

  /** A valid entry is valid no more; the last of the list takes its place. */
  remove(index: number): void {
    const place = this.places[index] as number
    const last = this.indexes[--this.count] as number
    this.indexes[place] = last
    this.places[last] = place
    const next = this.nexts[index] as number
    const before = this.previous[index] as number
    if (next !== NONE) this.previous[next] = before
    if (before === NONE) this.heads[this.chains[index] as number] = next
    else this.nexts[before] = next
  }

  /** No entry is valid any more. */
  clear(): void {
    this.count = 0
    this.heads.fill(NONE)
  }

  /** First of the entries among which those with this `extra` are, or -1. */
  first(extra: number): number {
    return this.heads[this.chainOf(extra)] as number
  }

  /** The one that follows, or -1. */
  next(index: number): number {
    return this.nexts[index] as number
  }

  private chainOf(extra: number): number {
    return extra & (this.heads.length - 1)
  }
}
