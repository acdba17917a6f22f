/**
 * The instruction table: RV64IMAFDC, Zba, Zbb, Zbs, Zicsr, Zifencei and the supervisor instructions.
 *
 * Engines, decoder, assembler, disassembler and the differential tests all read these rows.
 *
 * R1 An instruction is added by adding its row; nothing else in the project lists instructions.
 * R2 At most one row matches any word.
 */
import { row, type Row } from './row.ts'
import { NONE } from './format.ts'
import { RV64A } from './rv64a.ts'
import { compressedRows } from './rv64c.ts'
import { ZBA, ZBB, ZBS } from './rv64b.ts'
import { RV64D, RV64F } from './rv64fd.ts'
import { RV64I } from './rv64i.ts'
import { RV64M } from './rv64m.ts'
import { PRIVILEGED, ZICSR, ZIFENCEI } from './system.ts'

const BASE: readonly Row[] = [
  ...RV64I,
  ...RV64M,
  ...RV64A,
  ...RV64F,
  ...RV64D,
  ...ZBA,
  ...ZBB,
  ...ZBS,
  ...ZICSR,
  ...ZIFENCEI,
  ...PRIVILEGED,
]
const COMPRESSED = compressedRows(new Map(BASE.map((r) => [r.name, r])))

export const ROWS: readonly Row[] = [...BASE, ...COMPRESSED]

/** What every word without a row is. Not in `ROWS`. */
export const ILLEGAL: Row = row('I', 'illegal', 0, 0, NONE, (e) => e.illegal())
export const ILLEGAL_SHORT: Row = { ...ILLEGAL, length: 2 }
