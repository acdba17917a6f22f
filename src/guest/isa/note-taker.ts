/**
 * An emitter without values and effects, for those that ask a row what it does: they override what they take note of.
 */
import type { AccessSize, AmoOperation, CsrOperation, Emitter } from './emitter.ts'
import type { FloatFormat, FloatOperation } from './float-operations.ts'

export class NoteTaker implements Emitter<void, void> {
  rs1(): void {}
  rs2(): void {}
  imm(): void {}
  uimm(): void {}
  pc(): void {}
  nextPc(): void {}
  constant(): void {}
  add(): void {}
  sub(): void {}
  and(): void {}
  or(): void {}
  xor(): void {}
  shiftLeft(): void {}
  shiftRight(): void {}
  shiftRightSigned(): void {}
  mul(): void {}
  mulHigh(): void {}
  mulHighUnsigned(): void {}
  mulHighSignedUnsigned(): void {}
  div(): void {}
  divUnsigned(): void {}
  rem(): void {}
  remUnsigned(): void {}
  rotateLeft(): void {}
  rotateRight(): void {}
  countLeadingZeros(): void {}
  countTrailingZeros(): void {}
  countOnes(): void {}
  reverseBytes(): void {}
  signExtend32(): void {}
  zeroExtend32(): void {}
  equal(): void {}
  notEqual(): void {}
  less(): void {}
  lessUnsigned(): void {}
  greaterEqual(): void {}
  greaterEqualUnsigned(): void {}
  truth(): void {}
  choose(): void {}
  rd(): void {}
  branch(): void {}
  jump(): void {}
  load(_size: AccessSize, _signed: boolean): void {}
  store(_size: AccessSize): void {}
  loadReserved(_size: 4 | 8): void {}
  storeConditional(_size: 4 | 8): void {}
  amo(_size: 4 | 8, _operation: AmoOperation): void {}
  csr(_operation: CsrOperation): void {}
  floatLoad(_size: 4 | 8): void {}
  floatStore(_size: 4 | 8): void {}
  float(_operation: FloatOperation, _format: FloatFormat): void {}
  fence(): void {}
  fenceI(): void {}
  sfenceVma(): void {}
  ecall(): void {}
  ebreak(): void {}
  wfi(): void {}
  sret(): void {}
  illegal(): void {}
}
