/**
 * The loop that goes from unit to unit: `enter(hart, budget) -> ExitCode`.
 *
 * It is the only module that has the table of functions: V8 gives every instance that imports a table a copy of it, and
 * updates them all whenever a slot changes.
 *
 * R1 A unit is entered only if the fast TLB knows its page as executable now, and the code map knows the host address: so
 *    neither has to be told when the other changes.
 */
import { Cell } from '../hart/index.ts'
import { ModuleBuilder } from '../wasm/emit.ts'
import { FAST_EXECUTE, FAST_ROWS, FAST_ROW_BYTES, ROW_ADDEND, ROW_TAG, Word } from '../wasm/layout.ts'
import { Mem, Op, Type } from '../wasm/opcodes.ts'
import { ExitCode, MAP_HOST, MAP_ROWS, MAP_ROW_SHIFT, MAP_TARGET, SLOT_SHIFT } from './unit-abi.ts'

const HART = 0
const BUDGET = 1
const PAGE_MASK = -4096
const ROW_MASK: number = (FAST_ROWS - 1) * FAST_ROW_BYTES

/** The module's bytes. @param map where the code map is in the memory */
export function dispatcherModule(map: number): Uint8Array {
  const m = new ModuleBuilder()
  const unitType = m.type([Type.i32, Type.i32, Type.i32, Type.i64], [Type.i32])
  m.importMemory('u', 'memory')
  m.importTable('u', 'table')
  m.function(m.type([Type.i32, Type.i32], [Type.i32]), 'enter')
  const code = m.begin(2)
  const pc = code.local(Type.i64)
  const row = code.local(Type.i32)
  const host = code.local(Type.i32)
  const exit = code.local(Type.i32)
  const again = code.loop()
  const unknown = code.block()
  code.get(HART)
  code.get(HART)
  code.mem(Mem.i64Load, Cell.pc * 8)
  code.tee(pc)
  code.op(Op.i32WrapI64)
  code.i32(8)
  code.op(Op.i32ShrU)
  code.i32(ROW_MASK)
  code.op(Op.i32And)
  code.op(Op.i32Add)
  code.tee(row)
  code.mem(Mem.i64Load, FAST_EXECUTE + ROW_TAG)
  code.get(pc)
  code.i64(PAGE_MASK)
  code.op(Op.i64And)
  code.get(HART)
  code.mem(Mem.i64Load, Word.contextExecute)
  code.op(Op.i64Or)
  code.op(Op.i64Ne)
  code.brIf(unknown)
  code.get(row)
  code.mem(Mem.i32Load, FAST_EXECUTE + ROW_ADDEND)
  code.get(pc)
  code.op(Op.i32WrapI64)
  code.op(Op.i32Add)
  code.tee(host)
  code.i32(1)
  code.op(Op.i32ShrU)
  code.i32(MAP_ROWS - 1)
  code.op(Op.i32And)
  code.i32(MAP_ROW_SHIFT)
  code.op(Op.i32Shl)
  code.tee(row)
  code.mem(Mem.i32Load, map + MAP_HOST)
  code.get(host)
  code.op(Op.i32Ne)
  code.brIf(unknown)
  code.get(HART)
  code.get(BUDGET)
  code.get(row)
  code.mem(Mem.i32Load, map + MAP_TARGET)
  code.tee(row)
  code.i32((1 << SLOT_SHIFT) - 1)
  code.op(Op.i32And)
  code.get(pc)
  code.get(row)
  code.i32(SLOT_SHIFT)
  code.op(Op.i32ShrU)
  code.callIndirect(unitType)
  code.tee(exit)
  code.i32(ExitCode.NEXT)
  code.op(Op.i32Eq)
  code.if()
  code.get(HART)
  code.mem(Mem.i32Load, Word.budget)
  code.set(BUDGET)
  code.br(again)
  code.end()
  code.get(exit)
  code.return()
  code.end()
  code.get(HART)
  code.get(BUDGET)
  code.mem(Mem.i32Store, Word.budget)
  code.i32(ExitCode.UNKNOWN)
  code.return()
  code.end()
  code.op(Op.unreachable)
  m.end(code)
  return m.finish()
}
