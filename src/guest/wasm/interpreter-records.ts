/**
 * Records of decoded instructions in the interpreter's function `run`: finding those of a page, and dispatching by them
 * (record-pages.ts has the pages).
 *
 * R1 Records are looked for at every `enter`, and are of frames that are watched: after a store that drops some, control
 *    comes by there before the next instruction.
 */
import { pushIndex } from './interpreter-cases.ts'
import { fetch, follow, needRoom } from './interpreter-fetch.ts'
import type { RunState } from './interpreter-state.ts'
import { Mem, Op, Type } from './opcodes.ts'
import { PAGE_COUNTERS, RECORDED, RECORD_ROWS, RECORD_SCALE, type UnitHooks, WARM_CODE } from './unit-hooks.ts'

/** The records of the frame, if there are some. */
export function findRecords(state: RunState, hooks: UnitHooks): void {
  const { code, frame, scratch, records, recordAt: counter } = state
  state.rowOf(frame.frame, 12, hooks.records, RECORD_ROWS, 3)
  code.tee(scratch)
  code.mem(Mem.i32Load)
  code.get(frame.frame)
  code.op(Op.i32Eq)
  code.if(Type.i32)
  code.get(scratch)
  code.mem(Mem.i32Load, 4)
  code.else()
  state.rowOf(frame.frame, 12, hooks.entries, PAGE_COUNTERS, 1)
  code.tee(counter)
  code.get(counter)
  code.mem(Mem.i32Load16U)
  code.i32(1)
  code.op(Op.i32Add)
  code.tee(scratch)
  code.mem(Mem.i32Store16)
  code.get(scratch)
  code.i32(hooks.warmEntries)
  code.op(Op.i32Eq)
  code.if()
  state.leaveFor(WARM_CODE)
  code.end()
  code.i32(hooks.noRecords)
  code.end()
  code.get(frame.frame)
  code.i32(RECORD_SCALE)
  code.op(Op.i32Shl)
  code.op(Op.i32Sub)
  code.set(records)
}

/** Pushes whether the page has records. */
export function keeps(state: RunState, hooks: UnitHooks): void {
  const { code, frame, records } = state
  code.get(frame.frame)
  code.i32(RECORD_SCALE)
  code.op(Op.i32Shl)
  code.get(records)
  code.op(Op.i32Add)
  code.i32(hooks.noRecords)
  code.op(Op.i32Ne)
}

/** Fetches and decodes the instruction at `at`; the result is kept if its page has records. The budget is paid. */
function makeRecord(state: RunState, hooks: UnitHooks, unexpanded: number): void {
  const { code, frame, record, recordAt } = state
  needRoom(state, () => {})
  fetch(state, unexpanded)
  pushIndex(code, frame.word)
  code.i32(RECORDED)
  code.op(Op.i32Or)
  code.get(frame.behind)
  code.get(frame.at)
  code.op(Op.i32Sub)
  code.i32(2)
  code.op(Op.i32Eq)
  code.i32(31)
  code.op(Op.i32Shl)
  code.op(Op.i32Or)
  code.set(record)
  keeps(state, hooks)
  code.if()
  code.get(recordAt)
  code.get(frame.word)
  code.mem(Mem.i32Store)
  code.get(recordAt)
  code.get(record)
  code.mem(Mem.i32Store, 4)
  code.end()
}

/** Pushes the index of the instruction at `at`, from its record if there is one. The budget is paid. */
export function dispatchByRecord(state: RunState, hooks: UnitHooks, unexpanded: number): void {
  const { code, frame, record, recordAt } = state
  code.get(frame.at)
  code.i32(RECORD_SCALE)
  code.op(Op.i32Shl)
  code.get(state.records)
  code.op(Op.i32Add)
  code.tee(recordAt)
  code.mem(Mem.i32Load, 4)
  code.tee(record)
  code.if()
  code.get(recordAt)
  code.mem(Mem.i32Load)
  code.set(frame.word)
  // As a branch, which is predicted: the next place shall not wait for the record.
  code.get(record)
  code.i32(0)
  code.op(Op.i32LtS)
  code.if()
  follow(state, 2)
  code.else()
  follow(state, 4)
  code.end()
  code.else()
  makeRecord(state, hooks, unexpanded)
  code.end()
  code.get(record)
  code.i32(RECORDED - 1)
  code.op(Op.i32And)
}
