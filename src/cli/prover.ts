/**
 * Runs units of a search: proofs on the lowered build of the same scenario, everything else on the native one.
 *
 * R1 The lowered build is loaded when the first proof asks for it.
 * R2 What cannot be lowered is searched natively, and its verdict says why nothing is proved.
 */
import { runUnit } from '../check/index.ts'
import type { Scenario, SearchConfig, SearchOptions, Unit, UnitResult } from '../check/index.ts'
import { importLowered, registerLowering } from './lower-hook.ts'

type Checks = typeof import('../check/index.ts')
type Names = typeof import('./scenario-names.ts')

interface LoweredBuild {
  readonly checks: Checks
  readonly names: Names
}

const lowered = <T>(path: string): Promise<T> => importLowered(new URL(path, import.meta.url).href) as Promise<T>

async function load(): Promise<LoweredBuild> {
  registerLowering()
  return {
    checks: await lowered<Checks>('../check/index.js'),
    names: await lowered<Names>('./scenario-names.js'),
  }
}

/** The lowered build of this thread, once a proof has asked for it. */
class Loaded {
  build: Promise<LoweredBuild> | null = null
}

const loaded = new Loaded()

/** Runs a unit where it belongs. */
export async function runUnitOn(
  scenario: Scenario,
  unit: Unit,
  config: SearchConfig,
  options: SearchOptions,
): Promise<UnitResult> {
  if (unit.policy !== 'prove') return runUnit(scenario, unit, config, options)
  try {
    const { names, checks } = await (loaded.build ??= load())
    return await checks.runUnit(await names.scenarioNamed(unit.scenario), unit, config, options)
  } catch (error) {
    if (error instanceof Error && !isUnprovable(error)) throw error
    const why = error instanceof Error ? error.message : String(error)
    const result = await runUnit(scenario, { ...unit, policy: 'bounded' }, { ...config, policy: 'bounded' }, options)
    return { ...result, words: `${result.words ?? ''}, not proved: ${why}` }
  }
}

/** What cannot be lowered, loaded in that form, or captured. The classes are those of the other build. */
export const isUnprovable = ({ name, message }: Error): boolean =>
  name === 'LowerError' || name === 'UsageError' || name === 'KernelError' || /cannot be lowered/.test(message)
