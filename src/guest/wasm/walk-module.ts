/**
 * A TLB miss resolved by generated code: walks the tables that stand in the same memory, writes the TLB's entries, makes the
 * row of the fast TLB (struct kvm_mmu and the walker of the hardware in one; `PageTableWalker`, `Vcpu.translate`).
 *
 * ```
 *  refill(area, address, access)
 *    a TLB entry?  -> row
 *    descend the first table; two-dimensional: each of its PTEs, and what it arrives at, through frameOf
 *    frameOf: a TLB entry for the frame, or else descend the second table and write one
 *    write the entry -> row
 *    anything unusual -> fill, in JavaScript, which begins from the start
 * ```
 *
 * R1 What is written is what JavaScript would have written at that point, in that order: beginning again finds it, and comes
 *    to the same end. So any step may give up at any time.
 * R2 Walks that fault, that would have to set A or D, or that meet reserved bits are given up; so are entries that
 *    would push out others, and rows that permit stores where somebody wants to know of them.
 * R3 Entries are logged; `HartArea.settle` counts them before any JavaScript looks at the TLB.
 */
import type { Code } from './code.ts'
import { ModuleBuilder } from './emit.ts'
import { Type } from './opcodes.ts'
import type { WalkFunctions, WalkPlaces } from './walk-abi.ts'
import { Descent } from './walk-descent.ts'
import { insertBody, lookupBody } from './walk-entries.ts'
import { Refill } from './walk-refill.ts'
import { frameOfBody } from './walk-second-stage.ts'

/** The bytes of the module: imports `memory` and `fill(page, access)`, exports `refill(area, address, access)`. */
export function walkModule(places: WalkPlaces): Uint8Array {
  const m = new ModuleBuilder()
  const { i32, i64, f64 } = Type
  const fill = m.importFunction('umbra', 'fill', m.type([f64, i32], [i32]))
  m.importMemory('umbra', 'memory')
  const lookup = m.function(m.type([i32, i64, i32, i32, i32], [i32]))
  const insert = m.function(m.type([i32, i64, i32, i32, i32, i32, i64, i32], [i32]))
  const frameOf = m.function(m.type([i32, i64, i32], [i32]))
  const descend = m.function(m.type([i32, i64, i32, i64, i32, i32], [i64]))
  m.function(m.type([i32, i64, i32], [i32]), 'refill')
  const functions: WalkFunctions = { fill, lookup, insert, frameOf, descend }
  const write = (parameters: number, body: (code: Code) => void): void => {
    const code = m.begin(parameters)
    body(code)
    m.end(code)
  }
  write(5, lookupBody)
  write(8, insertBody)
  write(3, (code) => frameOfBody(code, functions))
  write(6, (code) => new Descent(code, functions, places).write())
  write(3, (code) => new Refill(code, functions, places).write())
  return m.finish()
}
