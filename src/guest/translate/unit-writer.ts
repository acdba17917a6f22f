/**
 * From a unit to the body of a WebAssembly function.
 *
 * R1 A row's semantics write the operators; only direct jumps, whose target is a constant, are written without them.
 */
import type { AccessSize, Emitter } from '../isa/index.ts'
import type { Code } from '../wasm/code.ts'
import { WasmOperators } from '../wasm/operators.ts'
import type { Unit } from './unit.ts'
import { UnitFlow } from './unit-flow.ts'
import { UnitFrame } from './unit-frame.ts'
import { UnitMemory } from './unit-memory.ts'

export class UnitWriter extends WasmOperators implements Emitter<void, void> {
  private readonly frame: UnitFrame
  private readonly flow: UnitFlow
  private readonly memory: UnitMemory

  /** @param code a function that was begun with `UNIT_PARAMETERS`; @param note function that is told of accesses, if any */
  constructor(code: Code, unit: Unit, note: number | null) {
    super(code)
    this.frame = new UnitFrame(code, unit)
    this.flow = new UnitFlow(this.frame, () => this.frame.now.semantics(this))
    this.memory = new UnitMemory(this.frame, note)
  }

  /** Writes the function's body. */
  write(): void {
    this.frame.begin()
    this.memory.begin()
    this.frame.around(() => this.flow.write())
  }

  // Operands and control transfer.

  rs1(): void {
    this.frame.get(this.frame.now.rs1)
  }
  rs2(): void {
    this.frame.get(this.frame.now.rs2)
  }
  imm(): void {
    this.code.i64(this.frame.now.imm)
  }
  uimm(): void {
    this.code.i64(this.frame.now.rs1)
  }
  pc(): void {
    this.frame.codeAddress(this.frame.offset)
  }
  nextPc(): void {
    this.frame.codeAddress(this.frame.offset + this.frame.now.length)
  }
  rd(): void {
    this.frame.set(this.frame.now.rd)
  }
  branch(): void {
    this.flow.branch(this.frame.offset + this.frame.now.imm)
  }
  jump(): void {
    this.flow.jump()
  }
  load(size: AccessSize, signed: boolean): void {
    this.memory.load(size, signed)
  }
  store(size: AccessSize): void {
    this.memory.store(size)
  }
  fence(): void {}

  // Instructions of the tier below are in no unit.

  loadReserved(): void {}
  storeConditional(): void {}
  amo(): void {}
  floatLoad(): void {}
  floatStore(): void {}
  float(): void {}
  csr(): void {}
  fenceI(): void {}
  sfenceVma(): void {}
  ecall(): void {}
  ebreak(): void {}
  wfi(): void {}
  sret(): void {}
  illegal(): void {}
}
