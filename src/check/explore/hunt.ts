/**
 * Hunting: many runs of a scenario, each under another seed, until one of them breaks an invariant.
 *
 * R1 The n-th schedule of a hunt depends on the seed and on n alone.
 * R2 Schedule 0 of a hunt with pct takes every default.
 * R3 PCT spreads its changes over the switch points that the tasks have when each of them meets another that could run. A
 *    run with defaults alone would tell little where a task that comes first ends soon. Runs that only tell it are not
 *    counted.
 */
import { bounded, pct, random } from '../../sched/index.ts'
import type { Policy } from '../../sched/index.ts'
import { findingOf } from '../scenario.ts'
import type { Run, RunOptions, Scenario } from '../scenario.ts'
import type { WorldParts } from '../world.ts'

/** What every search takes. */
export interface SearchOptions {
  /** What stands in for production code. */
  readonly parts?: WorldParts
  /** See `RunOptions`. */
  readonly closely?: boolean
  /** Asked before each run: true ends the search. */
  readonly stop?: () => boolean
  /**
   * Called after each run with the number of runs so far.
   * @param left an estimate of the runs still to be made, where it takes one
   */
  readonly onRun?: (schedules: number, left?: () => number) => void
  /** Told now and then how far a search over states is: how many so far, and how many lie on the path to the present one. */
  readonly onStates?: (states: number, depth: number) => void
}

export interface HuntOptions extends SearchOptions {
  /** Default 'pct'. */
  readonly policy?: 'pct' | 'random'
  /** Default 1. */
  readonly seed?: number
  /** Runs at most. Default 1,000. */
  readonly schedules?: number
  /** Number of the first schedule. Default 0. */
  readonly first?: number
  /** Depth of pct; 0 (default) takes 2, 3 and 4 in turn. */
  readonly depth?: number
}

/** What of it each run is told. */
export function runOptionsOf({ parts = {}, closely = false }: SearchOptions): RunOptions {
  return { parts, closely }
}

/** What a search came to. */
export interface SearchResult {
  /** Runs made. */
  readonly schedules: number
  /** The run that broke an invariant or failed, or null. */
  readonly found: Run | null
  /** Every schedule that the search is about was run. Never true of a hunt. */
  readonly complete: boolean
}

function policyOf(options: HuntOptions, index: number, length: number): Policy {
  const seed = (options.seed ?? 1) * 1_000_003 + index
  if (options.policy === 'random') return random(seed, { period: 2 + (index % 4), values: true })
  const depth = options.depth ?? 0
  return pct(seed, depth === 0 ? 2 + (index % 3) : depth, length)
}

/** Switch points of all tasks, roughly: each of them in turn goes first, while the others are ready. */
export async function switchPoints(scenario: Scenario, parts: WorldParts = {}): Promise<number> {
  let points = 0
  for (let first = 0; first < scenario.tasks.length; first++) {
    const policy = bounded([first])
    await scenario.run(policy, { parts })
    points += policy.taken.length
  }
  return points
}

/** Runs the scenario until a run breaks something, the schedules are used up, or `stop` says so. */
export async function hunt(scenario: Scenario, options: HuntOptions = {}): Promise<SearchResult> {
  const { first = 0, parts = {}, schedules: most = 1000 } = options
  const isPct = options.policy !== 'random'
  let schedules = 0
  let length = 0
  while (schedules < most && options.stop?.() !== true) {
    const index = first + schedules
    if (isPct && index > 0 && length === 0) length = await switchPoints(scenario, parts)
    const run = await scenario.run(isPct && index === 0 ? bounded() : policyOf(options, index, length), { parts })
    schedules++
    options.onRun?.(schedules)
    if (findingOf(run) !== null) return { schedules, found: run, complete: false }
  }
  return { schedules, found: null, complete: false }
}
