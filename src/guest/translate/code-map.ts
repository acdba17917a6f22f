/**
 * The code map: from the host address of an entry to the function and the number of the entry, for generated code.
 *
 * R1 A row stands at the place that the entry's address determines; one for another entry may take it.
 * R2 A row that is removed is the entry's own: that of another at the same place stays.
 */
import type { PhysicalMemory } from '../../hardware/index.ts'
import { MAP_BYTES, MAP_HOST, MAP_ROW_SHIFT, MAP_TARGET, SLOT_SHIFT, mapRowOffset } from './unit-abi.ts'

/** In a row, instead of a host address. */
const NOWHERE = -1

export class CodeMap {
  static readonly opaque = true
  /** Offset in the memory. */
  readonly base: number
  private readonly rows: Int32Array

  /** @param base offset of a piece of `MAP_BYTES`, all zero */
  constructor(memory: PhysicalMemory, base: number) {
    this.base = base
    this.rows = new Int32Array(memory.memory.buffer, base, MAP_BYTES / 4)
    // Rows are zero at first, which is an address that only the first one may have.
    this.rows[MAP_HOST >> 2] = NOWHERE
  }

  /** Leads from a host address to an entry of the function in a slot. */
  set(host: number, slot: number, entry: number): void {
    const at = mapRowOffset(host) >> 2
    this.rows[at + (MAP_HOST >> 2)] = host
    this.rows[at + (MAP_TARGET >> 2)] = (slot << SLOT_SHIFT) | entry
  }

  remove(host: number): void {
    const at = mapRowOffset(host) >> 2
    if (this.rows[at + (MAP_HOST >> 2)] === host) this.rows[at + (MAP_HOST >> 2)] = NOWHERE
  }

  /** Rows that lead somewhere. */
  live(): number {
    let live = 0
    for (let at = MAP_HOST >> 2; at < this.rows.length; at += 1 << (MAP_ROW_SHIFT - 2))
      if ((this.rows[at] as number) > 0) live++
    return live
  }
}
