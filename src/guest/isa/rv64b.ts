/**
 * Zba and Zbs: addresses of array elements, single bits. RISC-V unprivileged specification 20240411, sections 28.4.1, 28.4.4.
 */
import type { Semantics } from './emitter.ts'
import { type Format, R, SHIFT } from './format.ts'
import { row, type Row } from './row.ts'

const FUNCT7 = 0xfe00707f
const FUNCT6 = 0xfc00707f

/** shNadd and shNadd.uw. */
function shiftedAdds(amount: 1 | 2 | 3): readonly Row[] {
  const funct3 = amount << 13
  const shift = BigInt(amount)
  return [
    row('Zba', `sh${amount}add`, FUNCT7, 0x20000033 | funct3, R, (e) =>
      e.rd(e.add(e.shiftLeft(e.rs1(), e.constant(shift)), e.rs2())),
    ),
    row('Zba', `sh${amount}add.uw`, FUNCT7, 0x2000003b | funct3, R, (e) =>
      e.rd(e.add(e.shiftLeft(e.zeroExtend32(e.rs1()), e.constant(shift)), e.rs2())),
    ),
  ]
}

export const ZBA: readonly Row[] = [
  ...shiftedAdds(1),
  ...shiftedAdds(2),
  ...shiftedAdds(3),
  row('Zba', 'add.uw', FUNCT7, 0x0800003b, R, (e) => e.rd(e.add(e.zeroExtend32(e.rs1()), e.rs2()))),
  row('Zba', 'slli.uw', FUNCT6, 0x0800101b, SHIFT, (e) => e.rd(e.shiftLeft(e.zeroExtend32(e.rs1()), e.imm()))),
]

const bit = (name: string, mask: number, match: number, format: Format, semantics: Semantics): Row =>
  row('Zbs', name, mask, match, format, semantics)

export const ZBS: readonly Row[] = [
  bit('bclr', FUNCT7, 0x48001033, R, (e) =>
    e.rd(e.and(e.rs1(), e.xor(e.shiftLeft(e.constant(1n), e.rs2()), e.constant(-1n)))),
  ),
  bit('bclri', FUNCT6, 0x48001013, SHIFT, (e) =>
    e.rd(e.and(e.rs1(), e.xor(e.shiftLeft(e.constant(1n), e.imm()), e.constant(-1n)))),
  ),
  bit('bext', FUNCT7, 0x48005033, R, (e) => e.rd(e.and(e.shiftRight(e.rs1(), e.rs2()), e.constant(1n)))),
  bit('bexti', FUNCT6, 0x48005013, SHIFT, (e) => e.rd(e.and(e.shiftRight(e.rs1(), e.imm()), e.constant(1n)))),
  bit('binv', FUNCT7, 0x68001033, R, (e) => e.rd(e.xor(e.rs1(), e.shiftLeft(e.constant(1n), e.rs2())))),
  bit('binvi', FUNCT6, 0x68001013, SHIFT, (e) => e.rd(e.xor(e.rs1(), e.shiftLeft(e.constant(1n), e.imm())))),
  bit('bset', FUNCT7, 0x28001033, R, (e) => e.rd(e.or(e.rs1(), e.shiftLeft(e.constant(1n), e.rs2())))),
  bit('bseti', FUNCT6, 0x28001013, SHIFT, (e) => e.rd(e.or(e.rs1(), e.shiftLeft(e.constant(1n), e.imm())))),
]
