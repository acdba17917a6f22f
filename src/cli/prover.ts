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

async function load(): Promise<LoweredBuild> {
  registerLowering()
  const lowered = <T>(path: string): Promise<T> => importLowered(new URL(path, import.meta.url).href) as Promise<T>
  return {
    checks: await lowered<Checks>('../check/index.js'),
    names: await lowered<Names>('./scenario-names.js'),
  }
}

/** The lowered build of this thread. */
class Lowered {
  build: Promise<LoweredBuild> | null = null
}

const lowered = new Lowered()

/** Runs a unit where it belongs. */
export async function runUnitOn(
  scenario: Scenario,
  unit: Unit,
  config: SearchConfig,
  options: SearchOptions,
): Promise<UnitResult> {
  if (unit.policy !== 'prove') return runUnit(scenario, unit, config, options)
  let build: LoweredBuild
  let twin: Scenario
  try {
    build = await (lowered.build ??= load())
    twin = await build.names.scenarioNamed(unit.scenario)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const result = await runUnit(scenario, { ...unit, policy: 'bounded' }, { ...config, policy: 'bounded' }, options)
    return { ...result, words: `${result.words ?? ''}, not proved: ${why}` }
  }
  return build.checks.runUnit(twin, unit, config, options)
}
