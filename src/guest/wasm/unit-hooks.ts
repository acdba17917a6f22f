/**
 * What an interpreter below a translator shares with it: counters of jumps, the code map, records of decoded code, and the
 * reasons for which it leaves.
 *
 * R1 Nothing here is needed by an interpreter that stands alone.
 */
import { FETCH_FRAME } from './interpreter-emitter.ts'

/** Word that says where no unit is looked for: while so much budget is left. Whoever calls `run` sets it. */
export const NOT_BEFORE: number = FETCH_FRAME + 4

/**
 * Reasons to leave beyond those of engines: an entry of translated code is reached; code has become hot, or warm; there may
 * be a unit that the map has lost.
 */
export const FOUND_UNIT = 1000
export const HOT_CODE = 1001
export const WARM_CODE = 1002
export const LOST_CODE = 1003
/** Counter of a place where a unit is; it rises from there when the map knows of none, and is put back when it is `FULL`. */
export const UNIT_HERE = 0xff00
export const FULL = 0x10000

/**
 * A record is what an instruction of a page came to: its 32-bit form, and behind it `index | RECORDED`, negative if it
 * has 16 bits; 0 for none. One for each halfword of the page, and two that stay 0 for what may begin behind it.
 */
export const RECORD_BYTES = 8
export const RECORD_PAGE_BYTES: number = (4096 / 2 + 2) * RECORD_BYTES
/** Bytes of a record by bytes of code, as a shift. */
export const RECORD_SCALE = 2
export const RECORDED = 0x400
/** Of jumps to pages, by frame. */
export const PAGE_COUNTERS = 4096
/** A row of the table of pages with records: host address of the frame, -1 for none, and where its records are. */
export const RECORD_ROWS = 1024
export const RECORD_ROW_BYTES = 8

/** What an interpreter below a translator looks at wherever control goes to another place than the next. */
export interface UnitHooks {
  /** Offset in the memory of a table of `rows` rows, a power of two, of `1 << rowShift` bytes: each begins with the host address of an entry. */
  readonly map: number
  readonly rows: number
  readonly rowShift: number
  /** Offset of `counters` 16-bit counters, a power of two, of jumps by host address; `threshold` of them are hot. */
  readonly heat: number
  readonly counters: number
  readonly threshold: number
  /** Jumps to a place after which its page is warm. */
  readonly warm: number
  /** Offset of `PAGE_COUNTERS` 16-bit counters, by frame, of jumps to a page without records; so many make it warm. */
  readonly entries: number
  readonly warmEntries: number
  /** Offsets of the table of pages with records, direct mapped by frame, and of a page of records that are all 0. */
  readonly records: number
  readonly noRecords: number
}
