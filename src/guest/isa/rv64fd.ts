/**
 * RV64F and RV64D: single and double precision. RISC-V unprivileged specification 20240411, chapters 20 and 21.
 *
 * R1 Both formats have the same instructions; bits 26:25 tell them apart.
 * R2 Rounding modes 5 and 6 are reserved: such a word is no instruction.
 */
import type { FloatFormat, FloatOperation } from './float-operations.ts'
import { FLOAT_OPERATIONS } from './float-operations.ts'
import * as F from './format.ts'
import type { Format } from './format.ts'
import { row, type Row } from './row.ts'

/** Masks: opcode and format; with funct7; with rs2, funct3, or both fixed. */
const FUSED = 0x0600007f
const FUNCT7 = 0xfe00007f
const FUNCT7_RS2 = 0xfff0007f
const FUNCT7_FUNCT3 = 0xfe00707f
const ALL_BUT_REGISTERS = 0xfff0707f
const FUNCT3 = 0x0000707f

const RESERVED_MODES: Row['except'] = [
  ['rm', 5],
  ['rm', 6],
]
const integers = ['W', 'Wu', 'L', 'Lu'] as const

function floatRows(extension: 'F' | 'D', format: FloatFormat): readonly Row[] {
  const bits = format === 's' ? 0 : 0x02000000
  const other = format === 's' ? 'd' : 's'
  const size = format === 's' ? 4 : 8
  const [load, store, moveSuffix] = format === 's' ? ['flw', 'fsw', 'w'] : ['fld', 'fsd', 'd']
  // A double holds every single and every 32-bit integer.
  const exact = format === 'd'
  const converted = exact ? F.F_F_EXACT : F.F_F_RM
  const width = format === 's' ? 0x2000 : 0x3000
  const r = (name: string, mask: number, match: number, layout: Format, operation: FloatOperation): Row => {
    const except = FLOAT_OPERATIONS[operation].rounds ? RESERVED_MODES : []
    return row(extension, name, mask, match | bits, layout, (e) => e.float(operation, format), false, except)
  }
  const both = (name: FloatOperation, mask: number, match: number, layout: Format): Row =>
    r(`f${name}.${format}`, mask, match, layout, name)

  return [
    row(extension, load, FUNCT3, width | 0x07, F.F_LOAD, (e) => e.floatLoad(size)),
    row(extension, store, FUNCT3, width | 0x27, F.F_STORE, (e) => e.floatStore(size)),
    both('madd', FUSED, 0x43, F.F_FFF_RM),
    both('msub', FUSED, 0x47, F.F_FFF_RM),
    both('nmsub', FUSED, 0x4b, F.F_FFF_RM),
    both('nmadd', FUSED, 0x4f, F.F_FFF_RM),
    both('add', FUNCT7, 0x00000053, F.F_FF_RM),
    both('sub', FUNCT7, 0x08000053, F.F_FF_RM),
    both('mul', FUNCT7, 0x10000053, F.F_FF_RM),
    both('div', FUNCT7, 0x18000053, F.F_FF_RM),
    both('sqrt', FUNCT7_RS2, 0x58000053, F.F_F_RM),
    both('sgnj', FUNCT7_FUNCT3, 0x20000053, F.F_FF),
    both('sgnjn', FUNCT7_FUNCT3, 0x20001053, F.F_FF),
    both('sgnjx', FUNCT7_FUNCT3, 0x20002053, F.F_FF),
    both('min', FUNCT7_FUNCT3, 0x28000053, F.F_FF),
    both('max', FUNCT7_FUNCT3, 0x28001053, F.F_FF),
    both('le', FUNCT7_FUNCT3, 0xa0000053, F.X_FF),
    both('lt', FUNCT7_FUNCT3, 0xa0001053, F.X_FF),
    both('eq', FUNCT7_FUNCT3, 0xa0002053, F.X_FF),
    both('class', ALL_BUT_REGISTERS, 0xe0001053, F.X_F),
    r(`fcvt.${format}.${other}`, FUNCT7_RS2, 0x40000053 | (format === 's' ? 0x100000 : 0), converted, 'convert'),
    ...integers.map((kind, n) =>
      r(`fcvt.${kind.toLowerCase()}.${format}`, FUNCT7_RS2, 0xc0000053 | (n << 20), F.X_F_RM, `to${kind}`),
    ),
    ...integers.map((kind, n) =>
      r(
        `fcvt.${format}.${kind.toLowerCase()}`,
        FUNCT7_RS2,
        0xd0000053 | (n << 20),
        exact && n < 2 ? F.F_X_EXACT : F.F_X_RM,
        `from${kind}`,
      ),
    ),
    r(`fmv.x.${moveSuffix}`, ALL_BUT_REGISTERS, 0xe0000053, F.X_F, 'moveToInteger'),
    r(`fmv.${moveSuffix}.x`, ALL_BUT_REGISTERS, 0xf0000053, F.F_X, 'moveFromInteger'),
  ]
}

export const RV64F: readonly Row[] = floatRows('F', 's')
export const RV64D: readonly Row[] = floatRows('D', 'd')
