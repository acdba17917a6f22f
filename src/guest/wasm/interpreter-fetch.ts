/**
 * Fetching one instruction in the interpreter's function `run`, and finding its 32-bit form.
 *
 * R1 The word is read from memory; only the expansion of a 16-bit instruction, which depends on nothing else, is kept.
 * R2 An instruction that crosses into the next page is left to the reference interpreter.
 */
import { EXPANSIONS, type RunState } from './interpreter-state.ts'
import { Mem, Op } from './opcodes.ts'

/** The 32-bit form of the instruction at `at`, and the place behind it. */
export function fetch(state: RunState, unexpanded: number): void {
  const { code, frame } = state
  code.get(frame.at)
  code.mem(Mem.i32Load)
  code.tee(frame.word)
  isLong(state)
  code.if()
  follow(state, 4)
  code.else()
  expand(state, unexpanded)
  code.end()
}

/** Goes elsewhere if `at` is behind the page, before it, or at its last two bytes with an instruction of four. */
export function needRoom(state: RunState, spend: () => void): void {
  const { code, frame, left, scratch } = state
  code.get(frame.at)
  code.get(frame.frame)
  code.op(Op.i32Sub)
  code.tee(scratch)
  code.i32(0xffc)
  code.op(Op.i32GtU)
  code.if()
  state.currentPc()
  code.get(scratch)
  code.i32(0xffe)
  code.op(Op.i32Ne)
  code.if()
  if (state.hooks !== null) {
    code.get(left)
    code.i32(1)
    code.op(Op.i32Add)
    code.set(left)
  }
  code.br(frame.enter)
  code.end()
  code.get(frame.at)
  code.mem(Mem.i32Load16U)
  isLong(state)
  code.if()
  spend()
  code.br(frame.slow)
  code.end()
  code.end()
}

/** The instruction has so many bytes. */
export function follow(state: RunState, length: 2 | 4): void {
  const { code, frame } = state
  code.get(frame.at)
  code.i32(length)
  code.op(Op.i32Add)
  code.set(frame.behind)
}

/** `scratch` is where the expansion of the instruction at `at` belongs. */
export function makeExpansion(state: RunState): void {
  const { code, frame, scratch } = state
  code.get(scratch)
  code.get(frame.at)
  code.mem(Mem.i32Load16U)
  code.call(state.functions.expand)
  code.mem(Mem.i32Store)
  state.again()
}

/** Whether the instruction that begins with the bits on the stack has 32 bits. */
function isLong(state: RunState): void {
  const { code } = state
  code.i32(3)
  code.op(Op.i32And)
  code.i32(3)
  code.op(Op.i32Eq)
}

/** Replaces the 16-bit instruction in `word`. */
function expand(state: RunState, unexpanded: number): void {
  const { code, frame, scratch } = state
  follow(state, 2)
  code.get(frame.word)
  code.i32(0xffff)
  code.op(Op.i32And)
  code.i32(2)
  code.op(Op.i32Shl)
  code.get(frame.base)
  code.mem(Mem.i32Load, EXPANSIONS)
  code.op(Op.i32Add)
  code.tee(scratch)
  code.mem(Mem.i32Load)
  code.tee(frame.word)
  code.op(Op.i32Eqz)
  code.brIf(unexpanded)
}
