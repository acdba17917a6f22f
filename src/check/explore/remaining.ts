/**
 * How many schedules a bounded search has still to run: an estimate from where it is in its tree.
 *
 * A walk in depth-first order has left behind, at each decision, the answers before the present one. Each answer is
 * weighed by the schedules that a tree of its depth and its left-over preemptions would have, had it one alternative at
 * every decision: with p preemptions left and d decisions to come, the ways to place at most p of them among d.
 */
import type { Taken } from '../../sched/index.ts'

/** Ways to place at most `preemptions` among `decisions`. */
function weight(preemptions: number, decisions: number): number {
  let sum = 1
  let ways = 1
  for (let placed = 1; placed <= Math.min(preemptions, decisions); placed++) {
    ways = (ways * (decisions - placed + 1)) / placed
    sum += ways
  }
  return sum
}

/**
 * The part of the tree that lies before the run just made, in [0, 1).
 * @param taken decisions of that run, under `bound` preemptions at most
 */
export function partExplored(taken: readonly Taken[], bound: number): number {
  let explored = 0
  let mass = 1
  let left = bound
  for (const [index, { kind, count, choice }] of taken.entries()) {
    const decisions = taken.length - index - 1
    const stays = weight(left, decisions)
    const costs = kind === 'point'
    const other = costs ? (left > 0 ? weight(left - 1, decisions) : 0) : stays
    const total = stays + (count - 1) * other
    if (choice > 0) explored += (mass * (stays + (choice - 1) * other)) / total
    mass *= (choice > 0 ? other : stays) / total
    if (costs && choice > 0) left--
  }
  return explored
}
