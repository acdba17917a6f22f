/**
 * From the results of units to a verdict: the same one, whoever ran them and in whatever order they came.
 *
 * R1 What counts is what precedes and includes the first unit that found something. What ran beyond it is not counted.
 * R2 A unit that is needed and has no complete result is named, never passed over.
 */
import type { CoverageData } from '../coverage/index.ts'
import type { Finding, Unit, UnitResult } from './unit.ts'
import { counted, huntVerdict, isProof } from './verdict.ts'

/** What the units of one scenario came to. */
export interface Conclusion {
  /** The exact words. */
  readonly verdict: string
  readonly schedules: number
  readonly states: number
  /** The first thing found, or null. */
  readonly finding: Finding | null
  /** Units that are needed and were not run, or not to their end. */
  readonly missing: readonly Unit[]
  /** What the runs that count have reached, unit by unit. */
  readonly coverage: readonly CoverageData[]
}

/** Results by the id of their unit. */
export type UnitResults = ReadonlyMap<string, UnitResult>

/** Is a unit without use, because an earlier one of its scenario has found something? */
export function isNeedless(unit: Unit, units: readonly Unit[], results: UnitResults): boolean {
  for (const { id } of units) {
    if (id === unit.id) return false
    if ((results.get(id)?.finding ?? null) !== null) return true
  }
  return false
}

/** @param units of one scenario, in order */
export function conclude(units: readonly Unit[], results: UnitResults): Conclusion {
  const words: string[] = []
  const missing: Unit[] = []
  const coverage: CoverageData[] = []
  let schedules = 0
  let states = 0
  let hunted = 0
  let finding: Finding | null = null
  for (const unit of units) {
    const result = results.get(unit.id)
    if (result?.complete !== true) missing.push(unit)
    if (result === undefined) continue
    schedules += result.schedules
    if (result.coverage !== null) coverage.push(result.coverage)
    states += result.states
    if (result.words === null) hunted += result.schedules
    else if (result.words !== '') words.push(result.words)
    finding = result.finding
    if (finding !== null) break
  }
  if (finding !== null) {
    return { verdict: findingVerdict(finding, schedules, states), schedules, states, finding, missing, coverage }
  }
  if (hunted > 0 && !words.some(isProof)) words.push(huntVerdict({ schedules: hunted, found: null, complete: false }))
  return { verdict: words.join('; ') || 'no schedule was run', schedules, states, finding, missing, coverage }
}

function findingVerdict({ invariant, what }: Finding, schedules: number, states: number): string {
  if (invariant === null) return `failed: ${what}`
  const after = [counted(schedules, 'schedule'), ...(states > 0 ? [counted(states, 'state')] : [])]
  return `${invariant} violated after ${after.join(' and ')}`
}
