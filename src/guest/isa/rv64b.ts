/**
 * Zba, Zbb and Zbs: addresses of array elements, basic bit manipulation, single bits. RISC-V unprivileged specification
 * 20240411, sections 28.4.1, 28.4.2, 28.4.4.
 */
import type { Emitter, Semantics } from './emitter.ts'
import { type Format, R, R_UNARY, SHIFT, SHIFTW } from './format.ts'
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

/** With rs2 fixed. */
const UNARY = 0xfff0707f
const basic = (name: string, mask: number, match: number, format: Format, semantics: Semantics): Row =>
  row('Zbb', name, mask, match, format, semantics)
const unary = (name: string, match: number, semantics: Semantics): Row => basic(name, UNARY, match, R_UNARY, semantics)
/** Of each byte. */
const TOP_BITS: bigint = BigInt.asIntN(64, 0x8080_8080_8080_8080n)
const OTHER_BITS = 0x7f7f_7f7f_7f7f_7f7fn

export const ZBB: readonly Row[] = [
  basic('andn', FUNCT7, 0x40007033, R, (e) => e.rd(e.and(e.rs1(), e.xor(e.rs2(), e.constant(-1n))))),
  basic('orn', FUNCT7, 0x40006033, R, (e) => e.rd(e.or(e.rs1(), e.xor(e.rs2(), e.constant(-1n))))),
  basic('xnor', FUNCT7, 0x40004033, R, (e) => e.rd(e.xor(e.xor(e.rs1(), e.rs2()), e.constant(-1n)))),
  unary('clz', 0x60001013, (e) => e.rd(e.countLeadingZeros(e.rs1()))),
  unary('ctz', 0x60101013, (e) => e.rd(e.countTrailingZeros(e.rs1()))),
  unary('cpop', 0x60201013, (e) => e.rd(e.countOnes(e.rs1()))),
  unary('clzw', 0x6000101b, (e) => e.rd(e.sub(e.countLeadingZeros(e.zeroExtend32(e.rs1())), e.constant(32n)))),
  unary('ctzw', 0x6010101b, (e) => e.rd(e.countTrailingZeros(e.or(e.rs1(), e.constant(1n << 32n))))),
  unary('cpopw', 0x6020101b, (e) => e.rd(e.countOnes(e.zeroExtend32(e.rs1())))),
  basic('max', FUNCT7, 0x0a006033, R, (e) => e.rd(e.choose(e.rs1(), e.rs2(), e.greaterEqual(e.rs1(), e.rs2())))),
  basic('maxu', FUNCT7, 0x0a007033, R, (e) =>
    e.rd(e.choose(e.rs1(), e.rs2(), e.greaterEqualUnsigned(e.rs1(), e.rs2()))),
  ),
  basic('min', FUNCT7, 0x0a004033, R, (e) => e.rd(e.choose(e.rs1(), e.rs2(), e.less(e.rs1(), e.rs2())))),
  basic('minu', FUNCT7, 0x0a005033, R, (e) => e.rd(e.choose(e.rs1(), e.rs2(), e.lessUnsigned(e.rs1(), e.rs2())))),
  unary('sext.b', 0x60401013, (e) => e.rd(e.shiftRightSigned(e.shiftLeft(e.rs1(), e.constant(56n)), e.constant(56n)))),
  unary('sext.h', 0x60501013, (e) => e.rd(e.shiftRightSigned(e.shiftLeft(e.rs1(), e.constant(48n)), e.constant(48n)))),
  unary('zext.h', 0x0800403b, (e) => e.rd(e.and(e.rs1(), e.constant(0xffffn)))),
  basic('rol', FUNCT7, 0x60001033, R, (e) => e.rd(e.rotateLeft(e.rs1(), e.rs2()))),
  basic('ror', FUNCT7, 0x60005033, R, (e) => e.rd(e.rotateRight(e.rs1(), e.rs2()))),
  basic('rori', FUNCT6, 0x60005013, SHIFT, (e) => e.rd(e.rotateRight(e.rs1(), e.imm()))),
  basic('rolw', FUNCT7, 0x6000103b, R, (e) => rotateWord(e, true, () => e.rs2())),
  basic('rorw', FUNCT7, 0x6000503b, R, (e) => rotateWord(e, false, () => e.rs2())),
  basic('roriw', FUNCT7, 0x6000501b, SHIFTW, (e) => rotateWord(e, false, () => e.imm())),
  // Bytes that are not zero carry into their top bits.
  unary('orc.b', 0x28705013, (e) =>
    e.rd(
      e.mul(
        e.shiftRight(
          e.and(
            e.or(e.add(e.and(e.rs1(), e.constant(OTHER_BITS)), e.constant(OTHER_BITS)), e.rs1()),
            e.constant(TOP_BITS),
          ),
          e.constant(7n),
        ),
        e.constant(255n),
      ),
    ),
  ),
  unary('rev8', 0x6b805013, (e) => e.rd(e.reverseBytes(e.rs1()))),
]

/** A word, twice in a doubleword, rotated by less than 32: the lower half is the result. */
function rotateWord<V, C>(e: Emitter<V, C>, left: boolean, amount: () => V): void {
  const twice = e.or(e.zeroExtend32(e.rs1()), e.shiftLeft(e.rs1(), e.constant(32n)))
  const by = e.and(amount(), e.constant(31n))
  e.rd(e.signExtend32(left ? e.rotateLeft(twice, by) : e.rotateRight(twice, by)))
}

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
