/**
 * Which answers keep a run fair (Musuvathi and Qadeer, Fair stateless model checking, PLDI 2008): a task that yields
 * again and again waits for others, and they must run at some time. Without this a search has endless schedules.
 *
 * R1 A task that yields is not chosen at once.
 * R2 A task that yields a second time comes after everybody who could run all the while and did not.
 * R3 Who is ready longest is always a fair choice.
 */
import type { Decision } from './policy.ts'
import type { Task } from './task.ts'

/** Tasks that are told apart: a bit each. Later ones are treated as if they never yielded. */
const MOST = 31

export class Fairness {
  private readonly bits = new Map<number, number>()
  /** By bit number of a task: those who go before it. */
  private readonly after: number[] = []
  /** Those who could run ever since it yielded, or 0 if it never did. */
  private readonly able: number[] = []
  /** Those who ran since. */
  private readonly ran: number[] = []

  /** Takes a decision in. @returns bit per answer that is not fair */
  decide(kind: Decision, running: Task, ready: readonly Task[]): number {
    if (kind === 'value' || kind === 'cpu') return 0
    const self = this.bitOf(running)
    let able = kind === 'point' ? self : 0
    for (const task of ready) able |= this.bitOf(task)
    for (let i = 0; i < this.after.length; i++) {
      this.after[i]! &= ~self
      this.able[i]! &= able
      this.ran[i]! |= self
    }
    if (kind === 'point') return 0
    const yields = ready.at(-1) === running
    if (yields && self !== 0) {
      const at = 31 - Math.clz32(self)
      this.after[at]! |= this.able[at]! & ~this.ran[at]!
      this.able[at] = able & ~self
      this.ran[at] = 0
    }
    let unfair = yields ? 1 << (ready.length - 1) : 0
    for (let answer = 1; answer < ready.length; answer++) {
      const bit = this.bitOf(ready[answer]!)
      if (bit !== 0 && (this.after[31 - Math.clz32(bit)]! & able) !== 0) unfair |= 1 << answer
    }
    return unfair
  }

  private bitOf(task: Task): number {
    let bit = this.bits.get(task.pid)
    if (bit !== undefined) return bit
    bit = this.after.length < MOST ? 1 << this.after.length : 0
    this.bits.set(task.pid, bit)
    if (bit !== 0) {
      this.after.push(0)
      this.able.push(0)
      this.ran.push(0)
    }
    return bit
  }
}
