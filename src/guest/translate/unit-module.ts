/**
 * The module of a batch: the functions of its units, named `0`, `1`, ..., and the helpers that they call.
 *
 * R1 Helpers are in a module only if a unit of it calls them.
 */
import type { Code } from '../wasm/code.ts'
import type { ModuleBuilder } from '../wasm/emit.ts'
import { addToOddBody, fmaBody } from '../wasm/float-functions.ts'
import { NOTE_PARAMETERS } from '../wasm/observation.ts'
import { Type } from '../wasm/opcodes.ts'
import { UNIT_PARAMETERS } from './unit-abi.ts'
import { needsFloatFunctions } from './unit-floats.ts'
import { UnitWriter } from './unit-writer.ts'
import type { Unit } from './unit.ts'

/**
 * The bytes of the module: imports `u.memory` and, if every access is told, `u.note` (observation.ts).
 * @param builder is reset
 */
export function unitModule(builder: ModuleBuilder, units: readonly Unit[], observed: boolean): Uint8Array {
  builder.reset()
  const type = builder.type([Type.i32, Type.i32, Type.i32, Type.i64], [Type.i32])
  const note = observed ? builder.importFunction('u', 'note', builder.type(NOTE_PARAMETERS, [])) : null
  builder.importMemory('u', 'memory')
  for (const index of units.keys()) builder.function(type, String(index))
  const { f64 } = Type
  const fused = units.some(needsFloatFunctions)
  const fma = fused ? builder.function(builder.type([f64, f64, f64], [f64])) : -1
  const addToOdd = fused ? builder.function(builder.type([f64, f64], [f64])) : -1
  const write = (parameters: number, body: (code: Code) => void): void => {
    const code = builder.begin(parameters)
    body(code)
    builder.end(code)
  }
  for (const unit of units) {
    write(UNIT_PARAMETERS, (code) => new UnitWriter(code, unit, { fma, addToOdd }, note).write())
  }
  if (fused) {
    write(3, fmaBody)
    write(2, addToOddBody)
  }
  return builder.finish()
}
