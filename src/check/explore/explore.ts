/**
 * Checks one scenario: hunts, then searches bounds, and makes what it finds short.
 */
import type { Scenario } from '../scenario.ts'
import type { Run } from '../scenario.ts'
import { searchBounded } from './bounded-search.ts'
import { hunt } from './hunt.ts'
import type { HuntOptions } from './hunt.ts'
import { shrink } from './shrink.ts'
import type { Counterexample } from './shrink.ts'
import { boundedVerdict, huntVerdict } from './verdict.ts'

export interface ExploreOptions extends Omit<HuntOptions, 'policy'> {
  /** `all`: pct, random, then bounded. Default. */
  readonly policy?: 'pct' | 'random' | 'bounded' | 'all'
  /** Bound of the search over preemptions. Default 1. */
  readonly preemptions?: number
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
  const most = options.schedules ?? 300
  const words: string[] = []
  let schedules = 0
  let hunted = 0
  let found: Run | null = null
  let stopped = false
  const onRun = (base: number) => (count: number) => options.onRun?.(base + count)
  for (const kind of ['pct', 'random'] as const) {
    if (found !== null || (policy !== 'all' && policy !== kind)) continue
    const share = policy === 'all' ? Math.ceil(most / (kind === 'pct' ? 2 : 4)) : most
    const result = await hunt(scenario, { ...options, policy: kind, schedules: share, onRun: onRun(schedules) })
    schedules += result.schedules
    hunted += result.schedules
    found = result.found
    stopped ||= found === null && result.schedules < share
  }
  if (found === null && (policy === 'all' || policy === 'bounded')) {
    const share = options.schedules ?? (policy === 'all' ? most : undefined)
    const result = await searchBounded(scenario, {
      ...options,
      preemptions: options.preemptions ?? 1,
      ...(share === undefined ? { schedules: Infinity } : { schedules: share }),
      onRun: onRun(schedules),
    })
    schedules += result.schedules
    found = result.found
    stopped ||= found === null && !result.complete && (share === undefined || result.schedules < share)
    if (found === null && (result.exhausted >= 0 || policy === 'bounded')) words.push(boundedVerdict(result))
  }
  if (hunted > 0) words.push(huntVerdict({ schedules: hunted, found: null, complete: false }))
  if (found === null) {
    return { scenario: scenario.name, verdict: words.join('; '), schedules, stopped, counterexample: null }
  }
  const counterexample = await shrink(scenario, found, {
    ...(options.parts === undefined ? {} : { parts: options.parts }),
    ...(options.stop === undefined ? {} : { stop: options.stop }),
  })
  const { violation, failure } = counterexample.run
  const verdict =
    violation === null
      ? `failed: ${failure?.message}`
      : `${violation.invariant} violated after ${schedules} schedule${schedules === 1 ? '' : 's'}`
  return { scenario: scenario.name, verdict, schedules, stopped, counterexample }
}
