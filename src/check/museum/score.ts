/**
 * The mutation score: how many of the generated bugs the auditor kills.
 *
 * R1 A hunt is PCT of depth 3, as an exhibit's, and then the schedules within two preemptions, bound by bound.
 */
import { searchBounded } from '../explore/index.ts'
import { withParts } from './exhibit.ts'
import { huntAny } from './trial.ts'
import { mutants } from './families.ts'
import type { Mutant } from './families.ts'

/** Schedules that a search bound by bound runs at most. */
const SEARCHED = 1000

export interface Fate {
  readonly mutant: Mutant
  /** The invariant that broke; null when it survived. */
  readonly killedBy: string | null
  /** Schedules that it took, or that were tried. */
  readonly schedules: number
}

export interface ScoreOptions {
  /** Schedules of PCT for each mutant at most, before a search bound by bound; for one called equivalent, a tenth. Default 600. */
  readonly most?: number
  /** Which mutants. Default all. */
  readonly only?: (mutant: Mutant) => boolean
  readonly onFate?: (fate: Fate) => void
}

export interface Score {
  readonly fates: readonly Fate[]
  readonly killed: number
  /** Mutants that can break something. */
  readonly total: number
  /** Those that are not called equivalent, and were not killed. */
  readonly survivors: readonly Fate[]
  /** Those that are called equivalent, and were killed all the same: their reasons are wrong. */
  readonly refuted: readonly Fate[]
}

/** Runs the mutants. */
export async function mutationScore(options: ScoreOptions = {}): Promise<Score> {
  const most = options.most ?? 600
  const fates: Fate[] = []
  for (const mutant of mutants()) {
    if (options.only?.(mutant) === false) continue
    const { scenario, mutation } = mutant
    const mutated = withParts(scenario, mutation.parts)
    const hunted = mutant.equivalent === null ? most : Math.ceil(most / 10)
    let { run, schedules } = await huntAny(mutated, { most: hunted })
    if (run === null) {
      const search = await searchBounded(mutated, {
        preemptions: mutant.equivalent === null ? 2 : 1,
        schedules: SEARCHED,
      })
      run = search.found
      schedules += search.schedules
    }
    const fate = { mutant, killedBy: run?.violation?.invariant ?? null, schedules }
    fates.push(fate)
    options.onFate?.(fate)
  }
  return {
    fates,
    killed: fates.filter(({ mutant, killedBy }) => killedBy !== null && mutant.equivalent === null).length,
    total: fates.filter(({ mutant }) => mutant.equivalent === null).length,
    survivors: fates.filter(({ mutant, killedBy }) => killedBy === null && mutant.equivalent === null),
    refuted: fates.filter(({ mutant, killedBy }) => killedBy !== null && mutant.equivalent !== null),
  }
}
