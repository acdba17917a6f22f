/** What the orders of a scenario say: how many pairs ran in both, and which did not. */
import { BACKWARD, FORWARD, stepFacts } from './orders.ts'
import type { OrderData, StepFacts } from './orders.ts'

export interface PairCount {
  readonly pairs: number
  readonly both: number
  /** Ran in one order only. */
  readonly one: number
  /** Never ran side by side, although both accessed the object in one run. */
  readonly never: number
}

/** A pair that did not run in both orders. `ran`: `first` before `second`, and never the reverse. */
export interface UncoveredPair {
  readonly object: string
  readonly first: StepFacts
  readonly second: StepFacts
  readonly ran: boolean
}

/** Counts the pairs and lists those that did not run in both orders. */
export function uncoveredPairs({ steps, pairs }: OrderData): { count: PairCount; uncovered: UncoveredPair[] } {
  const uncovered: UncoveredPair[] = []
  let [both, one, never] = [0, 0, 0]
  for (let i = 0; i < pairs.length; i += 3) {
    const bits = pairs[i + 2]!
    if (bits === (FORWARD | BACKWARD)) {
      both++
      continue
    }
    const turn = bits === BACKWARD ? 1 : 0
    const first = stepFacts(steps[pairs[i + turn]!]!)
    const second = stepFacts(steps[pairs[i + 1 - turn]!]!)
    uncovered.push({ object: first.object, first, second, ran: bits !== 0 })
    if (bits === 0) never++
    else one++
  }
  return { count: { pairs: pairs.length / 3, both, one, never }, uncovered }
}
