/**
 * Instructions as text: what `objdump -d -M no-aliases` prints, from the rows.
 *
 * R1 Every row's canonical mnemonic is printed, never an alias, so that text and row correspond one to one.
 */
import { CSR_ADDRESS } from './csr-names.ts'
import { type Decoded, Decoder } from './decode.ts'
import { FLOAT_REGISTER_NAMES, REGISTER_NAMES } from './registers.ts'
import { ILLEGAL, ILLEGAL_SHORT } from './table.ts'

const ORDER = ['', '.rl', '.aq', '.aqrl']
const hex = (value: number | bigint): string => `0x${value.toString(16)}`
/** Reserved modes never come here. */
const ROUNDING = ['rne', 'rtz', 'rdn', 'rup', 'rmm', '', '', 'dyn']
/** The rounding mode of fcsr, which goes without saying. */
const DYNAMIC = 7
const registerName = (n: number): string => REGISTER_NAMES[n] as string
const floatName = (n: number): string => FLOAT_REGISTER_NAMES[n] as string

function fenceSet(bits: number): string {
  const set = ['i', 'o', 'r', 'w'].filter((_, n) => (bits & (8 >> n)) !== 0).join('')
  return set === '' ? 'unknown' : set
}

/** Prints instructions. Immutable. */
export class Disassembler {
  private readonly decoder = new Decoder()
  private readonly csrNames = new Map<number, string>(
    Object.entries(CSR_ADDRESS).map(([name, address]) => [address, name]),
  )

  /**
   * One instruction, for example `addi a0,a1,-4`.
   * @param word its 16 or 32 bits
   * @param pc its address, from which branch targets are computed
   */
  print(word: number, pc = 0n): string {
    return this.printDecoded(this.decoder.decode(word), pc)
  }

  printDecoded(d: Decoded, pc = 0n): string {
    if (d.row === ILLEGAL) return `.4byte ${hex(d.word)}`
    if (d.row === ILLEGAL_SHORT) return `.2byte ${hex(d.word)}`
    const name = d.row.ordered ? d.row.name + (ORDER[(d.word >>> 25) & 3] as string) : d.row.name
    const syntax = d.row.format.syntax.replace(d.rm === DYNAMIC ? ',rm' : d.rm === 0 ? ',exact' : /$/, '')
    const text = syntax.replace(/[a-z]\w*/g, (token) => this.token(token, d, pc))
    return text === '' ? name : `${name} ${text}`
  }

  private token(token: string, d: Decoded, pc: bigint): string {
    switch (token) {
      case 'rd':
        return registerName(d.rd)
      case 'rs1':
        return registerName(d.rs1)
      case 'rs2':
        return registerName(d.rs2)
      case 'frd':
        return floatName(d.rd)
      case 'frs1':
        return floatName(d.rs1)
      case 'frs2':
        return floatName(d.rs2)
      case 'frs3':
        return floatName(d.rs3)
      case 'rm':
      case 'exact':
        return ROUNDING[d.rm] as string
      case 'imm':
        return String(d.imm)
      case 'hint':
        return d.imm === 0 ? '' : String(d.imm)
      case 'zimm':
        return String(d.rs1)
      case 'shamt':
        return hex(d.imm)
      case 'upper':
        return hex((d.imm >>> 12) & 0xfffff)
      case 'target':
        return hex(BigInt.asUintN(64, pc + d.immediate))
      case 'csr':
        return this.csrNames.get(d.imm) ?? hex(d.imm)
      case 'pred':
        return fenceSet((d.imm >>> 4) & 15)
      default:
        return fenceSet(d.imm & 15)
    }
  }
}
