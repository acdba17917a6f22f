/**
 * The scenario of an exhibit without its bug: proved on the lowered build where its states fit, otherwise run within the
 * preemptions that the exhibit states.
 *
 * R1 What a proof finds is judged by the native run of its schedule.
 */
import { clearWithinBound, provedVerdict, runClosely } from '../../check/index.ts'
import type { Clearance, Exhibit, ProveResult } from '../../check/index.ts'
import { decodeSchedule, replay } from '../../sched/index.ts'
import { isUnprovable } from '../prover.ts'
import { loweredCheck } from '../scenario-names.ts'

/** States that a proof may take. */
const STATES = 20_000

/** Clears an exhibit as far as it goes. */
export async function clearByProof(exhibit: Exhibit): Promise<Clearance> {
  const proof = await proofOf(exhibit)
  if (proof?.complete === true) {
    return { verdict: provedVerdict(proof.states), schedules: 0, violation: null, complete: true }
  }
  if (proof === null || proof.found === null) return clearWithinBound(exhibit)
  const schedule = decodeSchedule(proof.found.schedule)
  const { violation } = await runClosely(exhibit.scenario, () => replay(schedule))
  const verdict =
    violation === null ? 'only the search over states finds a violation' : `${violation.invariant} violated`
  return { verdict, schedules: 1, violation, complete: false }
}

/** Null for states that cannot be seen. */
async function proofOf({ name }: Exhibit): Promise<ProveResult | null> {
  const { exhibits, prove } = await loweredCheck()
  const exhibit = exhibits.find((each) => each.name === name)!
  try {
    return await prove(exhibit.scenario, { states: STATES })
  } catch (error) {
    if (error instanceof Error && isUnprovable(error)) return null
    throw error
  }
}
