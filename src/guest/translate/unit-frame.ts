/**
 * The frame of a unit's function: its locals, what its entry loads, and how it is left.
 *
 * Guest registers are locals, loaded at the entry and stored at exits. An exit in the middle of a block gives back what the
 * block has paid for and not executed.
 *
 * R1 Whatever leaves stores every register that may have been written on the way to it.
 * R2 Addresses of code are the page's address, a local, and a constant: the code fits wherever its page is mapped.
 */
import { Cell } from '../hart/index.ts'
import type { Decoded } from '../isa/index.ts'
import type { Code } from '../wasm/code.ts'
import { Word } from '../wasm/layout.ts'
import { Mem, Op, Type } from '../wasm/opcodes.ts'
import type { Unit } from './unit.ts'
import { BUDGET, ExitCode, HART, PC } from './unit-abi.ts'
import { UnitFloatRegisters } from './unit-float-registers.ts'
import { mayBeWritten } from './unit-writes.ts'

/** An exit to JavaScript in one number: offset in the page, instructions not executed of those paid for, code. */
const TAIL_SHIFT = 12
const CODE_SHIFT = 24
const PAGE_MASK = -4096
const NONE = -1

export class UnitFrame {
  /** The function in the making. */
  readonly code: Code
  readonly unit: Unit
  /** The instruction that is being written, its offset in the page, and the index of its block. */
  now!: Decoded
  offset = 0
  block = 0
  /** Instructions of the present block that come after the present one, and this one. */
  tail = 0
  readonly floats: UnitFloatRegisters
  /** Local: which block the header of a loop goes on with. */
  label = 0
  /** Local: how far from the page's address a computed jump goes. */
  target = 0
  /** Local: address of the page. */
  private base = 0
  /** Locals of x1 to x31. */
  private readonly registers = new Int32Array(32).fill(NONE)
  private exit = 0
  private cold = 0
  private transfer = 0
  /** Registers that the function writes, and those that may have been written at each block's end. */
  private written = 0
  private dirty: Int32Array = new Int32Array(0)

  constructor(code: Code, unit: Unit) {
    this.code = code
    this.unit = unit
    this.floats = new UnitFloatRegisters(code, unit)
    this.followWrites()
  }

  /** Declares the locals and loads them. */
  begin(): void {
    const { code, unit } = this
    const used = new Uint8Array(32)
    for (const { instructions } of unit.blocks) {
      for (const { decoded, survey } of instructions) {
        if (survey.readsRs1) used[decoded.rs1] = 1
        if (survey.readsRs2) used[decoded.rs2] = 1
        if (survey.writesRd) used[decoded.rd] = 1
      }
    }
    for (let n = 1; n < 32; n++) if (used[n] === 1) this.registers[n] = code.local(Type.i64)
    this.base = code.local(Type.i64)
    this.target = code.local(Type.i64)
    this.exit = code.local(Type.i32)
    this.label = code.local(Type.i32)
    for (let n = 1; n < 32; n++) {
      if (used[n] === 0) continue
      code.get(HART)
      code.mem(Mem.i64Load, n * 8)
      code.set(this.registers[n] as number)
    }
    this.floats.load()
    code.get(PC)
    code.i64(PAGE_MASK)
    code.op(Op.i64And)
    code.set(this.base)
  }

  /** Writes the function's blocks between its exits. @param blocks never falls through */
  around(blocks: () => void): void {
    const { code } = this
    this.cold = code.block(Type.i32)
    this.transfer = code.block()
    blocks()
    code.op(Op.unreachable)
    code.end()
    this.leaveFor()
    code.end()
    this.leave()
  }

  /** Pushes a register. */
  get(n: number): void {
    if (n === 0) this.code.i64(0)
    else this.code.get(this.registers[n] as number)
  }

  /** Takes a register's new value from the stack. */
  set(n: number): void {
    if (n === 0) this.code.op(Op.drop)
    else this.code.set(this.registers[n] as number)
  }

  /** Pushes the guest address of an offset from the page. */
  codeAddress(offset: number): void {
    this.code.get(this.base)
    this.code.i64(offset)
    this.code.op(Op.i64Add)
  }

  /** Leaves with `exit` for an offset in the page. @param tail instructions paid for that were not executed */
  leaveAt(exit: number, offset: number, tail: number): void {
    this.code.i32(offset | (tail << TAIL_SHIFT) | (exit << CODE_SHIFT))
    this.code.br(this.cold)
  }

  /** Leaves the instruction at hand to the tier below, without effect so far. */
  giveUp(): void {
    this.leaveAt(ExitCode.BELOW, this.offset, this.tail)
  }

  /** Takes the address to go on with from the stack. */
  toPc(): void {
    this.code.set(PC)
  }

  /** Pushes how far PC is from the page's address. */
  pushOffset(): void {
    this.code.get(PC)
    this.code.get(this.base)
    this.code.op(Op.i64Sub)
  }

  /** Leaves from the end of the block at hand for the address in PC. */
  transferToPc(): void {
    this.storeRegisters(this.dirty[this.block] as number)
    this.floats.storeFrom(this.block)
    this.code.br(this.transfer)
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
    this.floats.storeAll()
    code.get(HART)
    code.get(this.base)
    code.get(this.exit)
    code.i32(0xfff)
    code.op(Op.i32And)
    code.op(Op.i64ExtendI32U)
    code.op(Op.i64Add)
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
    this.dirty = mayBeWritten(blocks, own)
  }
}
