/**
 * RV64C with D: the 16-bit instructions, each short for one 32-bit instruction with some operands implied.
 * RISC-V unprivileged specification 20240411, chapter 26 (tables 35-37: hints run as their expansion, reserved
 * encodings are illegal).
 *
 * R1 A row's meaning is that of the row it expands to; only the length of the instruction differs.
 */
import * as F from './format.ts'
import type { Format, OperandName } from './format.ts'
import type { Row } from './row.ts'

type Exclusion = readonly [OperandName, number]

/** The compressed rows, given the rows that they expand to by name. */
export function compressedRows(base: ReadonlyMap<string, Row>): readonly Row[] {
  const c = (
    name: string,
    mask: number,
    match: number,
    format: Format,
    expandsTo: string,
    ...except: readonly Exclusion[]
  ): Row => {
    const target = base.get(expandsTo) as Row
    return { ...target, name, extension: 'C', mask, match, format, except, expandsTo: target, length: 2 }
  }

  return [
    c('c.addi4spn', 0xe003, 0x0000, F.CIW, 'addi', ['imm', 0]),
    c('c.fld', 0xe003, 0x2000, F.C_FLD, 'fld'),
    c('c.fsd', 0xe003, 0xa000, F.C_FSD, 'fsd'),
    c('c.lw', 0xe003, 0x4000, F.CL_W, 'lw'),
    c('c.ld', 0xe003, 0x6000, F.CL_D, 'ld'),
    c('c.sw', 0xe003, 0xc000, F.CS_W, 'sw'),
    c('c.sd', 0xe003, 0xe000, F.CS_D, 'sd'),

    c('c.nop', 0xef83, 0x0001, F.CI_NOP, 'addi'),
    c('c.addi', 0xe003, 0x0001, F.CI, 'addi', ['rd', 0]),
    c('c.addiw', 0xe003, 0x2001, F.CI, 'addiw', ['rd', 0]),
    c('c.li', 0xe003, 0x4001, F.CI_LI, 'addi'),
    c('c.addi16sp', 0xef83, 0x6101, F.CI_16SP, 'addi', ['imm', 0]),
    c('c.lui', 0xe003, 0x6001, F.CI_LUI, 'lui', ['rd', 2], ['imm', 0]),
    c('c.srli', 0xec03, 0x8001, F.CB_SHIFT, 'srli'),
    c('c.srai', 0xec03, 0x8401, F.CB_SHIFT, 'srai'),
    c('c.andi', 0xec03, 0x8801, F.CB_IMM, 'andi'),
    c('c.sub', 0xfc63, 0x8c01, F.CA, 'sub'),
    c('c.xor', 0xfc63, 0x8c21, F.CA, 'xor'),
    c('c.or', 0xfc63, 0x8c41, F.CA, 'or'),
    c('c.and', 0xfc63, 0x8c61, F.CA, 'and'),
    c('c.subw', 0xfc63, 0x9c01, F.CA, 'subw'),
    c('c.addw', 0xfc63, 0x9c21, F.CA, 'addw'),
    c('c.j', 0xe003, 0xa001, F.CJ, 'jal'),
    c('c.beqz', 0xe003, 0xc001, F.CB, 'beq'),
    c('c.bnez', 0xe003, 0xe001, F.CB, 'bne'),

    c('c.slli', 0xe003, 0x0002, F.CI_SHIFT, 'slli'),
    c('c.fldsp', 0xe003, 0x2002, F.C_FLDSP, 'fld'),
    c('c.fsdsp', 0xe003, 0xa002, F.C_FSDSP, 'fsd'),
    c('c.lwsp', 0xe003, 0x4002, F.CI_LWSP, 'lw', ['rd', 0]),
    c('c.ldsp', 0xe003, 0x6002, F.CI_LDSP, 'ld', ['rd', 0]),
    c('c.jr', 0xf07f, 0x8002, F.CR_JR, 'jalr', ['rs1', 0]),
    c('c.mv', 0xf003, 0x8002, F.CR_MV, 'add', ['rs2', 0]),
    c('c.ebreak', 0xffff, 0x9002, F.NONE, 'ebreak'),
    c('c.jalr', 0xf07f, 0x9002, F.CR_JALR, 'jalr', ['rs1', 0]),
    c('c.add', 0xf003, 0x9002, F.CR_ADD, 'add', ['rs2', 0]),
    c('c.swsp', 0xe003, 0xc002, F.CSS_SW, 'sw'),
    c('c.sdsp', 0xe003, 0xe002, F.CSS_SD, 'sd'),
  ]
}
