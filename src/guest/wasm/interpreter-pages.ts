/**
 * Where the instructions of a page lie: the part of the interpreter's function `run` that follows pc from page to page.
 *
 * R1 The page at hand stays so until pc leaves it, or JavaScript forgets it: nothing else makes its frame be looked up.
 * R2 A page that nothing will be fetched from is not translated.
 */
import { Access } from '../../hardware/index.ts'
import { FETCH_FRAME, FETCH_PAGE, MISS_SHIFT } from './interpreter-emitter.ts'
import type { RunState } from './interpreter-state.ts'
import { FAST_EXECUTE, FAST_ROWS, ROW_ADDEND, ROW_TAG, Word } from './layout.ts'
import { Mem, Op } from './opcodes.ts'

/** Finds the frame of pc's page, unless it is the page at hand, and the place of the instruction. */
export function enterPage(state: RunState, slowAt: number, out: number): void {
  const { code, emitter, frame, scratch } = state
  const pushPage = (): void => {
    code.get(frame.pc)
    code.i64(-4096)
    code.op(Op.i64And)
  }
  pushPage()
  emitter.page()
  code.op(Op.i64Ne)
  code.if()
  code.get(frame.pc)
  code.i64(8)
  code.op(Op.i64ShrU)
  code.op(Op.i32WrapI64)
  code.i32((FAST_ROWS - 1) * 16)
  code.op(Op.i32And)
  code.get(frame.base)
  code.op(Op.i32Add)
  code.tee(scratch)
  code.mem(Mem.i64Load, FAST_EXECUTE + ROW_TAG)
  pushPage()
  code.get(frame.base)
  code.mem(Mem.i64Load, Word.contextExecute)
  code.op(Op.i64Or)
  code.op(Op.i64Ne)
  code.if()
  // A page that nothing will be fetched from is not translated.
  code.get(state.left)
  code.op(Op.i32Eqz)
  code.brIf(out)
  code.get(frame.base)
  pushPage()
  code.i32(1)
  code.i32(Access.execute)
  code.call(state.functions.miss)
  code.op(Op.i32Eqz)
  code.if()
  state.spend(out, 'pc')
  code.br(slowAt)
  code.end()
  code.end()
  code.get(frame.base)
  pushPage()
  code.mem(Mem.i64Store, FETCH_PAGE)
  code.get(frame.base)
  pushPage()
  code.op(Op.i32WrapI64)
  code.get(scratch)
  code.mem(Mem.i32Load, FAST_EXECUTE + ROW_ADDEND)
  code.op(Op.i32Add)
  code.tee(frame.frame)
  code.mem(Mem.i32Store, FETCH_FRAME)
  code.end()
  code.get(frame.frame)
  code.get(frame.pc)
  code.op(Op.i32WrapI64)
  code.i32(0xfff)
  code.op(Op.i32And)
  code.op(Op.i32Add)
  code.set(frame.at)
}

/** A jump may have led out of the page. */
export function stayInPage(state: RunState): void {
  const { code, frame } = state
  code.get(frame.at)
  code.get(frame.frame)
  code.op(Op.i32Sub)
  code.i32(0xffe)
  code.op(Op.i32GtU)
  code.if()
  state.currentPc()
  code.br(frame.enter)
  code.end()
}

export function makeRow(state: RunState, slowAt: number): void {
  const { code, frame } = state
  code.get(frame.base)
  code.get(frame.address)
  code.get(frame.missing)
  code.i32((1 << MISS_SHIFT) - 1)
  code.op(Op.i32And)
  code.get(frame.missing)
  code.i32(MISS_SHIFT)
  code.op(Op.i32ShrU)
  code.call(state.functions.miss)
  code.if()
  state.again()
  code.end()
  state.currentPc()
  code.br(slowAt)
}
