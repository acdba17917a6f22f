/**
 * Pages of warm code whose instructions the interpreter below the translator keeps in decoded form
 * (unit-hooks.ts has the records and the table that leads to them).
 *
 * R1 A page of records is zero when it is given to a frame. The interpreter fills it.
 * R2 The frame is watched as long as it has records: the owner of this drops them before a store.
 * R3 When all pages are taken, the one that was given out longest ago is.
 */
import { PAGE_SIZE } from '../../base/index.ts'
import type { Pfn } from '../../base/index.ts'
import type { PhysicalMemory } from '../../hardware/index.ts'
import { EXPANSIONS_BYTES } from '../wasm/interpreter-module.ts'
import { HART_AREA_BYTES } from '../wasm/layout.ts'
import { RECORD_PAGE_BYTES, RECORD_ROWS, RECORD_ROW_BYTES } from '../wasm/unit-hooks.ts'

/** Pages of records at most. */
const PAGES = 128
/** Part of the free scratch area that may be taken for them, and what others may still need of it. */
const SHARE = 4
const OTHERS: number = EXPANSIONS_BYTES + HART_AREA_BYTES
/** In place of a frame's address. */
const NONE = -1
/** Bytes of the table of pages with records. */
export const RECORD_ROWS_BYTES: number = RECORD_ROWS * RECORD_ROW_BYTES

export class RecordPages {
  static readonly opaque = true
  /** Changes whenever records are dropped. */
  generation = 0
  private readonly memory: PhysicalMemory
  private readonly rows: Int32Array
  /** Of the whole memory. */
  private readonly bytes: Uint8Array
  private readonly pages: number[] = []
  /** Who has each page, `NONE` for nobody, and whose turn it is to lose it. */
  private readonly owners: number[] = []
  private turn = 0

  /** @param table offset of a piece of `RECORD_ROWS_BYTES` */
  constructor(memory: PhysicalMemory, table: number) {
    this.memory = memory
    this.bytes = new Uint8Array(memory.memory.buffer)
    this.rows = new Int32Array(memory.memory.buffer, table, RECORD_ROWS_BYTES / 4).fill(NONE)
  }

  /** Takes the memory for the pages. */
  reserve(): void {
    const { scratch } = this.memory
    const count = Math.min(PAGES, Math.floor(Math.max(0, scratch.available - OTHERS) / SHARE / RECORD_PAGE_BYTES))
    for (let i = 0; i < count; i++) {
      const page = scratch.allocate(RECORD_PAGE_BYTES)
      if (page < 0) return
      this.pages.push(page)
      this.owners.push(NONE)
    }
  }

  has(pfn: Pfn): boolean {
    return this.rows[rowOf(pfn)] === pfn * PAGE_SIZE
  }

  /** Gives a frame records. The caller has it watched. @returns false if there is no room for any */
  add(pfn: Pfn): boolean {
    if (this.pages.length === 0 || this.has(pfn)) return false
    const other = this.rows[rowOf(pfn)] as number
    if (other !== NONE) this.drop(((other >>> 0) / PAGE_SIZE) as Pfn)
    const free = this.owners.indexOf(NONE)
    const index = free >= 0 ? free : this.turn
    if (free < 0) {
      this.turn = (this.turn + 1) % this.pages.length
      this.drop(this.owners[index] as Pfn)
    }
    this.owners[index] = pfn
    const page = this.pages[index] as number
    this.bytes.fill(0, page, page + RECORD_PAGE_BYTES)
    const row = rowOf(pfn)
    this.rows[row] = pfn * PAGE_SIZE
    this.rows[row + 1] = page
    return true
  }

  drop(pfn: Pfn): void {
    if (!this.has(pfn)) return
    this.rows[rowOf(pfn)] = NONE
    this.owners[this.owners.indexOf(pfn)] = NONE
    this.generation++
  }

  clear(): void {
    for (const owner of this.owners) if (owner >= 0) this.drop(owner as Pfn)
  }
}

const rowOf = (pfn: Pfn): number => (pfn & (RECORD_ROWS - 1)) * (RECORD_ROW_BYTES / 4)
