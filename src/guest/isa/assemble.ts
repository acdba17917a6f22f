/** From a mnemonic and operands to the instruction word: the inverse of the decoder, from the same rows. */
import { KernelError } from '../../base/index.ts'
import { extract, fixed, insert, OPERAND_NAMES, type Operands } from './format.ts'
import type { Row } from './row.ts'
import { matches } from './decode.ts'
import { ROWS } from './table.ts'

const ABSENT = fixed(0)

/**
 * The word of a row with the given operands; those left out are 0, or what the encoding implies. Where two operands
 * share their bits (rd and rs1 of `c.add`), either may be given.
 * @throws KernelError EINVAL if an operand cannot be encoded, or the encoding is reserved
 */
export function encode(row: Row, operands: Partial<Operands>): number {
  let word = row.match
  for (const name of OPERAND_NAMES) word |= insert(row.format[name] ?? ABSENT, operands[name] ?? 0)
  for (const name of OPERAND_NAMES) {
    const value = operands[name]
    if (value !== undefined && extract(row.format[name] ?? ABSENT, word) !== value) {
      throw new KernelError('EINVAL', `${row.name} cannot be encoded with ${name} = ${value}`)
    }
  }
  if (!matches(row, word >>> 0)) {
    throw new KernelError('EINVAL', `${row.name} with these operands is a reserved encoding or another instruction`)
  }
  return word >>> 0
}

/** A tiny assembler: `asm('addi', { rd: 10, rs1: 0, imm: 1 })`. */
export class Assembler {
  private readonly rows = new Map<string, Row>(ROWS.map((r) => [r.name, r]))

  /** @throws KernelError EINVAL for an unknown mnemonic or an operand that does not fit */
  word(name: string, operands: Partial<Operands> = {}): number {
    const row = this.rows.get(name)
    if (row === undefined) throw new KernelError('EINVAL', `no instruction is called ${name}`)
    return encode(row, operands)
  }
}
