/** RV64M: multiplication and division. RISC-V unprivileged specification 20240411, chapter 12. */
import type { Semantics } from './emitter.ts'
import { R } from './format.ts'
import { row, type Row } from './row.ts'

const FUNCT7 = 0xfe00707f
const m = (name: string, match: number, semantics: Semantics): Row => row('M', name, FUNCT7, match, R, semantics)

export const RV64M: readonly Row[] = [
  m('mul', 0x02000033, (e) => e.rd(e.mul(e.rs1(), e.rs2()))),
  m('mulh', 0x02001033, (e) => e.rd(e.mulHigh(e.rs1(), e.rs2()))),
  m('mulhsu', 0x02002033, (e) => e.rd(e.mulHighSignedUnsigned(e.rs1(), e.rs2()))),
  m('mulhu', 0x02003033, (e) => e.rd(e.mulHighUnsigned(e.rs1(), e.rs2()))),
  m('div', 0x02004033, (e) => e.rd(e.div(e.rs1(), e.rs2()))),
  m('divu', 0x02005033, (e) => e.rd(e.divUnsigned(e.rs1(), e.rs2()))),
  m('rem', 0x02006033, (e) => e.rd(e.rem(e.rs1(), e.rs2()))),
  m('remu', 0x02007033, (e) => e.rd(e.remUnsigned(e.rs1(), e.rs2()))),

  m('mulw', 0x0200003b, (e) => e.rd(e.signExtend32(e.mul(e.rs1(), e.rs2())))),
  m('divw', 0x0200403b, (e) => e.rd(e.signExtend32(e.div(e.signExtend32(e.rs1()), e.signExtend32(e.rs2()))))),
  m('divuw', 0x0200503b, (e) => e.rd(e.signExtend32(e.divUnsigned(e.zeroExtend32(e.rs1()), e.zeroExtend32(e.rs2()))))),
  m('remw', 0x0200603b, (e) => e.rd(e.signExtend32(e.rem(e.signExtend32(e.rs1()), e.signExtend32(e.rs2()))))),
  m('remuw', 0x0200703b, (e) => e.rd(e.signExtend32(e.remUnsigned(e.zeroExtend32(e.rs1()), e.zeroExtend32(e.rs2()))))),
]
