/**
 * The shape of the instruction table's rows.
 *
 * R1 A row is the only place that knows its instruction: encoding, operands, spelling and meaning.
 */
import type { Semantics } from './emitter.ts'
import type { Format, OperandName } from './format.ts'

export type Extension = 'I' | 'M' | 'A' | 'F' | 'D' | 'C' | 'Zba' | 'Zbb' | 'Zbs' | 'Zicsr' | 'Zifencei' | 'Priv'

export interface Row {
  /** The canonical mnemonic, as `objdump -M no-aliases` prints it. */
  readonly name: string
  readonly extension: Extension
  /** An instruction word w is this one if `(w & mask) === match` (as unsigned numbers) and no exclusion applies. */
  readonly mask: number
  readonly match: number
  readonly format: Format
  readonly semantics: Semantics
  /** Operand values that are reserved or belong to another row. */
  readonly except: readonly (readonly [OperandName, number])[]
  /** The aq and rl bits (26 and 25) are part of the mnemonic. */
  readonly ordered: boolean
  /** Compressed rows: the row that this one is short for. */
  readonly expandsTo: Row | undefined
  /** Bytes: 2 or 4. */
  readonly length: 2 | 4
}

/** A 32-bit row. */
export function row(
  extension: Extension,
  name: string,
  mask: number,
  match: number,
  format: Format,
  semantics: Semantics,
  ordered = false,
  except: Row['except'] = [],
): Row {
  return { name, extension, mask, match, format, semantics, except, ordered, expandsTo: undefined, length: 4 }
}
