/**
 * What a search allows one to say, in exact words: what was run is counted, and proved is what has no state left.
 */
import type { BoundedResult } from './bounded-search.ts'
import type { SearchResult } from './hunt.ts'

/** `1 state`, `2 states`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`

/** `no violation in n schedules`. */
export const huntVerdict = (result: SearchResult): string => `no violation in ${counted(result.schedules, 'schedule')}`

/** `no violation within k preemptions (N schedules)`; without an exhausted bound, what was run. */
export function boundedVerdict(result: BoundedResult): string {
  if (result.exhausted < 0) return huntVerdict(result)
  return `no violation within ${counted(result.exhausted, 'preemption')} (${counted(result.within, 'schedule')})`
}

/** `proved: all N states`. */
export const provedVerdict = (states: number): string => `proved: all ${counted(states, 'state')}`

/** `no violation within k preemptions (N states)`; without an exhausted bound (null), `no violation in N states`. */
export function statesVerdict(bound: number | null, states: number): string {
  if (bound === null) return `no violation in ${counted(states, 'state')}`
  return `no violation within ${counted(bound, 'preemption')} (${counted(states, 'state')})`
}

/** Do the words say that nothing is left to be searched? */
export const isProof = (words: string): boolean => words.startsWith('proved: ')
