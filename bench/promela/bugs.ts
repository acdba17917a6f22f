/** The bugs that the Promela twin has, and Umbra's side of each: the same bug in the real code. */
import { exhibits, mutants, searchBounded, withBug, withParts } from '../../src/check/index.ts'
import type { Scenario } from '../../src/check/index.ts'

/** The definition that plants it in the model. */
export type PromelaBug = 'NO_RETRY' | 'COUNT_ONLY' | 'SEQ_ONLY' | 'LATE_SEQ' | 'NO_FLUSH' | 'MISSING_NOTIFIER'

const exhibit = (wanted: string): Scenario => withBug(exhibits.find(({ name }) => name === wanted)!)

function noFlush(): Scenario {
  const found = mutants().find(({ operation, mutation }) => operation === 'dontneed' && mutation.name === 'no-flush')!
  return withParts(found.scenario, found.mutation.parts)
}

const BUGS: Readonly<Record<PromelaBug, () => Scenario>> = {
  NO_RETRY: () => exhibit('no-retry'),
  COUNT_ONLY: () => exhibit('retry-count-only'),
  SEQ_ONLY: () => exhibit('retry-sequence-only'),
  LATE_SEQ: () => exhibit('vma-read-before-seq'),
  NO_FLUSH: noFlush,
  MISSING_NOTIFIER: () => exhibit('missing-notifier-munmap'),
}

export const PROMELA_BUGS: readonly PromelaBug[] = Object.keys(BUGS) as PromelaBug[]

/** Finds the bug in the real code, bound by bound. @returns schedules that it took, or null */
export async function findInCode(bug: PromelaBug): Promise<number | null> {
  const { found, schedules } = await searchBounded(BUGS[bug]())
  return found?.violation == null ? null : schedules
}
