/**
 * From a unit to the body of a WebAssembly function.
 *
 * Guest registers are locals, loaded at the entry and stored at exits. Every block pays for its instructions from the budget
 * at its head and leaves before it begins if that does not suffice; whoever leaves in its middle gets the rest back.
 *
 * R1 A row's semantics write the operators; only direct jumps, whose target is a constant, are written without them.
 * R2 An access probes the fast TLB; what does not hit asks `refill`, and if that has no answer the unit is left at the
 *    instruction, which has had no effect.
 * R3 Addresses of code are the page's address, a local, and a constant: the code fits wherever its page is mapped.
 */
import { Access } from '../../hardware/index.ts'
import { Cell } from '../hart/index.ts'
import type { AccessSize, Decoded, Emitter } from '../isa/index.ts'
import type { Code } from '../wasm/code.ts'
import { FAST_READ, FAST_ROWS, FAST_ROW_BYTES, FAST_WRITE, ROW_ADDEND, ROW_TAG, Word } from '../wasm/layout.ts'
import { Mem, type MemoryOperator, Op, Type } from '../wasm/opcodes.ts'
import { WasmOperators } from '../wasm/operators.ts'
import type { Block, Instruction, Unit } from './discover.ts'
import { type LoopShape, type Shape, structure } from './structure.ts'
import { Kind } from './survey.ts'
import { ExitCode, refillKind } from './unit-abi.ts'

/** Parameters of a unit. */
const HART = 0
const BUDGET = 1
const ENTRY = 2
const PC = 3
export const UNIT_PARAMETERS = 4

/** An exit to JavaScript in one number: offset in the page, instructions not executed of those paid for, code. */
const TAIL_SHIFT = 12
const CODE_SHIFT = 24
const PAGE_MASK = -4096
const ROW_MASK: number = (FAST_ROWS - 1) * FAST_ROW_BYTES
const NONE = -1

/** Indexes that the module's imports have in every module of units. */
export interface UnitImports {
  /** `(low, high, kind) -> host address or -1`. */
  readonly refill: number
}

/** Pages that a function remembers at most. */
const KNOWN_PAGES = 6

/** The page that a base register's last access of a kind went to: locals for its address, or -1, and what leads to its frame. */
interface KnownPage {
  readonly base: number
  readonly access: Access
  readonly tag: number
  readonly addend: number
}

export class UnitWriter extends WasmOperators implements Emitter<void, void> {
  private readonly imports: UnitImports
  private unit!: Unit
  private now!: Decoded
  private offset = 0
  /** Instructions of the present block that come after the present one, and this one. */
  private tail = 0
  /** The function's locals. */
  private readonly registers = new Int32Array(32)
  private base = 0
  private address = 0
  private row = 0
  private host = 0
  private exit = 0
  private label = 0
  private readContext = 0
  private writeContext = 0
  /**
   * Good until rows of the fast TLBs may go, which happens in `refill` and outside the function only.
   */
  private pages: readonly KnownPage[] = []
  private cold = 0
  private transfer = 0
  /** Registers that the function writes, and those that may have been written at each block's end. */
  private written = 0
  private dirty: Int32Array = new Int32Array(0)
  /** Where a branch to a block goes, and the label to set before, 0 for none. */
  private labelOf: Int32Array = new Int32Array(0)
  private idOf: Int32Array = new Int32Array(0)

  constructor(code: Code, imports: UnitImports) {
    super(code)
    this.imports = imports
  }

  /** Writes the body of a unit into a function that was begun with `UNIT_PARAMETERS`. */
  write(code: Code, unit: Unit): void {
    this.startFunction(code)
    this.unit = unit
    this.labelOf = new Int32Array(unit.blocks.length)
    this.idOf = new Int32Array(unit.blocks.length)
    this.followWrites()
    this.prologue()
    this.cold = code.block(Type.i32)
    this.transfer = code.block()
    const successors = unit.blocks.map((block) => block.successors)
    this.sequence(structure(successors, unit.entries), () => this.dispatch())
    code.op(Op.unreachable)
    code.end()
    this.leaveFor()
    code.end()
    this.leave()
  }

  // The frame of a function.

  private prologue(): void {
    const { code, unit } = this
    const used = new Uint8Array(32)
    let loads = false
    let stores = false
    for (const { instructions } of unit.blocks) {
      for (const { decoded, survey } of instructions) {
        if (survey.readsRs1) used[decoded.rs1] = 1
        if (survey.readsRs2) used[decoded.rs2] = 1
        if (survey.writesRd) used[decoded.rd] = 1
        if (survey.kind === Kind.LOAD) loads = true
        if (survey.kind === Kind.STORE) stores = true
      }
    }
    this.registers.fill(NONE)
    for (let n = 1; n < 32; n++) if (used[n] === 1) this.registers[n] = code.local(Type.i64)
    this.base = code.local(Type.i64)
    this.address = code.local(Type.i64)
    this.readContext = code.local(Type.i64)
    this.writeContext = code.local(Type.i64)
    this.row = code.local(Type.i32)
    this.host = code.local(Type.i32)
    this.exit = code.local(Type.i32)
    this.label = code.local(Type.i32)
    for (let n = 1; n < 32; n++) {
      if (used[n] === 0) continue
      code.get(HART)
      code.mem(Mem.i64Load, n * 8)
      code.set(this.registers[n] as number)
    }
    code.get(PC)
    code.i64(PAGE_MASK)
    this.and()
    code.set(this.base)
    this.planPages()
    this.forgetPages()
    if (loads) this.loadContext(Word.contextRead, this.readContext)
    if (stores) this.loadContext(Word.contextWrite, this.writeContext)
  }

  private loadContext(word: number, local: number): void {
    this.code.get(HART)
    this.code.mem(Mem.i64Load, word)
    this.code.set(local)
  }

  /** From the entry asked for to its block. */
  private dispatch(): void {
    const { code, unit } = this
    const { entries } = unit
    if (entries.length === 1) return this.enter(entries[0] as number)
    const stubs = entries.map(() => code.block()).toReversed()
    code.get(ENTRY)
    code.brTable([stubs[0] as number, ...stubs], stubs[0] as number)
    for (const entry of entries) {
      code.end()
      this.enter(entry)
    }
  }

  /** A branch to a block from a dispatcher. */
  private enter(block: number): void {
    this.code.i32(this.idOf[block] as number)
    this.code.set(this.label)
    this.code.br(this.labelOf[block] as number)
  }

  /** The unit is left for the code at PC; the registers are stored. */
  private leaveFor(): void {
    const { code } = this
    code.get(HART)
    code.get(PC)
    code.mem(Mem.i64Store, Cell.pc * 8)
    code.get(HART)
    code.get(BUDGET)
    code.mem(Mem.i32Store, Word.budget)
    code.i32(ExitCode.NEXT)
    code.return()
  }

  /** A cold exit; its number is on the stack. */
  private leave(): void {
    const { code } = this
    code.set(this.exit)
    this.storeRegisters(this.written)
    code.get(HART)
    code.get(this.base)
    code.get(this.exit)
    code.i32(0xfff)
    code.op(Op.i32And)
    code.op(Op.i64ExtendI32U)
    this.add()
    code.mem(Mem.i64Store, Cell.pc * 8)
    code.get(HART)
    code.get(BUDGET)
    code.get(this.exit)
    code.i32(TAIL_SHIFT)
    code.op(Op.i32ShrU)
    code.i32(0xfff)
    code.op(Op.i32And)
    code.op(Op.i32Add)
    code.mem(Mem.i32Store, Word.budget)
    code.get(this.exit)
    code.i32(CODE_SHIFT)
    code.op(Op.i32ShrU)
  }

  private exitNumber(exit: number, offset: number, tail: number): number {
    return offset | (tail << TAIL_SHIFT) | (exit << CODE_SHIFT)
  }

  private leaveAt(exit: number, offset: number, tail: number): void {
    this.code.i32(this.exitNumber(exit, offset, tail))
    this.code.br(this.cold)
  }

  private storeRegisters(mask: number): void {
    for (let n = 1; n < 32; n++) {
      if ((mask & (1 << n)) === 0) continue
      this.code.get(HART)
      this.code.get(this.registers[n] as number)
      this.code.mem(Mem.i64Store, n * 8)
    }
  }

  /** Which registers may have been written when a block ends. */
  private followWrites(): void {
    const { blocks } = this.unit
    const own = blocks.map(({ instructions }) =>
      instructions.reduce((mask, { decoded, survey }) => (survey.writesRd ? mask | (1 << decoded.rd) : mask) & ~1, 0),
    )
    this.written = own.reduce((all, mask) => all | mask, 0)
    this.dirty = Int32Array.from(own)
    for (let changed = true; changed;) {
      changed = false
      for (const [index, { successors }] of blocks.entries()) {
        for (const next of successors) {
          const mask = (this.dirty[next] as number) | (this.dirty[index] as number)
          if (mask === this.dirty[next]) continue
          this.dirty[next] = mask
          changed = true
        }
      }
    }
  }

  // Control flow.

  private sequence(shapes: readonly Shape[], dispatch: (() => void) | null): void {
    const { code } = this
    for (let i = shapes.length - 1; i >= 0; i--) {
      const shape = shapes[i] as Shape
      // The first is entered by falling into it, or by the dispatcher.
      const label = i > 0 || dispatch !== null ? code.block() : NONE
      if (label === NONE) continue
      if (shape.kind === 'block') this.setTarget(shape.block, label, 0)
      else {
        this.setTarget(shape.header, label, 0)
        for (const other of shape.others) this.setTarget(other, label, other + 1)
      }
    }
    dispatch?.()
    for (const [i, shape] of shapes.entries()) {
      if (i > 0 || dispatch !== null) code.end()
      if (shape.kind === 'block') this.block(this.unit.blocks[shape.block] as Block, shape.block)
      else this.loop(shape)
    }
  }

  private setTarget(block: number, label: number, id: number): void {
    this.labelOf[block] = label
    this.idOf[block] = id
  }

  private loop(shape: LoopShape): void {
    const { code } = this
    const label = code.loop()
    if (shape.others.length === 0) {
      this.setTarget(shape.header, label, 0)
      this.sequence(shape.body, null)
    } else {
      this.sequence(shape.body, () => {
        // The header's block is closed at once: its back edges go to the loop.
        const first = this.labelOf[shape.header] as number
        this.enterOthers(shape)
        code.br(first)
        this.setTarget(shape.header, label, 0)
      })
    }
    code.end()
  }

  private enterOthers(shape: LoopShape): void {
    const { code } = this
    code.get(this.label)
    code.if()
    for (const other of shape.others) {
      code.get(this.label)
      code.i32(other + 1)
      code.op(Op.i32Eq)
      code.if()
      this.enter(other)
      code.end()
    }
    code.end()
  }

  private block(block: Block, index: number): void {
    const { code } = this
    const { instructions } = block
    const count = instructions.length
    if (count > 0) {
      code.get(BUDGET)
      code.i32(count)
      code.op(Op.i32Sub)
      code.tee(BUDGET)
      code.i32(0)
      code.op(Op.i32LtS)
      code.if()
      this.leaveAt(ExitCode.BUDGET, block.offset, count)
      code.end()
    }
    this.tail = count
    let last: Instruction | null = null
    for (const instruction of instructions) {
      this.now = instruction.decoded
      this.offset = instruction.offset
      last = instruction
      const { kind } = instruction.survey
      if (kind === Kind.JUMP) this.directJump(index)
      else {
        this.current = index
        this.now.semantics(this)
      }
      this.tail--
    }
    const kind = last?.survey.kind ?? Kind.PLAIN
    if (kind === Kind.JUMP || kind === Kind.INDIRECT) return
    this.goTo(block.end, index)
  }

  /** Index of the block that is being written. */
  private current = 0

  private directJump(index: number): void {
    const { decoded } = { decoded: this.now }
    if (decoded.rd !== 0) {
      this.nextPc()
      this.rd()
      return this.goOut(this.offset + decoded.imm, index)
    }
    this.goTo(this.offset + decoded.imm, index)
  }

  /** To an offset, in the unit or out of it. */
  private goTo(offset: number, from: number): void {
    const to = offset >= 0 && offset < 4096 ? (this.unit.blockAt[offset >> 1] as number) : NONE
    if (to < 0) return this.goOut(offset, from)
    this.branchTo(to)
  }

  private branchTo(block: number): void {
    const { code } = this
    const id = this.idOf[block] as number
    if (id !== 0) {
      code.i32(id)
      code.set(this.label)
    }
    code.br(this.labelOf[block] as number)
  }

  /** Out of the unit to a constant offset from its page. */
  private goOut(offset: number, from: number): void {
    const { code } = this
    // What is behind the last instruction of a page, or cannot be translated, is for the tier below.
    if (offset === (this.unit.blocks[from] as Block).end && offset < 4096 && this.isStep(from)) {
      return this.leaveAt(ExitCode.STEP, offset, 0)
    }
    this.storeRegisters(this.dirty[from] as number)
    this.codeAddress(offset)
    code.set(PC)
    code.br(this.transfer)
  }

  /** The block ends before an instruction that is not translated, and not with a branch. */
  private isStep(index: number): boolean {
    const { instructions } = this.unit.blocks[index] as Block
    const last = instructions[instructions.length - 1]
    return last === undefined || last.survey.kind < Kind.BRANCH
  }

  private codeAddress(offset: number): void {
    this.code.get(this.base)
    this.code.i64(offset)
    this.add()
  }

  // Operands and control transfer.

  rs1(): void {
    this.register(this.now.rs1)
  }
  rs2(): void {
    this.register(this.now.rs2)
  }
  private register(n: number): void {
    if (n === 0) this.code.i64(0)
    else this.code.get(this.registers[n] as number)
  }
  imm(): void {
    this.code.i64(this.now.imm)
  }
  uimm(): void {
    this.code.i64(this.now.rs1)
  }
  pc(): void {
    this.codeAddress(this.offset)
  }
  nextPc(): void {
    this.codeAddress(this.offset + this.now.length)
  }
  rd(): void {
    if (this.now.rd === 0) this.code.op(Op.drop)
    else this.code.set(this.registers[this.now.rd] as number)
  }

  branch(): void {
    const { code } = this
    const offset = this.offset + this.now.imm
    const to = offset >= 0 && offset < 4096 ? (this.unit.blockAt[offset >> 1] as number) : NONE
    if (to >= 0 && this.idOf[to] === 0) return code.brIf(this.labelOf[to] as number)
    code.if()
    if (to >= 0) this.branchTo(to)
    else this.goOut(offset, this.current)
    code.end()
  }

  jump(): void {
    this.code.set(PC)
    this.storeRegisters(this.dirty[this.current] as number)
    this.code.br(this.transfer)
  }

  // Memory.

  /** Pushes the offset of the row, in a fast TLB, of the page of the address on the stack. */
  private rowIndex(): void {
    const { code } = this
    code.op(Op.i32WrapI64)
    code.i32(8)
    code.op(Op.i32ShrU)
    code.i32(ROW_MASK)
    code.op(Op.i32And)
  }

  /** Pushes the host address of rs1 + imm. */
  private probe(access: Access, size: AccessSize): void {
    const { code } = this
    this.rs1()
    if (this.now.imm !== 0) {
      this.imm()
      this.add()
    }
    const known = this.pages.findIndex(({ base, access: of }) => base === this.now.rs1 && of === access)
    if (known < 0) {
      code.set(this.address)
      this.probeTable(access, size)
      return
    }
    const { tag, addend } = this.pages[known] as KnownPage
    code.tee(this.address)
    code.i64(PAGE_MASK | (size - 1))
    this.and()
    code.get(tag)
    this.notEqual()
    code.if()
    this.probeTable(access, size)
    code.get(this.address)
    code.op(Op.i32WrapI64)
    code.op(Op.i32Sub)
    code.set(addend)
    code.get(this.address)
    code.i64(PAGE_MASK)
    this.and()
    code.set(tag)
    code.end()
    code.get(this.address)
    code.op(Op.i32WrapI64)
    code.get(addend)
    code.op(Op.i32Add)
  }

  /** Pushes the host address of `address`, by the fast TLB or else by `refill`, which may make it forget rows. */
  private probeTable(access: Access, size: AccessSize): void {
    const { code } = this
    const table = access === Access.read ? FAST_READ : FAST_WRITE
    code.get(this.address)
    this.rowIndex()
    code.get(HART)
    code.op(Op.i32Add)
    code.tee(this.row)
    code.mem(Mem.i64Load, table + ROW_TAG)
    code.get(this.address)
    code.i64(PAGE_MASK | (size - 1))
    this.and()
    code.get(access === Access.read ? this.readContext : this.writeContext)
    this.or()
    this.equal()
    code.if(Type.i32)
    code.get(this.row)
    code.mem(Mem.i32Load, table + ROW_ADDEND)
    code.get(this.address)
    code.op(Op.i32WrapI64)
    code.op(Op.i32Add)
    code.else()
    code.get(this.address)
    code.op(Op.i32WrapI64)
    code.get(this.address)
    code.i64(32)
    this.shiftRight()
    code.op(Op.i32WrapI64)
    code.i32(refillKind(access === Access.write, size))
    code.call(this.imports.refill)
    code.tee(this.host)
    code.i32(0)
    code.op(Op.i32LtS)
    code.if()
    this.leaveAt(ExitCode.STEP, this.offset, this.tail)
    code.end()
    this.forgetPages()
    code.get(this.host)
    code.end()
  }

  private forgetPages(): void {
    for (const { tag } of this.pages) {
      this.code.i64(-1)
      this.code.set(tag)
    }
  }

  /** Base registers of more than one access, by how often they are used: their last page is remembered. */
  private planPages(): void {
    const uses = new Map<number, number>()
    const loops = this.unit.blocks.some(({ successors }, index) => successors.some((next) => next <= index))
    for (const { instructions } of this.unit.blocks) {
      for (const { decoded, survey } of instructions) {
        if (survey.kind !== Kind.LOAD && survey.kind !== Kind.STORE) continue
        const key = decoded.rs1 * 2 + (survey.kind === Kind.STORE ? 1 : 0)
        uses.set(key, (uses.get(key) ?? 0) + 1)
      }
    }
    const worth = [...uses].filter(([, count]) => loops || count > 1).toSorted((a, b) => b[1] - a[1])
    this.pages = worth.slice(0, KNOWN_PAGES).map(([key]) => ({
      base: key >> 1,
      access: (key & 1) === 0 ? Access.read : Access.write,
      tag: this.code.local(Type.i64),
      addend: this.code.local(Type.i32),
    }))
  }

  load(size: AccessSize, signed: boolean): void {
    this.probe(Access.read, size)
    this.code.mem(loadOperator(size, signed))
    this.rd()
  }

  store(size: AccessSize): void {
    this.probe(Access.write, size)
    this.rs2()
    this.code.mem(storeOperator(size))
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

function loadOperator(size: AccessSize, signed: boolean): MemoryOperator {
  if (size === 8) return Mem.i64Load
  if (size === 4) return signed ? Mem.i64Load32S : Mem.i64Load32U
  if (size === 2) return signed ? Mem.i64Load16S : Mem.i64Load16U
  return signed ? Mem.i64Load8S : Mem.i64Load8U
}

function storeOperator(size: AccessSize): MemoryOperator {
  if (size === 8) return Mem.i64Store
  return size === 4 ? Mem.i64Store32 : size === 2 ? Mem.i64Store16 : Mem.i64Store8
}
