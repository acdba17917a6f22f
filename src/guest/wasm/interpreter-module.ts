/**
 * The WebAssembly interpreter: a dispatcher (interpreter-run.ts) over the handlers of all rows (interpreter-cases.ts), made
 * when an engine starts.
 *
 * ```
 *  enter:  the page of pc -> its frame (fast TLB, else slow)
 *   next:  leave if the budget is spent; fetch; a 16-bit instruction becomes its 32-bit form; br_table on the opcode bits
 *          handler ... advance | next (branch) | enter (jump to another page) | slow
 *   slow:  registers and pc are in the area: the reference interpreter executes one instruction; enter
 * ```
 *
 * Below a translator, what fetching and decoding come to is kept in records (record-pages.ts) for pages of warm code.
 *
 * R1 Instruction words are read from memory every time, so that stores to code need no attention; records are of frames
 *    that are watched, are looked for at every `enter`, and a store that drops some is never followed by anything else.
 * R2 An instruction that is not executed here is executed by the reference interpreter, with the same fetch page known: what
 *    either of them looks up in the TLBs, and when, is the same as if the reference had executed everything.
 * R3 `frame` is where the page of pc lies, or -1 if no page is known (page is then no page's address).
 */
import type { Code } from './code.ts'
import { ModuleBuilder } from './emit.ts'
import { expandBody } from './expand.ts'
import { addToOddBody, fmaBody, productDiffersBody, sumDiffersBody } from './float-functions.ts'
import { floatBody } from './interpreter-cases.ts'
import { raiseBody } from './interpreter-floats.ts'
import { NOTE_PARAMETERS } from './observation.ts'
import { Op, Type } from './opcodes.ts'
import { runBody } from './interpreter-run.ts'
import type { UnitHooks } from './unit-hooks.ts'

/** Bytes of the table of expanded 16-bit instructions, 4 each. */
export const EXPANSIONS_BYTES: number = 4 * 65536

/** The bytes of the module. @param observed every access is told to the import `note` (observation.ts) */
export function interpreterModule(hooks: UnitHooks | null = null, observed: boolean = false): Uint8Array {
  const m = new ModuleBuilder()
  const refill = m.importFunction('umbra', 'refill', m.type([Type.i32, Type.i64, Type.i32], [Type.i32]))
  const step = m.importFunction('umbra', 'step', m.type([], [Type.i32]))
  const note = observed ? m.importFunction('umbra', 'note', m.type(NOTE_PARAMETERS, [])) : null
  m.importMemory('umbra', 'memory')
  const expand = m.function(m.type([Type.i32], [Type.i32]))
  const miss = m.function(m.type([Type.i32, Type.i64, Type.i32, Type.i32], [Type.i32]))
  const { f64 } = Type
  const fma = m.function(m.type([f64, f64, f64], [f64]))
  const addToOdd = m.function(m.type([f64, f64], [f64]))
  const productDiffers = m.function(m.type([f64, f64, f64], [Type.i32]))
  const sumDiffers = m.function(m.type([f64, f64, f64], [Type.i32]))
  const raise = m.function(m.type([Type.i32, Type.i32], []))
  const float = m.function(m.type([Type.i32, Type.i32, Type.i32], [Type.i32]))
  m.function(m.type([Type.i32, Type.i32, Type.i32], [Type.i32]), 'run')
  const write = (parameters: number, body: (code: Code) => void): void => {
    const code = m.begin(parameters)
    body(code)
    m.end(code)
  }
  write(1, expandBody)
  write(4, (code) => missBody(code, refill))
  write(3, fmaBody)
  write(2, addToOddBody)
  write(3, productDiffersBody)
  write(3, sumDiffersBody)
  write(2, raiseBody)
  const functions = { step, expand, miss, note, fma, addToOdd, productDiffers, sumDiffers, raise, float }
  write(3, (code) => floatBody(code, functions))
  write(3, (code) => runBody(code, functions, hooks))
  return m.finish()
}

/** (area, address, bytes, access) -> i32. */
function missBody(code: Code, refill: number): void {
  const [area, address, size, access] = [0, 1, 2, 3]
  code.get(address)
  code.op(Op.i32WrapI64)
  code.get(size)
  code.i32(1)
  code.op(Op.i32Sub)
  code.op(Op.i32And)
  code.if()
  code.i32(0)
  code.return()
  code.end()
  code.get(area)
  code.get(address)
  code.get(access)
  code.call(refill)
}
