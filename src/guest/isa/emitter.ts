/**
 * The vocabulary in which instructions are defined: what an engine must be able to do, and nothing about how.
 *
 * Semantics are functions over an abstract emitter. The reference interpreter is an emitter whose values are BigInts,
 * so that calling the function executes the instruction; an emitter that appends WebAssembly operators generates the
 * interpreter and the translator from the same rows; an emitter of strings prints them.
 *
 * R1 Values are built in stack order: arguments are made left to right and each is used once. A stack machine may then
 *    emit an operator the moment its method is called (V may be void).
 * R2 Every operator is total: division by zero and overflow give what RISC-V defines, shifts use the low six bits.
 * R3 An instruction performs at most one effect that can trap, as its last action; `rd` before it only where it cannot.
 */

import type { FloatFormat, FloatOperation } from './float-operations.ts'

/** Bytes of a memory access. */
export type AccessSize = 1 | 2 | 4 | 8
export type AmoOperation = 'swap' | 'add' | 'xor' | 'and' | 'or' | 'min' | 'max' | 'minu' | 'maxu'
/** Replace, set bits, clear bits. */
export type CsrOperation = 'write' | 'set' | 'clear'

/**
 * @typeParam V a 64-bit value
 * @typeParam C a condition: the result of a comparison
 */
export interface Emitter<V, C> {
  /** Operands of the instruction at hand: registers, and the immediate sign-extended to 64 bits. */
  rs1(): V
  rs2(): V
  imm(): V
  /** The rs1 field itself, zero-extended (the constant of csrrwi and its kin). */
  uimm(): V
  /** Address of this instruction, and of the one after it. */
  pc(): V
  nextPc(): V
  constant(value: bigint): V

  add(a: V, b: V): V
  sub(a: V, b: V): V
  and(a: V, b: V): V
  or(a: V, b: V): V
  xor(a: V, b: V): V
  shiftLeft(a: V, amount: V): V
  shiftRight(a: V, amount: V): V
  shiftRightSigned(a: V, amount: V): V
  mul(a: V, b: V): V
  /** The upper 64 bits of the 128-bit product: both signed, both unsigned, a signed and b unsigned. */
  mulHigh(a: V, b: V): V
  mulHighUnsigned(a: V, b: V): V
  mulHighSignedUnsigned(a: V, b: V): V
  div(a: V, b: V): V
  divUnsigned(a: V, b: V): V
  rem(a: V, b: V): V
  remUnsigned(a: V, b: V): V
  /** By the low six bits of the amount. */
  rotateLeft(a: V, amount: V): V
  rotateRight(a: V, amount: V): V
  /** 64 for a zero. */
  countLeadingZeros(a: V): V
  countTrailingZeros(a: V): V
  countOnes(a: V): V
  reverseBytes(a: V): V
  /** The low 32 bits, sign- or zero-extended. */
  signExtend32(a: V): V
  zeroExtend32(a: V): V

  equal(a: V, b: V): C
  notEqual(a: V, b: V): C
  less(a: V, b: V): C
  lessUnsigned(a: V, b: V): C
  greaterEqual(a: V, b: V): C
  greaterEqualUnsigned(a: V, b: V): C
  /** 1 or 0. */
  truth(condition: C): V
  /** a if the condition holds, else b. */
  choose(a: V, b: V, condition: C): V

  /** Writes the destination register; nothing if it is x0. */
  rd(value: V): void
  /** Goes to pc + imm if the condition holds. */
  branch(condition: C): void
  jump(target: V): void
  /** Address rs1 + imm; the result goes to rd. */
  load(size: AccessSize, signed: boolean): void
  /** Address rs1 + imm, value rs2. */
  store(size: AccessSize): void
  loadReserved(size: 4 | 8): void
  storeConditional(size: 4 | 8): void
  /** rd = old value at rs1, sign-extended; memory = operation(old, rs2). */
  amo(size: 4 | 8, operation: AmoOperation): void
  /** rd = CSR imm; the CSR changes by `source`, except that set and clear do not write when the rs1 field is 0. */
  csr(operation: CsrOperation, source: V): void

  /** As load and store, of frd and frs2; a single in a register is boxed. Illegal if sstatus.FS is off. */
  floatLoad(size: 4 | 8): void
  floatStore(size: 4 | 8): void
  /**
   * A whole floating-point instruction on the registers and with the effects that `FLOAT_OPERATIONS` names; flags go to
   * fcsr. Illegal if sstatus.FS is off, or if the operation rounds by a mode that frm has and that is reserved.
   */
  float(operation: FloatOperation, format: FloatFormat): void

  fence(): void
  fenceI(): void
  /** Virtual address rs1 and ASID rs2; x0 means every one. */
  sfenceVma(): void
  ecall(): void
  ebreak(): void
  wfi(): void
  sret(): void
  /** Raises illegal-instruction. */
  illegal(): void
}

/** What an instruction does, for every kind of emitter. */
export type Semantics = <V, C>(e: Emitter<V, C>) => void
