/**
 * The locals of the interpreter's function `run`, and the code by which they come from the area and go back.
 *
 * R1 pc is true in `frame.pc` where control goes to `enter` and where it leaves; between, `frame.at` is.
 * R2 instret in the area is counted when control leaves, from the budget that was spent since the last time.
 */
import { Cell } from '../hart/index.ts'
import type { Code } from './code.ts'
import { type EmitterFunctions, FETCH_FRAME, type Frame, InterpreterEmitter } from './interpreter-emitter.ts'
import { Word } from './layout.ts'
import { Mem, Op, Type } from './opcodes.ts'
import type { UnitHooks } from './unit-hooks.ts'

/** The interpreter's own words: i32 budget up to which instret is up to date, place of the expansions. */
export const MARK: number = FETCH_FRAME + 8
export const EXPANSIONS: number = FETCH_FRAME + 12

/** Indexes of the functions that `run` calls. */
export interface RunFunctions extends EmitterFunctions {
  readonly step: number
  readonly expand: number
  /** (area, address, bytes, access) -> i32: makes the row of an access; 0 if it has to be done otherwise. */
  readonly miss: number
  /** (area, word, index) -> i32: floating point; 0 if it has to be done otherwise. */
  readonly float: number
}

/** Locals of `run`, and what leads into and out of them. */
export class RunState {
  readonly code: Code
  readonly functions: RunFunctions
  readonly hooks: UnitHooks | null
  readonly frame: Frame
  readonly emitter: InterpreterEmitter
  /** i32: what is left of the budget, the third parameter; and for values of the moment. */
  readonly left = 2
  readonly scratch: number
  /** i32: what leads from a place in the frame, times 4, to its record; a record, and where it is. */
  readonly records: number
  readonly record: number
  readonly recordAt: number

  constructor(code: Code, functions: RunFunctions, hooks: UnitHooks | null) {
    this.code = code
    this.functions = functions
    this.hooks = hooks
    this.scratch = code.local(Type.i32)
    this.records = code.local(Type.i32)
    this.record = code.local(Type.i32)
    this.recordAt = code.local(Type.i32)
    this.frame = {
      base: 0,
      word: code.local(Type.i32),
      at: code.local(Type.i32),
      behind: code.local(Type.i32),
      frame: code.local(Type.i32),
      missing: code.local(Type.i32),
      pc: code.local(Type.i64),
      address: code.local(Type.i64),
      next: 0,
      taken: 0,
      enter: 0,
      advance: 0,
      slow: 0,
      miss: 0,
    }
    this.emitter = new InterpreterEmitter(code, this.frame, functions)
  }

  /** pc and where its page lies, from the area. */
  loadState(): void {
    const { code, frame } = this
    code.get(frame.base)
    code.mem(Mem.i64Load, Cell.pc * 8)
    code.set(frame.pc)
    code.get(frame.base)
    code.mem(Mem.i32Load, FETCH_FRAME)
    code.set(frame.frame)
  }

  /** pc to the area, and all instructions counted except for the last `unfinished` ones. */
  saveState(unfinished: 0 | 1): void {
    const { code, frame } = this
    code.get(frame.base)
    code.get(frame.pc)
    code.mem(Mem.i64Store, Cell.pc * 8)
    code.get(frame.base)
    code.get(frame.base)
    code.mem(Mem.f64Load, Cell.instret * 8)
    code.get(frame.base)
    code.mem(Mem.i32Load, MARK)
    code.get(this.left)
    code.op(Op.i32Sub)
    if (unfinished === 1) {
      code.i32(1)
      code.op(Op.i32Sub)
    }
    code.op(Op.f64ConvertI32U)
    code.op(Op.f64Add)
    code.mem(Mem.f64Store, Cell.instret * 8)
    code.get(frame.base)
    code.get(this.left)
    code.mem(Mem.i32Store, MARK)
  }

  /** pc from `at`. */
  currentPc(): void {
    this.emitter.pc()
    this.code.set(this.frame.pc)
  }

  /** The instruction at `at` again: it has been paid for, and has done nothing. */
  again(): void {
    const { code, left } = this
    code.get(left)
    code.i32(1)
    code.op(Op.i32Add)
    code.set(left)
    this.currentPc()
    code.br(this.frame.enter)
  }

  /** Leaves if the budget is spent, else spends one instruction of it. @param known where the instruction is known to be */
  spend(out: number, known: 'pc' | 'at'): void {
    const { code, left } = this
    code.get(left)
    code.op(Op.i32Eqz)
    code.if()
    if (known === 'at') this.currentPc()
    code.br(out)
    code.end()
    code.get(left)
    code.i32(1)
    code.op(Op.i32Sub)
    code.set(left)
  }

  /** Pushes the address of the row, of `1 << shift` bytes, of a table by host address without its low `skip` bits. */
  rowOf(place: number, skip: number, table: number, count: number, shift: number): void {
    const { code } = this
    code.get(place)
    code.i32(skip)
    code.op(Op.i32ShrU)
    code.i32(count - 1)
    code.op(Op.i32And)
    code.i32(shift)
    code.op(Op.i32Shl)
    code.i32(table)
    code.op(Op.i32Add)
  }

  /** Leaves for JavaScript with a reason of unit-hooks.ts; the instruction at `at` is the next. */
  leaveFor(reason: number): void {
    const { code, frame } = this
    this.currentPc()
    this.saveState(0)
    code.get(frame.base)
    code.get(this.left)
    code.mem(Mem.i32Store, Word.budget)
    code.i32(reason)
    code.return()
  }
}
