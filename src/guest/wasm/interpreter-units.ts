/**
 * The look for translated code in the interpreter's function `run`, wherever control goes to another place than the next.
 *
 * R1 The code map is looked at only where jumps are counted as hot: where a unit is, the counter says so (`UNIT_HERE`).
 */
import { keeps } from './interpreter-records.ts'
import type { RunState } from './interpreter-state.ts'
import { Mem, Op } from './opcodes.ts'
import {
  FOUND_UNIT,
  FULL,
  HOT_CODE,
  LOST_CODE,
  NOT_BEFORE,
  UNIT_HERE,
  type UnitHooks,
  WARM_CODE,
} from './unit-hooks.ts'

/**
 * Leaves if translated code can go on at `at`, or when code there gets warm or hot. What is hot and no unit is not
 * counted on.
 */
export function lookForUnit(state: RunState, hooks: UnitHooks): void {
  const { code, frame, scratch, recordAt: counter } = state
  code.get(state.left)
  code.get(frame.base)
  code.mem(Mem.i32Load, NOT_BEFORE)
  code.op(Op.i32Ne)
  code.if()
  state.rowOf(frame.at, 1, hooks.heat, hooks.counters, 1)
  code.tee(counter)
  code.mem(Mem.i32Load16U)
  code.i32(1)
  code.op(Op.i32Add)
  code.tee(scratch)
  code.i32(hooks.threshold)
  code.op(Op.i32LtU)
  code.if()
  code.get(counter)
  code.get(scratch)
  code.mem(Mem.i32Store16)
  code.get(scratch)
  code.i32(hooks.warm)
  code.op(Op.i32Eq)
  code.if()
  keeps(state, hooks)
  code.op(Op.i32Eqz)
  code.if()
  state.leaveFor(WARM_CODE)
  code.end()
  code.end()
  code.else()
  state.rowOf(frame.at, 1, hooks.map, hooks.rows, hooks.rowShift)
  code.mem(Mem.i32Load)
  code.get(frame.at)
  code.op(Op.i32Eq)
  code.if()
  state.leaveFor(FOUND_UNIT)
  code.end()
  code.get(scratch)
  code.i32(hooks.threshold)
  code.op(Op.i32Eq)
  code.if()
  code.get(counter)
  code.get(scratch)
  code.mem(Mem.i32Store16)
  state.leaveFor(HOT_CODE)
  code.end()
  code.get(scratch)
  code.i32(UNIT_HERE)
  code.op(Op.i32GtU)
  code.if()
  code.get(scratch)
  code.i32(FULL)
  code.op(Op.i32Eq)
  code.if()
  code.get(counter)
  code.i32(UNIT_HERE)
  code.mem(Mem.i32Store16)
  state.leaveFor(LOST_CODE)
  code.end()
  code.get(counter)
  code.get(scratch)
  code.mem(Mem.i32Store16)
  code.end()
  code.end()
  code.end()
}
