/**
 * From a unit to the body of a WebAssembly function.
 *
 * R1 A row's semantics write the operators; only direct jumps, whose target is a constant, are written without them.
 */
import type { AccessSize, AmoOperation, Emitter, FloatFormat, FloatOperation } from '../isa/index.ts'
import type { Code } from '../wasm/code.ts'
import type { FloatFunctions } from '../wasm/float-operands.ts'
import { WasmOperators } from '../wasm/operators.ts'
import type { Block, Unit } from './unit.ts'
import { UnitFloats } from './unit-floats.ts'
import { UnitFlow } from './unit-flow.ts'
import { UnitFrame } from './unit-frame.ts'
import { UnitMemory } from './unit-memory.ts'
import { Widths } from './widths.ts'

export class UnitWriter extends WasmOperators implements Emitter<void, void> {
  private readonly frame: UnitFrame
  private readonly flow: UnitFlow
  private readonly memory: UnitMemory
  private readonly floats: UnitFloats
  private readonly widths: Widths
  /** Extensions of the instruction at hand so far. */
  private extensions = 0

  /**
   * @param code a function that was begun with `UNIT_PARAMETERS`
   * @param functions indexes, in the module, for a unit that `needsFloatFunctions`
   * @param note function that is told of accesses, if any
   */
  constructor(code: Code, unit: Unit, functions: FloatFunctions, note: number | null) {
    super(code)
    this.frame = new UnitFrame(code, unit)
    this.widths = new Widths(unit)
    this.memory = new UnitMemory(this.frame, note)
    this.floats = new UnitFloats(this.frame, this.memory, functions)
    this.flow = new UnitFlow(this.frame, this.floats, this.widths, () => this.instruction())
  }

  /** Writes the function's body. */
  write(): void {
    this.frame.begin()
    this.memory.begin()
    this.floats.begin()
    this.frame.around(() => this.flow.write())
  }

  private instruction(): void {
    this.extensions = 0
    this.frame.now.semantics(this)
  }

  override signExtend32(): void {
    if (!this.isNeedless()) super.signExtend32()
  }
  override zeroExtend32(): void {
    if (!this.isNeedless()) super.zeroExtend32()
  }
  private isNeedless(): boolean {
    const { block, tail, unit } = this.frame
    const place = (unit.blocks[block] as Block).instructions.length - tail
    return this.widths.isNeedless(block, place, this.extensions++)
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
  floatLoad(size: 4 | 8): void {
    this.floats.load(size)
  }
  floatStore(size: 4 | 8): void {
    this.floats.store(size)
  }
  float(operation: FloatOperation, format: FloatFormat): void {
    this.floats.operate(operation, format)
  }
  amo(size: 4 | 8, operation: AmoOperation): void {
    this.memory.amo(size, operation)
  }
  fence(): void {}

  // Instructions of the tier below are in no unit.

  loadReserved(): void {}
  storeConditional(): void {}
  csr(): void {}
  fenceI(): void {}
  sfenceVma(): void {}
  ecall(): void {}
  ebreak(): void {}
  wfi(): void {}
  sret(): void {}
  illegal(): void {}
}
