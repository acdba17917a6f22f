/** What each row does, found by running its semantics on an emitter that only takes notes. */
import type { AccessSize, CsrOperation, Emitter, FloatOperation, Row } from '../../../../src/guest/index.ts'

export interface Kind {
  /** Bytes of the memory access, 0 if there is none. */
  readonly size: AccessSize | 0
  readonly atomic: 'amo' | 'lr' | 'sc' | undefined
  /** `branch`: pc + imm; `indirect`: to a register's value. */
  readonly transfer: 'branch' | 'jump' | 'indirect' | undefined
  readonly csr: CsrOperation | undefined
  /** The instruction is a floating-point operation. */
  readonly float: FloatOperation | undefined
  readonly system: 'ecall' | 'ebreak' | 'wfi' | 'sret' | 'sfence' | undefined
}

/** An emitter without values. */
class Notes implements Emitter<void, void> {
  kind: { -readonly [K in keyof Kind]: Kind[K] } = {
    size: 0,
    atomic: undefined,
    transfer: undefined,
    csr: undefined,
    float: undefined,
    system: undefined,
  }
  private readsRegister = false

  rs1(): void {
    this.readsRegister = true
  }
  load(size: AccessSize): void {
    this.kind.size = size
  }
  store(size: AccessSize): void {
    this.kind.size = size
  }
  loadReserved(size: AccessSize): void {
    this.kind.size = size
    this.kind.atomic = 'lr'
  }
  storeConditional(size: AccessSize): void {
    this.kind.size = size
    this.kind.atomic = 'sc'
  }
  amo(size: AccessSize): void {
    this.kind.size = size
    this.kind.atomic = 'amo'
  }
  branch(): void {
    this.kind.transfer = 'branch'
  }
  jump(): void {
    this.kind.transfer = this.readsRegister ? 'indirect' : 'jump'
  }
  csr(operation: CsrOperation): void {
    this.kind.csr = operation
  }
  floatLoad(size: AccessSize): void {
    this.kind.size = size
  }
  floatStore(size: AccessSize): void {
    this.kind.size = size
  }
  float(operation: FloatOperation): void {
    this.kind.float = operation
  }
  sfenceVma(): void {
    this.kind.system = 'sfence'
  }
  ecall(): void {
    this.kind.system = 'ecall'
  }
  ebreak(): void {
    this.kind.system = 'ebreak'
  }
  wfi(): void {
    this.kind.system = 'wfi'
  }
  sret(): void {
    this.kind.system = 'sret'
  }
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
  signExtend32(): void {}
  zeroExtend32(): void {}
  equal(): void {}
  notEqual(): void {}
  less(): void {}
  lessUnsigned(): void {}
  greaterEqual(): void {}
  greaterEqualUnsigned(): void {}
  truth(): void {}
  rd(): void {}
  fence(): void {}
  fenceI(): void {}
  illegal(): void {}
}

export function kindOf(row: Row): Kind {
  const notes = new Notes()
  row.semantics(notes)
  return notes.kind
}
