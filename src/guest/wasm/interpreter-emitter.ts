/**
 * The emitter behind the WebAssembly interpreter: operands come from the instruction word at run time.
 *
 * R1 What needs more than registers and mapped memory - CSRs, fences, the system - is `rare`: the row's code is thrown away
 *    and the reference interpreter executes the instruction.
 * R2 Nothing has happened when a memory access gives up (`Frame.slow`, `Frame.miss`): the instruction can be executed anew.
 * R3 Handlers of integer instructions call nothing, and few locals live from one to the next: V8 keeps what is in registers
 *    there only if no path through the loop calls.
 */
import { Access } from '../../hardware/index.ts'
import { Cell } from '../hart/index.ts'
import type {
  AccessSize,
  AmoOperation,
  CsrOperation,
  Emitter,
  Field,
  FloatFormat,
  FloatOperation,
  Row,
} from '../isa/index.ts'
import { pushCombined } from './atomics.ts'
import type { Code } from './code.ts'
import { pushField } from './fields.ts'
import type { FloatFunctions } from './float-operands.ts'
import { FloatWriter } from './float-writer.ts'
import { type InterpreterFloatFunctions, InterpreterFloats } from './interpreter-floats.ts'
import { ENGINE_WORDS, FAST_READ, FAST_ROWS, FAST_WRITE, ROW_ADDEND, ROW_TAG, Word } from './layout.ts'
import { NOTED_BOTH, NOTED_STORE, pushNote } from './observation.ts'
import { Mem, type MemoryOperator, Op, Type } from './opcodes.ts'
import { WasmOperators } from './operators.ts'

/** Words that the interpreter shares with its JavaScript half: i64 guest address and i32 place of the fetch page. */
export const FETCH_PAGE: number = ENGINE_WORDS
export const FETCH_FRAME: number = ENGINE_WORDS + 8

/** Locals and labels that the handlers share with the dispatch (interpreter-run.ts). */
export interface Frame {
  /** i32: the hart's area, the instruction word (32-bit form), its place, the place behind it, and its frame's, in the memory. */
  readonly base: number
  readonly word: number
  readonly at: number
  readonly behind: number
  readonly frame: number
  /** i64: guest address of the instruction where `enter` starts. */
  readonly pc: number
  /** The access that missed: i64 address, and i32 bytes and `Access << MISS_SHIFT`. */
  readonly address: number
  readonly missing: number
  /**
   * Labels: the instruction at `at`; the same, jumped to; the one at `pc`; behind this one; this one by the reference
   * interpreter; this one again after the row of its access was made.
   */
  next: number
  taken: number
  enter: number
  advance: number
  slow: number
  miss: number
}

/** Of the access in `Frame.missing`. */
export const MISS_SHIFT = 4

/** Indexes of the module's functions. */
export interface EmitterFunctions extends FloatFunctions, InterpreterFloatFunctions {
  /** Is told of each access (observation.ts), if there is such. */
  readonly note: number | null
}

const LOADS: Readonly<Record<AccessSize, readonly [MemoryOperator, MemoryOperator]>> = {
  1: [Mem.i64Load8U, Mem.i64Load8S],
  2: [Mem.i64Load16U, Mem.i64Load16S],
  4: [Mem.i64Load32U, Mem.i64Load32S],
  8: [Mem.i64Load, Mem.i64Load],
}
const STORES: Readonly<Record<AccessSize, MemoryOperator>> = {
  1: Mem.i64Store8,
  2: Mem.i64Store16,
  4: Mem.i64Store32,
  8: Mem.i64Store,
}
const ROW_MASK = (FAST_ROWS - 1) * 16

export class InterpreterEmitter extends WasmOperators implements Emitter<void, void> {
  rare = false
  private row: Row | undefined
  private readonly frame: Frame
  private readonly floats: InterpreterFloats
  private readonly floatWriter: FloatWriter
  private readonly note: number | null
  private readonly result: number
  private readonly tableRow: number

  constructor(code: Code, frame: Frame, functions: EmitterFunctions) {
    super(code)
    this.frame = frame
    this.note = functions.note
    this.result = code.local(Type.i64)
    this.tableRow = code.local(Type.i32)
    const host = {
      row: () => this.row!,
      cell: (field: Field) => this.cell(field),
      rs1: () => this.rs1(),
      rd: () => this.rd(),
    }
    this.floats = new InterpreterFloats(code, host, frame, functions)
    this.floatWriter = new FloatWriter(this.floats, functions)
  }

  /**
   * Appends the code of a row; ends with a jump to one of the labels.
   * @returns false, with nothing appended, if the row is rare
   */
  handler(row: Row): boolean {
    const { bytes } = this.code
    const start = bytes.length
    this.row = row
    this.rare = false
    row.semantics<void, void>(this)
    // An encoding that is excluded by an operand's value is left to the reference, too; rounding modes have been tested.
    if (row.except.some(([name]) => name !== 'rm')) this.rare = true
    if (this.rare) bytes.length = start
    else this.code.br(this.frame.advance)
    return !this.rare
  }

  // Operands.

  rs1(): void {
    this.register('rs1')
  }
  rs2(): void {
    this.register('rs2')
  }
  imm(): void {
    pushField(this.code, this.row!.format.imm as Field, this.frame.word)
    this.code.op(Op.i64ExtendI32S)
  }
  uimm(): void {
    this.rare = true
  }
  pc(): void {
    const { code, frame } = this
    code.get(frame.at)
    code.get(frame.frame)
    code.op(Op.i32Sub)
    code.op(Op.i64ExtendI32S)
    this.page()
    code.op(Op.i64Add)
  }
  nextPc(): void {
    const { code, frame } = this
    code.get(frame.behind)
    code.get(frame.frame)
    code.op(Op.i32Sub)
    code.op(Op.i64ExtendI32U)
    this.page()
    code.op(Op.i64Add)
  }
  /** Pushes the guest address of the frame. */
  page(): void {
    this.code.get(this.frame.base)
    this.code.mem(Mem.i64Load, FETCH_PAGE)
  }

  /** x0 is written as any other register and made zero again. */
  rd(_value: void): void {
    const { code, frame, result, row } = this
    const field = row!.format.rd
    code.set(result)
    if (field === undefined) return
    this.cell(field)
    code.get(result)
    code.mem(Mem.i64Store)
    code.get(frame.base)
    code.i64(0)
    code.mem(Mem.i64Store)
  }

  private register(name: 'rs1' | 'rs2'): void {
    const field = this.row!.format[name]
    if (field === undefined) return this.code.i64(0)
    this.cell(field)
    this.code.mem(Mem.i64Load)
  }

  /** Pushes the address of the register that a field names. */
  private cell(field: Field): void {
    pushField(this.code, field, this.frame.word, 3)
    this.code.get(this.frame.base)
    this.code.op(Op.i32Add)
  }

  // Control transfer.

  branch(_condition: void): void {
    const { code, frame } = this
    code.if()
    code.get(frame.at)
    pushField(code, this.row!.format.imm as Field, frame.word)
    code.op(Op.i32Add)
    code.set(frame.at)
    code.br(frame.taken)
    code.end()
  }

  jump(_target: void): void {
    const { code, frame } = this
    code.tee(frame.pc)
    code.i64(-4096)
    code.op(Op.i64And)
    this.page()
    code.op(Op.i64Ne)
    code.brIf(frame.enter)
    code.get(frame.frame)
    code.get(frame.pc)
    code.op(Op.i32WrapI64)
    code.i32(0xfff)
    code.op(Op.i32And)
    code.op(Op.i32Add)
    code.set(frame.at)
    code.br(frame.taken)
  }

  // Memory.

  load(size: AccessSize, signed: boolean): void {
    this.effectiveAddress()
    this.probe(size, Access.read)
    this.host()
    this.code.mem(LOADS[size][signed ? 1 : 0])
    this.rd()
  }

  store(size: AccessSize): void {
    this.effectiveAddress()
    this.probe(size, Access.write)
    this.host()
    this.rs2()
    this.code.mem(STORES[size])
  }

  amo(size: 4 | 8, operation: AmoOperation): void {
    const { code, frame, result } = this
    this.rs1()
    code.set(frame.address)
    this.probe(size, Access.write, NOTED_BOTH)
    this.host()
    code.mem(LOADS[size][1])
    code.set(result)
    this.host()
    pushCombined(code, size, operation, result, () => this.rs2())
    code.mem(STORES[size])
    code.get(result)
    this.rd()
  }

  private effectiveAddress(): void {
    const { code } = this
    this.rs1()
    this.imm()
    code.op(Op.i64Add)
    code.set(this.frame.address)
  }

  /** Finds the row of the address, or leaves to have it made. */
  private probe(
    size: AccessSize,
    access: typeof Access.read | typeof Access.write,
    noted: number = access === Access.write ? NOTED_STORE : 0,
  ): void {
    const { code, frame, tableRow } = this
    const { address } = frame
    const table = access === Access.read ? FAST_READ : FAST_WRITE
    code.get(address)
    code.i64(8)
    code.op(Op.i64ShrU)
    code.op(Op.i32WrapI64)
    code.i32(ROW_MASK)
    code.op(Op.i32And)
    code.get(frame.base)
    code.op(Op.i32Add)
    code.tee(tableRow)
    code.mem(Mem.i64Load, table + ROW_TAG)
    code.get(address)
    code.i64(-4096 | (size - 1))
    code.op(Op.i64And)
    code.get(frame.base)
    code.mem(Mem.i64Load, access === Access.read ? Word.contextRead : Word.contextWrite)
    code.op(Op.i64Or)
    code.op(Op.i64Ne)
    code.if()
    code.i32(size | (access << MISS_SHIFT))
    code.set(frame.missing)
    code.br(frame.miss)
    code.end()
    code.get(tableRow)
    code.mem(Mem.i32Load, table + ROW_ADDEND)
    code.get(address)
    code.op(Op.i32WrapI64)
    code.op(Op.i32Add)
    code.set(tableRow)
    if (this.note !== null) pushNote(code, this.note, address, tableRow, size | noted)
  }

  /** Pushes the place of the access in the memory, after `probe`. */
  private host(): void {
    this.code.get(this.tableRow)
  }

  // Floating point.

  floatLoad(size: 4 | 8): void {
    const { code } = this
    this.floats.needOn()
    this.effectiveAddress()
    this.probe(size, Access.read)
    this.host()
    code.mem(LOADS[size][0])
    if (size === 4) {
      code.i64Big(-1n << 32n)
      code.op(Op.i64Or)
    }
    this.floats.setBits()
  }

  floatStore(size: 4 | 8): void {
    const { code } = this
    this.floats.needOn()
    this.effectiveAddress()
    this.probe(size, Access.write)
    this.host()
    this.cell(this.row!.format.rs2 as Field)
    code.mem(Mem.i64Load, Cell.f0 * 8)
    code.mem(STORES[size])
  }

  float(operation: FloatOperation, format: FloatFormat): void {
    this.floatWriter.write(operation, format)
  }

  /** Harts take turns, so memory is in order. */
  fence(): void {}

  // The reference interpreter's.

  loadReserved(_size: 4 | 8): void {
    this.rare = true
  }
  storeConditional(_size: 4 | 8): void {
    this.rare = true
  }
  csr(_operation: CsrOperation, _source: void): void {
    this.rare = true
  }
  fenceI(): void {
    this.rare = true
  }
  sfenceVma(): void {
    this.rare = true
  }
  ecall(): void {
    this.rare = true
  }
  ebreak(): void {
    this.rare = true
  }
  wfi(): void {
    this.rare = true
  }
  sret(): void {
    this.rare = true
  }
  illegal(): void {
    this.rare = true
  }
}
