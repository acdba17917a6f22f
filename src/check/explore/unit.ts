/**
 * A unit of work: one scenario, one policy, a range of schedules. A search is made of units, on one core or on many.
 *
 * R1 A unit's result is a function of the unit and the configuration: it can be run again, anywhere, in any order.
 * R2 A result is plain data, so that it can be sent to another thread and kept in a file.
 * R3 Units of one scenario are in order. What follows the first one that found something is not needed.
 */
import { decodeSchedule, replay } from '../../sched/index.ts'
import { Coverage } from '../coverage/index.ts'
import type { CoverageData } from '../coverage/index.ts'
import { findingOf, runClosely } from '../scenario.ts'
import type { Run, Scenario } from '../scenario.ts'
import { searchBounded } from './bounded-search.ts'
import { hunt } from './hunt.ts'
import type { SearchOptions } from './hunt.ts'
import { prove } from './prove.ts'
import type { ProveResult } from './prove.ts'
import { shrink } from './shrink.ts'
import type { Counterexample } from './shrink.ts'
import { boundedVerdict, provedVerdict, statesVerdict } from './verdict.ts'

/** Ways to search: the first three in the order in which `all` uses them, and the one that needs a lowered build. */
export const SEARCH_POLICIES = ['pct', 'random', 'bounded', 'prove'] as const
export type SearchPolicy = (typeof SEARCH_POLICIES)[number]

/** What a search is asked for. Two results can be put together only if they are of the same configuration. */
export interface SearchConfig {
  readonly policy: SearchPolicy | 'all'
  readonly seed: number
  /** Depth of pct; 0 takes 2, 3 and 4 in turn. */
  readonly depth: number
  /** Runs a scenario and policy, at most; Infinity: as many as a bound takes. */
  readonly schedules: number
  /** Bound of the search over preemptions. */
  readonly preemptions: number
  /** Measure what the runs reach. */
  readonly coverage: boolean
  /** States that a proof may take. Beyond, preemptions are bounded, and each bound may take as many. */
  readonly states: number
}

export interface Unit {
  /** Names it within a configuration. */
  readonly id: string
  readonly scenario: string
  readonly policy: SearchPolicy
  /** Number of its first schedule. */
  readonly first: number
  /** Schedules, at most. */
  readonly count: number
}

/** A violation, or a failure (`invariant` null), by its shrunk schedule. */
export interface Finding extends Omit<Counterexample, 'run'> {
  readonly invariant: string | null
  readonly what: string
  /** `u1:...` */
  readonly schedule: string
}

export interface UnitResult {
  /** Id of the unit. */
  readonly unit: string
  readonly schedules: number
  /** States that were visited; 0 for a search that makes runs. */
  readonly states: number
  /** False: it was stopped before its end. */
  readonly complete: boolean
  readonly finding: Finding | null
  /** What a search that is one unit says about itself; null: its schedules count as those of a hunt. */
  readonly words: string | null
  /** What its runs reached, if that was asked for. */
  readonly coverage: CoverageData | null
}

/** Schedules in a unit of a hunt: 50 to 200 ms of work. */
export const UNIT_SCHEDULES = 50

/** The units of one scenario, in order. */
export function planUnits(scenario: string, config: SearchConfig): Unit[] {
  const units: Unit[] = []
  const add = (policy: SearchPolicy, first: number, count: number): void => {
    units.push({ id: `${scenario} ${policy} ${first}`, scenario, policy, first, count })
  }
  const { policy, schedules } = config
  // What few ordered events can break is found before a proof has begun.
  if (policy === 'prove') add('pct', 0, Math.min(UNIT_SCHEDULES, schedules))
  for (const kind of ['pct', 'random'] as const) {
    if (policy !== 'all' && policy !== kind) continue
    const share = policy === 'all' ? Math.ceil(schedules / (kind === 'pct' ? 2 : 4)) : schedules
    for (let first = 0; first < share; first += UNIT_SCHEDULES)
      add(kind, first, Math.min(UNIT_SCHEDULES, share - first))
  }
  // One tree, walked in one order: not split.
  if (policy === 'all' || policy === 'bounded') add('bounded', 0, schedules)
  if (policy === 'prove') add('prove', 0, schedules)
  return units
}

/** What a search in one unit came to, before it is shrunk. */
interface Searched {
  readonly schedules: number
  readonly states?: number
  readonly found: Run | null
  readonly complete: boolean
  readonly words: string | null
  /** What was found is seen only when the world is judged at every decision. */
  readonly closely?: boolean
}

type Search = (scenario: Scenario, unit: Unit, config: SearchConfig, options: SearchOptions) => Promise<Searched>

async function huntUnit(
  scenario: Scenario,
  unit: Unit,
  config: SearchConfig,
  options: SearchOptions,
): Promise<Searched> {
  const { first, count } = unit
  const policy = unit.policy === 'random' ? 'random' : 'pct'
  const { seed, depth } = config
  const { schedules, found } = await hunt(scenario, { ...options, policy, seed, depth, first, schedules: count })
  return { schedules, found, complete: found !== null || schedules >= count, words: null }
}

async function boundedUnit(
  scenario: Scenario,
  { count }: Unit,
  { policy, preemptions }: SearchConfig,
  options: SearchOptions,
): Promise<Searched> {
  const result = await searchBounded(scenario, { ...options, preemptions, schedules: count })
  const { schedules, found } = result
  const words = result.exhausted >= 0 || policy === 'bounded' ? boundedVerdict(result) : ''
  return { schedules, found, complete: found !== null || result.complete || schedules >= count, words }
}

/** @throws KernelError EINVAL where states cannot be seen, with the reason */
async function proveUnit(
  scenario: Scenario,
  _unit: Unit,
  { states, preemptions }: SearchConfig,
  options: SearchOptions,
): Promise<Searched> {
  let visited = 0
  const searched = async (result: ProveResult, complete: boolean, words: string): Promise<Searched> => {
    if (result.found === null) return { schedules: 0, states: visited, found: null, complete, words }
    return { schedules: 0, states: visited, ...(await rerun(scenario, result.found, options)), complete: true, words }
  }
  const whole = await prove(scenario, { ...options, states })
  visited += whole.states
  if (whole.complete) return searched(whole, true, provedVerdict(whole.states))
  if (whole.found !== null || options.stop?.() === true) return searched(whole, false, statesVerdict(null, visited))
  let words = statesVerdict(null, visited)
  // The widest bound mostly fits, and has all states of the others.
  for (const bound of [preemptions, ...Array(preemptions).keys()]) {
    const within = await prove(scenario, { ...options, states, bound })
    visited += within.states
    if (within.complete) words = statesVerdict(bound, within.states)
    const isWidest = bound === preemptions
    if (within.found !== null || isWidest === within.complete || options.stop?.() === true) {
      return searched(within, options.stop?.() !== true, words)
    }
  }
  return searched(whole, true, words)
}

/** A run of the schedule that a search over states has found: it must break something, at the latest when looked at as closely. */
async function rerun(
  scenario: Scenario,
  found: NonNullable<ProveResult['found']>,
  { parts = {} }: SearchOptions,
): Promise<Pick<Searched, 'found' | 'closely'>> {
  const schedule = decodeSchedule(found.schedule)
  const run = await scenario.run(replay(schedule), { parts })
  if (findingOf(run) !== null) return { found: run }
  const closer = await scenario.run(replay(schedule), { parts, closely: true })
  if (findingOf(closer) !== null) return { found: closer, closely: true }
  const what = found.failure instanceof Error ? found.failure.message : String(found.failure)
  return { found: { ...run, failure: new Error(`only the search over states sees it: ${what}`) } }
}

const SEARCHES: Readonly<Record<SearchPolicy, Search>> = {
  pct: huntUnit,
  random: huntUnit,
  bounded: boundedUnit,
  prove: proveUnit,
}

/** Runs one unit; shrinks what it finds. @throws KernelError EINVAL for a proof where states cannot be seen */
export async function runUnit(
  target: Scenario,
  unit: Unit,
  config: SearchConfig,
  options: SearchOptions = {},
): Promise<UnitResult> {
  const watched = config.coverage ? new Coverage() : null
  const scenario = watched?.watch(target) ?? target
  const search = SEARCHES[unit.policy]
  const {
    found,
    schedules,
    complete,
    words,
    closely = false,
    states = 0,
  } = await search(scenario, unit, config, options)
  const coverage = watched?.data() ?? null
  if (found === null) return { unit: unit.id, schedules, states, complete, finding: null, words, coverage }
  const { parts, stop } = options
  const { run, ...measured } = await shrink(target, found, {
    ...(parts === undefined ? {} : { parts }),
    ...(stop === undefined ? {} : { stop }),
    closely,
  })
  const { schedule } = run
  // As a replay will see it.
  const { violation, failure } = closely
    ? await runClosely(target, () => replay(decodeSchedule(schedule)), { parts: parts ?? {} })
    : run
  const what = violation?.what ?? failure?.message ?? ''
  const finding = { invariant: violation?.invariant ?? null, what, schedule, ...measured }
  return { unit: unit.id, schedules, states, complete, finding, words, coverage }
}
