/**
 * Sleep sets: of two steps of different tasks that do not touch what the other writes, one order is enough (Godefroid,
 * Partial-Order Methods for the Verification of Concurrent Systems, LNCS 1032, 1996, chapter 5).
 *
 * ```
 *   s --a--> p        a and b are independent: what b does at s it does at p as well, and the other way round
 *   |        |        the search has been at p, and knows that b leads from there to q
 *   b        b        at x the task of a sleeps: its step leads to q, and is not taken
 *   v        v
 *   x --a--> q
 * ```
 *
 * R1 A task sleeps only where the state that its step leads to is known. So every step of every state is known, whether
 *    taken or not, and no state has to be looked at again when it is reached with fewer sleepers.
 * R2 Footprints name objects, and objects are those of one path: they are handed on along it, and never kept.
 * R3 A step ends where nobody decides who goes on. Who is the only one left runs on in the step of the one that stopped: a
 *    step that stops its task is another one where no two tasks are left.
 * R4 A step with open choices keeps nobody asleep, and does not sleep.
 */
import { areDependent } from '../frames/touched.ts'
import type { Footprint } from '../frames/touched.ts'

/** A step whose end is known. */
export interface KnownStep {
  readonly footprint: Footprint
  /** Its task could go on after it. */
  readonly goesOn: boolean
}

/** By pid: the steps from a state, as far as they are known. */
export type Sleepers = Map<number, KnownStep>

/** Tasks that are told apart. */
const MOST = 32

export const bitOf = (pid: number): number => 1 << (pid & 31)

export class SleepSets {
  /** State in which a step ends, by `state * MOST + pid`. */
  private readonly ends = new Map<number, number>()

  /** The step of a task leads from one state to another. */
  leads(from: number, pid: number, to: number): void {
    this.ends.set(from * MOST + pid, to)
  }

  endOf(state: number, pid: number): number | undefined {
    return this.ends.get(state * MOST + pid)
  }

  /**
   * Who sleeps at a state that is new.
   * @param from the state before, with those whose steps from it are known
   * @param pid who made the step, with what it did
   * @param at the state, with so many tasks that can run
   */
  asleep(from: number, known: Sleepers, pid: number, step: Footprint, at: number, able: number): Sleepers {
    const sleepers: Sleepers = new Map()
    for (const [other, one] of known) {
      if (able < 3 && !one.goesOn) continue
      const middle = this.endOf(from, other)
      const end = middle === undefined ? undefined : this.endOf(middle, pid)
      if (end === undefined || areDependent(one.footprint, step)) continue
      this.leads(at, other, end)
      sleepers.set(other, one)
    }
    return sleepers
  }
}
