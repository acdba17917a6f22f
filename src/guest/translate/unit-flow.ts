/**
 * Control flow of a unit: its blocks nested into the sequences and loops of `structure`, and the edges between them.
 *
 * R1 Every block pays for its instructions from the budget at its head, and leaves before it begins if that does not suffice,
 *    or if the hart is not fit for it.
 */
import { Op } from '../wasm/opcodes.ts'
import type { Block, Instruction } from './unit.ts'
import { type LoopShape, type Shape, structure } from './structure.ts'
import { Kind } from './survey.ts'
import { BUDGET, ENTRY, ExitCode } from './unit-abi.ts'
import type { UnitFloats } from './unit-floats.ts'
import type { UnitFrame } from './unit-frame.ts'
import type { Widths } from './widths.ts'

const NONE = -1
/** Targets of a computed jump that are compared one after the other. */
const SEARCH_LEAF = 3

export class UnitFlow {
  private readonly frame: UnitFrame
  private readonly floats: UnitFloats
  private readonly widths: Widths
  /** Writes the instruction at hand in the frame. */
  private readonly instruction: () => void
  /** Where a branch to a block goes, and the label to set before, 0 for none. */
  private readonly labelOf: Int32Array
  private readonly idOf: Int32Array

  constructor(frame: UnitFrame, floats: UnitFloats, widths: Widths, instruction: () => void) {
    this.frame = frame
    this.floats = floats
    this.widths = widths
    this.instruction = instruction
    this.labelOf = new Int32Array(frame.unit.blocks.length)
    this.idOf = new Int32Array(frame.unit.blocks.length)
  }

  /** Writes all blocks, behind the dispatch to the entry that is asked for. */
  write(): void {
    const { blocks, entries } = this.frame.unit
    const successors = blocks.map((block) => block.successors)
    this.sequence(structure(successors, entries), () => this.dispatch())
  }

  /** From the entry asked for to its block. */
  private dispatch(): void {
    const { code, unit } = this.frame
    const { entries } = unit
    if (entries.length === 1) return this.enterFromOutside(entries[0] as number)
    const stubs = entries.map(() => code.block()).toReversed()
    code.get(ENTRY)
    code.brTable([stubs[0] as number, ...stubs], stubs[0] as number)
    for (const entry of entries) {
      code.end()
      this.enterFromOutside(entry)
    }
  }

  /** A branch to an entry, if what is taken for granted there holds; or else the tier below has it. */
  private enterFromOutside(entry: number): void {
    const { frame } = this
    const { code } = frame
    for (const [i, register] of this.widths.guards(entry).entries()) {
      frame.get(register)
      frame.get(register)
      code.op(Op.i64Extend32S)
      code.op(Op.i64Xor)
      if (i > 0) code.op(Op.i64Or)
    }
    if (this.widths.guards(entry).length > 0) {
      code.op(Op.i64Eqz)
      code.op(Op.i32Eqz)
      code.if()
      frame.leaveAt(ExitCode.BELOW, (frame.unit.blocks[entry] as Block).offset, 0)
      code.end()
    }
    this.enter(entry)
  }

  /** A branch to a block from a dispatcher. */
  private enter(block: number): void {
    const { code, label } = this.frame
    code.i32(this.idOf[block] as number)
    code.set(label)
    code.br(this.labelOf[block] as number)
  }

  private sequence(shapes: readonly Shape[], dispatch: (() => void) | null): void {
    const { code } = this.frame
    for (let i = shapes.length - 1; i >= 0; i--) {
      const shape = shapes[i] as Shape
      // The first is entered by falling into it, or by the dispatcher.
      const label = i > 0 || dispatch !== null ? code.block() : NONE
      if (label === NONE) continue
      if (shape.kind === 'block') this.setTarget(shape.block, label, 0)
      else {
        this.setTarget(shape.header, label, 0)
        for (const [k, other] of shape.others.entries()) this.setTarget(other, label, k + 1)
      }
    }
    dispatch?.()
    for (const [i, shape] of shapes.entries()) {
      if (i > 0 || dispatch !== null) code.end()
      if (shape.kind === 'block') this.block(this.frame.unit.blocks[shape.block] as Block, shape.block)
      else this.loop(shape)
    }
  }

  private setTarget(block: number, label: number, id: number): void {
    this.labelOf[block] = label
    this.idOf[block] = id
  }

  private loop(shape: LoopShape): void {
    const { code } = this.frame
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
    const { code } = this.frame
    code.get(this.frame.label)
    code.if()
    const stubs = shape.others.map(() => code.block()).toReversed()
    code.get(this.frame.label)
    code.i32(1)
    code.op(Op.i32Sub)
    code.brTable(stubs, stubs[0] as number)
    for (const other of shape.others) {
      code.end()
      this.enter(other)
    }
    code.end()
  }

  private block(block: Block, index: number): void {
    const { frame } = this
    const { instructions } = block
    frame.block = index
    this.pay(block)
    frame.tail = instructions.length
    let last: Instruction | null = null
    for (const instruction of instructions) {
      frame.now = instruction.decoded
      frame.offset = instruction.offset
      last = instruction
      if (instruction.survey.kind === Kind.JUMP) this.directJump()
      else this.instruction()
      frame.tail--
    }
    const kind = last?.survey.kind ?? Kind.PLAIN
    if (kind === Kind.JUMP || kind === Kind.INDIRECT) return
    this.goTo(block.end)
  }

  private pay(block: Block): void {
    const { code } = this.frame
    const { length } = block.instructions
    if (length === 0) return
    code.get(BUDGET)
    code.i32(length)
    code.op(Op.i32Sub)
    code.tee(BUDGET)
    this.floats.orUnfit(this.frame.block)
    code.i32(0)
    code.op(Op.i32LtS)
    code.if()
    this.frame.leaveAt(ExitCode.BUDGET, block.offset, length)
    code.end()
  }

  private directJump(): void {
    const { frame } = this
    const { now, offset } = frame
    if (now.rd !== 0) {
      frame.codeAddress(offset + now.length)
      frame.set(now.rd)
    }
    this.goTo(offset + now.imm)
  }

  /** A branch to an offset if the condition on the stack holds. */
  branch(offset: number): void {
    const { code } = this.frame
    const to = this.blockAt(offset)
    if (to >= 0 && this.idOf[to] === 0) return code.brIf(this.labelOf[to] as number)
    code.if()
    this.goTo(offset)
    code.end()
  }

  /** To the address on the stack, in the unit if it is one of those expected. */
  jump(): void {
    const { frame } = this
    const { blocks } = frame.unit
    const block = blocks[frame.block] as Block
    const targets = block.successors.map((index) => (blocks[index] as Block).offset).toSorted((a, b) => a - b)
    frame.toPc()
    if (targets.length > 0) {
      frame.pushOffset()
      frame.code.set(frame.target)
      this.search(targets)
    }
    frame.transferToPc()
  }

  /** A branch to that of the offsets, in ascending order, which the local `target` is. */
  private search(offsets: readonly number[]): void {
    const { code, target } = this.frame
    if (offsets.length <= SEARCH_LEAF) {
      for (const offset of offsets) {
        code.get(target)
        code.i64(offset)
        code.op(Op.i64Eq)
        this.branch(offset)
      }
      return
    }
    const middle = offsets.length >> 1
    code.get(target)
    code.i64(offsets[middle] as number)
    code.op(Op.i64LtU)
    code.if()
    this.search(offsets.slice(0, middle))
    code.else()
    this.search(offsets.slice(middle))
    code.end()
  }

  private blockAt(offset: number): number {
    return offset >= 0 && offset < 4096 ? (this.frame.unit.blockAt[offset >> 1] as number) : NONE
  }

  /** To an offset, in the unit or out of it. */
  private goTo(offset: number): void {
    const { code, label } = this.frame
    const to = this.blockAt(offset)
    if (to < 0) return this.goOut(offset)
    const id = this.idOf[to] as number
    if (id !== 0) {
      code.i32(id)
      code.set(label)
    }
    code.br(this.labelOf[to] as number)
  }

  /** Out of the unit to a constant offset from its page. */
  private goOut(offset: number): void {
    const { frame } = this
    const block = frame.unit.blocks[frame.block] as Block
    // What is behind the last instruction of a page, or cannot be translated, is for the tier below.
    if (offset === block.end && offset < 4096 && isStep(block)) return frame.leaveAt(ExitCode.STEP, offset, 0)
    frame.codeAddress(offset)
    frame.toPc()
    frame.transferToPc()
  }
}

/** The block ends before an instruction that is not translated, and not with a branch. */
function isStep({ instructions }: Block): boolean {
  const last = instructions[instructions.length - 1]
  return last === undefined || last.survey.kind < Kind.BRANCH
}
