/** The engines by name, as a machine's options choose them. */
import { Interpreter } from '../src/guest/index.ts'
import type { MachineOptions } from '../src/guest/index.ts'

export const ENGINES = ['reference'] as const

/** @throws Error for a name that is none */
export function engineNamed(name: string): Pick<MachineOptions, 'engine' | 'translator'> {
  if (name === 'translator') return { translator: {} }
  if (name === 'reference') return { engine: (hart) => new Interpreter(hart) }
  throw new Error(`no engine is called ${name}`)
}
