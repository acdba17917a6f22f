/** The engines by name, as a machine's options choose them. */
import { ENGINE_NAMES } from '../src/guest/index.ts'
import type { EngineName } from '../src/guest/index.ts'

export const ENGINES: readonly EngineName[] = ENGINE_NAMES

/** @throws Error for a name that is none */
export function engineNamed(name: string): EngineName {
  const engine = ENGINES.find((known) => known === name)
  if (engine === undefined) throw new Error(`no engine is called ${name}`)
  return engine
}
