/**
 * The body of the interpreter's function `run`: its blocks and loops, and what stands at the end of each.
 *
 * R1 Control goes between the parts by the labels of `Frame` only.
 */
import type { Code } from './code.ts'
import { planCases, pushIndex, writeCases } from './interpreter-cases.ts'
import { fetch, makeExpansion, needRoom } from './interpreter-fetch.ts'
import { enterPage, makeRow, stayInPage } from './interpreter-pages.ts'
import { dispatchByRecord, findRecords } from './interpreter-records.ts'
import { EXPANSIONS, MARK, type RunFunctions, RunState } from './interpreter-state.ts'
import { lookForUnit } from './interpreter-units.ts'
import { Mem, Op } from './opcodes.ts'
import type { UnitHooks } from './unit-hooks.ts'

/** (area, expansions, budget) -> reason, 0 when the budget is spent. */
export function runBody(code: Code, functions: RunFunctions, hooks: UnitHooks | null): void {
  const state = new RunState(code, functions, hooks)
  const { frame } = state
  for (const [word, local] of [
    [MARK, state.left],
    [EXPANSIONS, 1],
  ] as const) {
    code.get(frame.base)
    code.get(local)
    code.mem(Mem.i32Store, word)
  }
  state.loadState()
  frame.enter = code.loop()
  const slowAt = code.block()
  const out = code.block()
  const unexpanded = code.block()
  frame.miss = code.block()
  enterPage(state, slowAt, out)
  if (hooks !== null) {
    findRecords(state, hooks)
    frame.taken = code.loop()
    stayInPage(state)
    lookForUnit(state, hooks)
  }
  frame.next = code.loop()
  if (hooks === null) frame.taken = frame.next
  frame.slow = code.block()
  frame.advance = code.block()
  handlers(state, out, unexpanded)
  code.end()
  // advance:
  code.get(frame.behind)
  code.set(frame.at)
  code.br(frame.next)
  code.end()
  // slow:
  state.currentPc()
  code.br(slowAt)
  code.end()
  code.end()
  if (hooks !== null) code.end()
  // miss:
  makeRow(state, slowAt)
  code.end()
  // unexpanded:
  makeExpansion(state)
  code.end()
  // out:
  state.saveState(0)
  code.i32(0)
  code.return()
  code.end()
  // slowAt:
  state.saveState(1)
  code.call(functions.step)
  code.tee(state.scratch)
  code.if()
  code.get(state.scratch)
  code.return()
  code.end()
  state.loadState()
  code.br(frame.enter)
  code.end()
  code.op(Op.unreachable)
}

/** Blocks of all handlers around the dispatch, and their code behind it. */
function handlers(state: RunState, out: number, unexpanded: number): void {
  const { code, emitter, frame, scratch } = state
  const float = code.block()
  writeCases(code, planCases(), false, float, emitter, frame, () => {
    dispatch(state, out, unexpanded)
    code.tee(scratch)
  })
  code.end()
  code.get(frame.base)
  code.get(frame.word)
  code.get(scratch)
  code.call(state.functions.float)
  code.op(Op.i32Eqz)
  code.brIf(frame.slow)
  code.br(frame.advance)
}

/** Fetches the instruction at `at`, and pushes its index. */
function dispatch(state: RunState, out: number, unexpanded: number): void {
  const { hooks } = state
  if (hooks === null) needRoom(state, () => state.spend(out, 'pc'))
  state.spend(out, 'at')
  if (hooks !== null) return dispatchByRecord(state, hooks, unexpanded)
  fetch(state, unexpanded)
  pushIndex(state.code, state.frame.word)
}
