/**
 * A direct-mapped copy of what one TLB of a hart knows, for generated code to probe (layout.ts has the rows).
 *
 * A context - address space, privilege, SUM, MXR, as far as the access depends on them - gets a number of nine bits, which
 * stands in the tags. A new number empties the table at once, and coming back to a context finds its rows again.
 *
 * R1 Every row that the present context matches is answered alike by the TLB: whatever the TLB forgets is forgotten here
 *    first, a row is made only of what the TLB knows, and the numbers of forgotten contexts are not used again before the
 *    whole table was cleared.
 * R2 So a hit here is a hit there, and a hit there changes nothing: no run can tell whether this table exists.
 */
import type { TlbListener } from '../../hardware/index.ts'
import { FAST_ROWS } from './layout.ts'

const WORDS_PER_ROW = 4
/** Context numbers are 1 to 511. */
const CONTEXTS = 512
const CONTEXT_SHIFT = 3
/** Contexts that are remembered. */
const RECENT = 16
const PAGE_HIGH = 2 ** 20
const NO_KEY = -1

export class FastTlb implements TlbListener {
  static readonly opaque = true
  private readonly rows: Int32Array
  /** The context word in the hart's area. */
  private readonly context: Int32Array
  private readonly keys = new Float64Array(RECENT).fill(NO_KEY)
  private readonly numbers = new Int32Array(RECENT)
  private victim = 0
  private last = 0
  private key = NO_KEY

  /** @param table offset of the rows in the buffer; @param word offset of the context word */
  constructor(buffer: ArrayBuffer, table: number, word: number) {
    this.rows = new Int32Array(buffer, table, FAST_ROWS * WORDS_PER_ROW)
    this.context = new Int32Array(buffer, word, 2)
    this.forget()
  }

  /** Rows made from now on, and found from now on, are those of a context. @param key at least 0, different for each */
  select(key: number): void {
    if (key === this.key) return
    let slot = 0
    while (slot < RECENT && this.keys[slot] !== key) slot++
    if (slot === RECENT) {
      slot = this.victim
      this.victim = (slot + 1) % RECENT
      const number = this.nextNumber()
      this.keys[slot] = key
      this.numbers[slot] = number
    }
    this.key = key
    this.context[0] = (this.numbers[slot] as number) << CONTEXT_SHIFT
  }

  /** Makes the row of a page in the present context. @param base where the page's frame lies in the memory */
  fill(page: number, base: number): void {
    const at = (page & (FAST_ROWS - 1)) * WORDS_PER_ROW
    this.rows[at] = (page << 12) | (this.context[0] as number)
    this.rows[at + 1] = (page / PAGE_HIGH) | 0
    this.rows[at + 2] = base - (page << 12)
  }

  /** Where the frame of a page lies as far as this table knows, or -1. */
  lookup(page: number): number {
    const at = (page & (FAST_ROWS - 1)) * WORDS_PER_ROW
    if (this.rows[at] !== ((page << 12) | (this.context[0] as number))) return -1
    if (this.rows[at + 1] !== ((page / PAGE_HIGH) | 0)) return -1
    return ((this.rows[at + 2] as number) + (page << 12)) >>> 0
  }

  /** Calls back with each row that the present context matches. */
  forEachLive(callback: (page: number, base: number) => void): void {
    for (let at = 0; at < this.rows.length; at += WORDS_PER_ROW) {
      const low = this.rows[at] as number
      if ((low & 0xfff) !== this.context[0]) continue
      const page = (low >>> 12) + ((this.rows[at + 1] as number) >>> 0) * PAGE_HIGH
      callback(page, ((this.rows[at + 2] as number) + (low & ~0xfff)) >>> 0)
    }
  }

  /** Forgets the rows of all contexts that lead to a frame. */
  dropFrame(base: number): void {
    for (let at = 0; at < this.rows.length; at += WORDS_PER_ROW) {
      const low = this.rows[at] as number
      if (low !== 0 && (((this.rows[at + 2] as number) + (low & ~0xfff)) | 0) === (base | 0)) this.clear(at)
    }
  }

  droppedPage(page: number): void {
    const at = (page & (FAST_ROWS - 1)) * WORDS_PER_ROW
    if (((this.rows[at] as number) ^ (page << 12)) >>> 12 !== 0) return
    if (this.rows[at + 1] === ((page / PAGE_HIGH) | 0)) this.clear(at)
  }

  droppedAll(): void {
    this.forget()
  }

  /** Forgets all contexts. The present one goes on under a new number. */
  forget(): void {
    const { key } = this
    this.keys.fill(NO_KEY)
    this.key = NO_KEY
    if (key === NO_KEY) this.context[0] = this.nextNumber() << CONTEXT_SHIFT
    else this.select(key)
  }

  private nextNumber(): number {
    if (this.last === CONTEXTS - 1) {
      this.rows.fill(0)
      this.keys.fill(NO_KEY)
      this.last = 0
    }
    return ++this.last
  }

  private clear(at: number): void {
    this.rows[at] = 0
    this.rows[at + 1] = 0
  }
}
