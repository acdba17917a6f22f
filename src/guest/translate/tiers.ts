/**
 * The loop between the two tiers of a hart: `run(hart, expansions, budget)` goes through units as far as they lead, then
 * interprets until it comes to a unit again. Harts change tiers at every call between hot and cold code, so the loop is
 * WebAssembly as both of them are.
 *
 * R1 Answers what the interpreter answers; `FOUND_UNIT` only if the two tiers hand the same place to each other, which they
 *    do if the code map and the dispatcher disagree.
 * R2 Where a unit stops before an instruction, that instruction is interpreted before any unit is looked for: both may be
 *    at the entry of a unit.
 * R3 Only a jump makes a place hot: a run may begin anywhere.
 */
import { Cell } from '../hart/index.ts'
import { ModuleBuilder } from '../wasm/emit.ts'
import { FETCH_FRAME, FETCH_PAGE } from '../wasm/interpreter-emitter.ts'
import { ENGINE_WORDS, Word } from '../wasm/layout.ts'
import { FOUND_UNIT, NOT_BEFORE } from '../wasm/unit-hooks.ts'
import { Mem, Op, Type } from '../wasm/opcodes.ts'
import { ExitCode } from './unit-abi.ts'

const HART = 0
const EXPANSIONS = 1
const LEFT = 2
/** As `NOT_BEFORE`: units are looked for from the first place on. */
const ANYWHERE = -1
/** Changes of tiers in a row that execute nothing. */
const STUCK = 3
/** Word: budget with which the interpreter began last. */
export const INTERPRETED: number = ENGINE_WORDS + 32

/** The module's bytes: imports `t.memory`, `t.enter` (dispatcher.ts), `t.interpret` (interpreter-module.ts), exports `run`. */
export function tiersModule(): Uint8Array {
  const m = new ModuleBuilder()
  const enter = m.importFunction('t', 'enter', m.type([Type.i32, Type.i32], [Type.i32]))
  const runType = m.type([Type.i32, Type.i32, Type.i32], [Type.i32])
  const interpret = m.importFunction('t', 'interpret', runType)
  m.importMemory('t', 'memory')
  m.function(runType, 'run')
  const code = m.begin(3)
  const exit = code.local(Type.i32)
  const before = code.local(Type.i32)
  const stuck = code.local(Type.i32)
  const again = code.loop()
  code.get(HART)
  code.get(LEFT)
  code.tee(before)
  code.call(enter)
  code.set(exit)
  code.get(HART)
  code.get(HART)
  code.mem(Mem.f64Load, Cell.instret * 8)
  code.get(before)
  code.get(HART)
  code.mem(Mem.i32Load, Word.budget)
  code.tee(LEFT)
  code.op(Op.i32Sub)
  code.op(Op.f64ConvertI32U)
  code.op(Op.f64Add)
  code.mem(Mem.f64Store, Cell.instret * 8)
  code.get(LEFT)
  code.op(Op.i32Eqz)
  code.if()
  code.i32(0)
  code.return()
  code.end()
  code.get(HART)
  code.get(LEFT)
  code.mem(Mem.i32Store, INTERPRETED)
  // The fetch page is looked up anew.
  code.get(HART)
  code.i64(-1)
  code.mem(Mem.i64Store, FETCH_PAGE)
  code.get(HART)
  code.i32(-1)
  code.mem(Mem.i32Store, FETCH_FRAME)
  code.get(HART)
  code.i32(ANYWHERE)
  code.get(LEFT)
  code.get(exit)
  code.i32(ExitCode.UNKNOWN)
  code.op(Op.i32Eq)
  code.get(LEFT)
  code.get(before)
  code.op(Op.i32Ne)
  code.op(Op.i32And)
  code.op(Op.select)
  code.mem(Mem.i32Store, NOT_BEFORE)
  code.get(HART)
  code.get(EXPANSIONS)
  code.get(LEFT)
  code.call(interpret)
  code.tee(exit)
  code.i32(FOUND_UNIT)
  code.op(Op.i32Eq)
  code.if()
  // A page that the dispatcher did not know may bring it back to the same place, but once only.
  code.get(stuck)
  code.i32(1)
  code.op(Op.i32Add)
  code.i32(0)
  code.get(LEFT)
  code.get(HART)
  code.mem(Mem.i32Load, Word.budget)
  code.tee(LEFT)
  code.op(Op.i32Eq)
  code.op(Op.select)
  code.tee(stuck)
  code.i32(STUCK)
  code.op(Op.i32LtU)
  code.if()
  code.get(LEFT)
  code.brIf(again)
  code.i32(0)
  code.set(exit)
  code.end()
  code.end()
  code.get(exit)
  code.return()
  code.end()
  code.op(Op.unreachable)
  m.end(code)
  return m.finish()
}
