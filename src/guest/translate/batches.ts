/**
 * Modules of translated code that are kept, oldest first, and the slots of the table that their functions have.
 *
 * R1 The slots of a batch are in a row, and given out in a circle: what stands in the way is as a rule the oldest.
 */

/** Functions that can be live at once. */
export const SLOTS = 8192
/** Bytes of modules that are kept; resident they take about twelve times that, machine code in two tiers and all. */
const MAX_BYTES = 3 * 1024 * 1024

export interface Batch<Unit> {
  readonly slot: number
  readonly count: number
  readonly bytes: number
  readonly units: readonly Unit[]
}

export class Batches<Unit> {
  static readonly opaque = true
  private readonly maxBytes: number
  private batches: Batch<Unit>[] = []
  private live = 0
  private nextSlot = 0

  /** @param maxBytes of modules that are kept */
  constructor(maxBytes: number = MAX_BYTES) {
    this.maxBytes = maxBytes
  }

  /** Bytes of all. */
  get bytes(): number {
    return this.live
  }

  get count(): number {
    return this.batches.length
  }

  /** The first of so many slots for the next batch. The caller evicts until nothing is `inTheWay`. */
  nextSlots(count: number): number {
    if (this.nextSlot + count > SLOTS) this.nextSlot = 0
    const slot = this.nextSlot
    this.nextSlot += count
    return slot
  }

  /** Whether a batch has slots that are to be given out, or is too much beside so many bytes. */
  inTheWay(slot: number, count: number, bytes: number): boolean {
    const overlaps = ({ slot: first, count: size }: Batch<Unit>): boolean => first < slot + count && first + size > slot
    return this.batches.length > 0 && (this.live + bytes > this.maxBytes || this.batches.some(overlaps))
  }

  add(batch: Batch<Unit>): void {
    this.batches.push(batch)
    this.live += batch.bytes
  }

  /** Forgets the oldest; undefined if there is none. */
  takeOldest(): Batch<Unit> | undefined {
    const batch = this.batches.shift()
    if (batch !== undefined) this.live -= batch.bytes
    return batch
  }
}
