/**
 * From an instruction word to its row and operands.
 *
 * R1 The result depends on nothing but the word, so whoever caches it by the word itself can never be stale.
 * R2 The immutable `Decoded` of a word may be shared by any number of harts.
 */
import type { Semantics } from './emitter.ts'
import { extract, type Field, type Format, type OperandName } from './format.ts'
import type { Row } from './row.ts'
import { ILLEGAL, ILLEGAL_SHORT, ROWS } from './table.ts'

/** One decoded instruction. */
export class Decoded {
  /** The row as written: for `c.addi` this is the compressed row. */
  readonly row: Row
  readonly semantics: Semantics
  /** The instruction bits: 16 of them if length is 2, unsigned. */
  readonly word: number
  readonly length: 2 | 4
  readonly rd: number
  readonly rs1: number
  readonly rs2: number
  readonly rs3: number
  /** The rounding mode of a floating-point instruction; 7 means the one of fcsr. */
  readonly rm: number
  /** Sign-extended, and the same as a 64-bit value. */
  readonly imm: number
  readonly immediate: bigint

  constructor(row: Row, word: number) {
    this.row = row
    this.semantics = row.semantics
    this.word = word
    this.length = row.length
    this.rd = operand(row.format.rd, word)
    this.rs1 = operand(row.format.rs1, word)
    this.rs2 = operand(row.format.rs2, word)
    this.rs3 = operand(row.format.rs3, word)
    this.rm = operand(row.format.rm, word)
    this.imm = operand(row.format.imm, word)
    this.immediate = BigInt(this.imm)
  }
}

const operand = (f: Field | undefined, word: number): number => (f === undefined ? 0 : extract(f, word))

/** True if the low bits of an instruction say that it is 16 bits long. */
export const isShort = (word: number): boolean => (word & 3) !== 3

const excluded = (format: Format, word: number, [name, value]: readonly [OperandName, number]): boolean =>
  operand(format[name], word) === value

/** True if the row is the one of this word (16 bits for a compressed row). */
export function matches(row: Row, word: number): boolean {
  return ((word & row.mask) ^ row.match) === 0 && !row.except.some((e) => excluded(row.format, word, e))
}

/** Rows sharing an opcode and funct3 (or the same bits of a compressed instruction) share a bucket. */
const bucketOf = (word: number): number =>
  isShort(word) ? 1024 + ((word & 3) | ((word >>> 11) & 0x1c)) : (word & 0x7f) | ((word >>> 5) & 0x380)

/** The rows indexed for decoding. Immutable. */
export class Decoder {
  private readonly buckets: readonly (readonly Row[])[]

  constructor(rows: readonly Row[] = ROWS) {
    const buckets: Row[][] = Array.from({ length: 1056 }, () => [])
    for (const row of rows) {
      const funct3 = row.length === 4 ? 0x7000 : 0xe000
      const step = row.length === 4 ? 0x1000 : 0x2000
      for (let bits = 0; bits <= funct3; bits += step) {
        if (((bits ^ row.match) & row.mask & funct3) === 0) {
          buckets[bucketOf((row.match & ~funct3) | bits)]?.push(row)
        }
      }
    }
    this.buckets = buckets
  }

  /**
   * The instruction in the low 16 or 32 bits of a word.
   * @returns an instruction that raises illegal-instruction if no row matches
   */
  decode(word: number): Decoded {
    const short = isShort(word)
    const bits = short ? word & 0xffff : word >>> 0
    for (const row of this.buckets[bucketOf(bits)] as readonly Row[])
      if (matches(row, bits)) return new Decoded(row, bits)
    return new Decoded(short ? ILLEGAL_SHORT : ILLEGAL, bits)
  }
}
