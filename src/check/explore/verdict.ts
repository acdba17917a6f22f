/**
 * What a search allows one to say, in exact words: what was run is counted, and nothing is called proved.
 */
import type { BoundedResult } from './bounded-search.ts'
import type { SearchResult } from './hunt.ts'

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`

/** `no violation in n schedules`. */
export const huntVerdict = (result: SearchResult): string => `no violation in ${counted(result.schedules, 'schedule')}`

/** `no violation within k preemptions (N schedules)`; without an exhausted bound, what was run. */
export function boundedVerdict(result: BoundedResult): string {
  if (result.exhausted < 0) return huntVerdict(result)
  return `no violation within ${counted(result.exhausted, 'preemption')} (${counted(result.within, 'schedule')})`
}
