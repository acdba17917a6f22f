/** What each row does, found by running its semantics on an emitter that only takes notes. */
import { NoteTaker } from '../../../../src/guest/index.ts'
import type { AccessSize, CsrOperation, FloatOperation, Row } from '../../../../src/guest/index.ts'

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

class Notes extends NoteTaker {
  kind: { -readonly [K in keyof Kind]: Kind[K] } = {
    size: 0,
    atomic: undefined,
    transfer: undefined,
    csr: undefined,
    float: undefined,
    system: undefined,
  }
  private readsRegister = false

  override rs1(): void {
    this.readsRegister = true
  }
  override load(size: AccessSize): void {
    this.kind.size = size
  }
  override store(size: AccessSize): void {
    this.kind.size = size
  }
  override loadReserved(size: AccessSize): void {
    this.kind.size = size
    this.kind.atomic = 'lr'
  }
  override storeConditional(size: AccessSize): void {
    this.kind.size = size
    this.kind.atomic = 'sc'
  }
  override amo(size: AccessSize): void {
    this.kind.size = size
    this.kind.atomic = 'amo'
  }
  override branch(): void {
    this.kind.transfer = 'branch'
  }
  override jump(): void {
    this.kind.transfer = this.readsRegister ? 'indirect' : 'jump'
  }
  override csr(operation: CsrOperation): void {
    this.kind.csr = operation
  }
  override floatLoad(size: AccessSize): void {
    this.kind.size = size
  }
  override floatStore(size: AccessSize): void {
    this.kind.size = size
  }
  override float(operation: FloatOperation): void {
    this.kind.float = operation
  }
  override sfenceVma(): void {
    this.kind.system = 'sfence'
  }
  override ecall(): void {
    this.kind.system = 'ecall'
  }
  override ebreak(): void {
    this.kind.system = 'ebreak'
  }
  override wfi(): void {
    this.kind.system = 'wfi'
  }
  override sret(): void {
    this.kind.system = 'sret'
  }
}

export function kindOf(row: Row): Kind {
  const notes = new Notes()
  row.semantics(notes)
  return notes.kind
}
