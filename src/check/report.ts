/**
 * What a run has shown, as plain data: the outcome of each guest, the figures, the audit, and the verdict.
 */
import type { Invariant } from '../base/index.ts'
import type { FigureCollector } from './figure-collector.ts'
import type { Tally } from './figures.ts'
import type { AuditLevel } from './auditor.ts'
import type { Violation } from './violation.ts'

/**
 * How a guest ended.
 * - `finished` it powered off and reported success
 * - `failed` it powered off and reported a failure: the example guests check their own memory
 * - `crashed` it can not go on: it runs nowhere, or does what no machine allows
 * - `budget` its instructions ran out
 * - `memory` the host had no frame and no swap left for it
 * - `stopped` the run ended before it did
 */
export type Outcome = 'finished' | 'failed' | 'crashed' | 'budget' | 'memory' | 'stopped'

export interface GuestReport {
  readonly name: string
  readonly paging: string
  readonly harts: number
  /** Bytes of guest memory. */
  readonly memory: number
  readonly mm: number
  readonly instructions: number
  readonly outcome: Outcome
  /** One line on how it ended. */
  readonly detail: string
}

export interface AuditReport {
  readonly level: AuditLevel
  readonly checks: readonly (readonly [Invariant, number])[]
  readonly violations: readonly Violation[]
}

export interface StormReport {
  readonly kind: string
  readonly operations: number
  /** Operations that the host refused, for want of memory. */
  readonly refused: number
}

export interface RunReport {
  readonly seed: number
  readonly frames: number
  readonly swapPages: number
  /** Virtual nanoseconds. */
  readonly time: number
  readonly guests: readonly GuestReport[]
  readonly storms: readonly StormReport[]
  readonly figures: FigureCollector
  readonly audit: AuditReport
  /** The run as one line, `u1:...`. */
  readonly schedule: string
  /** What stopped the run, other than a violation; null when it came to its end. */
  readonly failure: unknown
}

/** How far one guest is. */
export interface GuestProgress {
  readonly name: string
  readonly state: string
  readonly instructions: number
  readonly faults: number
  readonly zaps: number
}

/** How far a whole run is. */
export interface RunProgress {
  /** Virtual nanoseconds. */
  readonly now: number
  readonly guests: readonly GuestProgress[]
  readonly framesFree: number
  readonly frames: number
  readonly swapUsed: number
  readonly storms: number
  readonly checks: number
  readonly violations: number
}

export type Verdict = 'consistent' | 'violation' | 'crashed' | 'budget' | 'internal'

/** What the run amounts to; the worst of its parts counts. */
export function verdictOf(report: RunReport): Verdict {
  if (report.audit.violations.length > 0) return 'violation'
  if (report.failure !== null) return 'internal'
  const outcomes = new Set(report.guests.map(({ outcome }) => outcome))
  if (outcomes.has('failed')) return 'violation'
  if (outcomes.has('crashed')) return 'crashed'
  if (outcomes.has('budget') || outcomes.has('memory') || outcomes.has('stopped')) return 'budget'
  return 'consistent'
}

/** All checks of all invariants. */
export const checksMade = (audit: AuditReport): number => audit.checks.reduce((sum, [, times]) => sum + times, 0)

/** Names of a tally with their counts, largest first. */
export const ranked = (tally: Tally): (readonly [string, number])[] =>
  Object.entries(tally).toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
