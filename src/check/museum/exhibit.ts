/**
 * An exhibit: a bug that a real kernel had, standing beside the code that does not have it.
 *
 * R1 The mutant is a subclass or a client of its own; production code knows nothing of it.
 * R2 With the bug the named invariant breaks within `schedules` schedules; without it no schedule within `cleanWithin`
 *    preemptions breaks any.
 */
import type { Invariant } from '../../base/index.ts'
import type { Scenario } from '../scenario.ts'
import type { WorldParts } from '../world.ts'

export const FAMILIES = ['lifetime', 'retry', 'order', 'flush', 'tables', 'bookkeeping', 'context'] as const
/** A room of docs/museum.md. */
export type Family = (typeof FAMILIES)[number]

export interface Fix {
  readonly commit: string
  readonly subject: string
  /** First release with it. */
  readonly version: string
}

export interface Exhibit {
  readonly name: string
  /** Its place in the collection: 1 is the subject of the whole. Relatives share a rank. */
  readonly rank: number
  readonly family: Family
  /** The commit that repaired it, or that it is known by; null for a relative that no kernel is known to have had. */
  readonly fix: Fix | null
  readonly story: readonly string[]
  /** Linux's lines, side by side. */
  readonly correct: readonly string[]
  readonly historical: readonly string[]
  /** The invariant that must break. */
  readonly breaks: Invariant
  /** Schedules of PCT with depth 3 within which it does, whatever the seed. */
  readonly schedules: number
  /** A shortest schedule is at most as long: preemptions, and steps (events) until the invariant breaks. */
  readonly shortest: { readonly preemptions: number; readonly steps: number }
  /** Preemptions within which every schedule without the bug is run. Default 2. */
  readonly cleanWithin?: number
  /** The next exhibit of a chain: the bug that this one's repair led to. */
  readonly leadsTo?: string
  readonly scenario: Scenario
  /** What has the bug: parts of the world, or the scenario with a client that has it. */
  readonly bug: WorldParts | Scenario
}

/** The scenario of an exhibit as its bug would have it. */
export function withBug({ bug, scenario }: Exhibit): Scenario {
  if ('run' in bug) return bug
  return {
    ...scenario,
    run: (policy, options) => scenario.run(policy, { ...options, parts: bug }),
    start: (policy) => scenario.start(policy, { parts: bug }),
  }
}
