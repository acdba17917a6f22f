/**
 * Checks one scenario: hunts, then searches bounds, and makes what it finds short.
 */
import { decodeSchedule, replay } from '../../sched/index.ts'
import { runClosely } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { conclude } from './conclude.ts'
import type { HuntOptions } from './hunt.ts'
import type { Counterexample } from './shrink.ts'
import { planUnits, runUnit } from './unit.ts'
import type { Finding, SearchConfig, UnitResult } from './unit.ts'

export interface ExploreOptions extends Omit<HuntOptions, 'policy' | 'first'> {
  /** `all`: pct, random, then bounded. Default. */
  readonly policy?: SearchConfig['policy']
  /** Bound of the search over preemptions. Default 1. */
  readonly preemptions?: number
  /** States that a proof may take, in a lowered build. Default 1,000,000. */
  readonly states?: number
}

export interface ExploreReport {
  readonly scenario: string
  /** The exact words. */
  readonly verdict: string
  /** Runs made to look for a violation. */
  readonly schedules: number
  /** The search was stopped before it had run what it was asked to. */
  readonly stopped: boolean
  readonly counterexample: Counterexample | null
}

/** Explores one scenario as far as the options go. */
export async function explore(scenario: Scenario, options: ExploreOptions = {}): Promise<ExploreReport> {
  const policy = options.policy ?? 'all'
  const {
    seed = 1,
    depth = 0,
    preemptions = 1,
    states = 1_000_000,
    schedules = policy === 'bounded' ? Infinity : 300,
  } = options
  const config = { policy, seed, depth, schedules, preemptions, states, coverage: false }
  const units = planUnits(scenario.name, config)
  const results = new Map<string, UnitResult>()
  let base = 0
  for (const unit of units) {
    if (options.stop?.() === true) break
    const onRun = (count: number): void => options.onRun?.(base + count)
    const result = await runUnit(scenario, unit, config, { ...options, onRun })
    results.set(unit.id, result)
    base += result.schedules
    if (result.finding !== null) break
  }
  const { verdict, schedules: made, finding, missing } = conclude(units, results)
  return {
    scenario: scenario.name,
    verdict,
    schedules: made,
    stopped: finding === null && missing.length > 0,
    counterexample: finding === null ? null : await counterexampleOf(scenario, finding, options),
  }
}

async function counterexampleOf(
  scenario: Scenario,
  finding: Finding,
  { parts = {} }: ExploreOptions,
): Promise<Counterexample> {
  const { invariant: _, what: __, schedule, ...measured } = finding
  return { run: await runClosely(scenario, () => replay(decodeSchedule(schedule)), { parts }), ...measured }
}
