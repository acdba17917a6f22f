/**
 * RV64I: the base integer instructions. RISC-V unprivileged specification 20240411, chapters 2 and 4.
 *
 * R1 Reserved fields of fence are ignored (section 2.7).
 */
import type { AccessSize, Semantics } from './emitter.ts'
import { BRANCH, FENCE, type Format, I, JUMP, LOAD, NONE, R, SHIFT, SHIFTW, STORE, UPPER } from './format.ts'
import { row, type Row } from './row.ts'

/** Masks: opcode and funct3; with funct7; with the six upper bits (64-bit shift amounts). */
const FUNCT3 = 0x0000707f
const FUNCT7 = 0xfe00707f
const FUNCT6 = 0xfc00707f
const OPCODE = 0x0000007f
const ALL = 0xffffffff

const i = (name: string, mask: number, match: number, format: Format, semantics: Semantics): Row =>
  row('I', name, mask, match, format, semantics)
const load = (name: string, match: number, size: AccessSize, signed: boolean): Row =>
  i(name, FUNCT3, match, LOAD, (e) => e.load(size, signed))
const store = (name: string, match: number, size: AccessSize): Row =>
  i(name, FUNCT3, match, STORE, (e) => e.store(size))

export const RV64I: readonly Row[] = [
  i('lui', OPCODE, 0x37, UPPER, (e) => e.rd(e.imm())),
  i('auipc', OPCODE, 0x17, UPPER, (e) => e.rd(e.add(e.pc(), e.imm()))),
  i('jal', OPCODE, 0x6f, JUMP, (e) => {
    e.rd(e.nextPc())
    e.jump(e.add(e.pc(), e.imm()))
  }),
  i('jalr', FUNCT3, 0x67, LOAD, (e) => {
    const target = e.and(e.add(e.rs1(), e.imm()), e.constant(-2n))
    e.rd(e.nextPc())
    e.jump(target)
  }),

  i('beq', FUNCT3, 0x0063, BRANCH, (e) => e.branch(e.equal(e.rs1(), e.rs2()))),
  i('bne', FUNCT3, 0x1063, BRANCH, (e) => e.branch(e.notEqual(e.rs1(), e.rs2()))),
  i('blt', FUNCT3, 0x4063, BRANCH, (e) => e.branch(e.less(e.rs1(), e.rs2()))),
  i('bge', FUNCT3, 0x5063, BRANCH, (e) => e.branch(e.greaterEqual(e.rs1(), e.rs2()))),
  i('bltu', FUNCT3, 0x6063, BRANCH, (e) => e.branch(e.lessUnsigned(e.rs1(), e.rs2()))),
  i('bgeu', FUNCT3, 0x7063, BRANCH, (e) => e.branch(e.greaterEqualUnsigned(e.rs1(), e.rs2()))),

  load('lb', 0x0003, 1, true),
  load('lh', 0x1003, 2, true),
  load('lw', 0x2003, 4, true),
  load('ld', 0x3003, 8, true),
  load('lbu', 0x4003, 1, false),
  load('lhu', 0x5003, 2, false),
  load('lwu', 0x6003, 4, false),
  store('sb', 0x0023, 1),
  store('sh', 0x1023, 2),
  store('sw', 0x2023, 4),
  store('sd', 0x3023, 8),

  i('addi', FUNCT3, 0x0013, I, (e) => e.rd(e.add(e.rs1(), e.imm()))),
  i('slti', FUNCT3, 0x2013, I, (e) => e.rd(e.truth(e.less(e.rs1(), e.imm())))),
  i('sltiu', FUNCT3, 0x3013, I, (e) => e.rd(e.truth(e.lessUnsigned(e.rs1(), e.imm())))),
  i('xori', FUNCT3, 0x4013, I, (e) => e.rd(e.xor(e.rs1(), e.imm()))),
  i('ori', FUNCT3, 0x6013, I, (e) => e.rd(e.or(e.rs1(), e.imm()))),
  i('andi', FUNCT3, 0x7013, I, (e) => e.rd(e.and(e.rs1(), e.imm()))),
  i('slli', FUNCT6, 0x1013, SHIFT, (e) => e.rd(e.shiftLeft(e.rs1(), e.imm()))),
  i('srli', FUNCT6, 0x5013, SHIFT, (e) => e.rd(e.shiftRight(e.rs1(), e.imm()))),
  i('srai', FUNCT6, 0x40005013, SHIFT, (e) => e.rd(e.shiftRightSigned(e.rs1(), e.imm()))),

  i('add', FUNCT7, 0x0033, R, (e) => e.rd(e.add(e.rs1(), e.rs2()))),
  i('sub', FUNCT7, 0x40000033, R, (e) => e.rd(e.sub(e.rs1(), e.rs2()))),
  i('sll', FUNCT7, 0x1033, R, (e) => e.rd(e.shiftLeft(e.rs1(), e.rs2()))),
  i('slt', FUNCT7, 0x2033, R, (e) => e.rd(e.truth(e.less(e.rs1(), e.rs2())))),
  i('sltu', FUNCT7, 0x3033, R, (e) => e.rd(e.truth(e.lessUnsigned(e.rs1(), e.rs2())))),
  i('xor', FUNCT7, 0x4033, R, (e) => e.rd(e.xor(e.rs1(), e.rs2()))),
  i('srl', FUNCT7, 0x5033, R, (e) => e.rd(e.shiftRight(e.rs1(), e.rs2()))),
  i('sra', FUNCT7, 0x40005033, R, (e) => e.rd(e.shiftRightSigned(e.rs1(), e.rs2()))),
  i('or', FUNCT7, 0x6033, R, (e) => e.rd(e.or(e.rs1(), e.rs2()))),
  i('and', FUNCT7, 0x7033, R, (e) => e.rd(e.and(e.rs1(), e.rs2()))),

  i('addiw', FUNCT3, 0x001b, I, (e) => e.rd(e.signExtend32(e.add(e.rs1(), e.imm())))),
  i('slliw', FUNCT7, 0x101b, SHIFTW, (e) => e.rd(e.signExtend32(e.shiftLeft(e.rs1(), e.imm())))),
  i('srliw', FUNCT7, 0x501b, SHIFTW, (e) => e.rd(e.signExtend32(e.shiftRight(e.zeroExtend32(e.rs1()), e.imm())))),
  i('sraiw', FUNCT7, 0x4000501b, SHIFTW, (e) => e.rd(e.shiftRightSigned(e.signExtend32(e.rs1()), e.imm()))),
  i('addw', FUNCT7, 0x003b, R, (e) => e.rd(e.signExtend32(e.add(e.rs1(), e.rs2())))),
  i('subw', FUNCT7, 0x4000003b, R, (e) => e.rd(e.signExtend32(e.sub(e.rs1(), e.rs2())))),
  i('sllw', FUNCT7, 0x103b, R, (e) => e.rd(e.signExtend32(e.shiftLeft(e.rs1(), e.and(e.rs2(), e.constant(31n)))))),
  i('srlw', FUNCT7, 0x503b, R, (e) =>
    e.rd(e.signExtend32(e.shiftRight(e.zeroExtend32(e.rs1()), e.and(e.rs2(), e.constant(31n))))),
  ),
  i('sraw', FUNCT7, 0x4000503b, R, (e) =>
    e.rd(e.shiftRightSigned(e.signExtend32(e.rs1()), e.and(e.rs2(), e.constant(31n)))),
  ),

  i('fence', FUNCT3, 0x000f, FENCE, (e) => e.fence()),
  i('ecall', ALL, 0x00000073, NONE, (e) => e.ecall()),
  i('ebreak', ALL, 0x00100073, NONE, (e) => e.ebreak()),
]
