/**
 * The graph of all states of a search: finds the cycles in which a fair scheduler can go round for ever (I11).
 *
 * A step names the tasks that ran in it, and those that could not at some moment of it. A strongly connected component is
 * a livelock when every task runs in it or is stopped in it now and then: nobody who could go on is passed over for ever.
 * A state from which no end can be reached leads into such a component.
 *
 * With a bound only steps without a preemption are edges: an endless run has no more preemptions from some state on.
 *
 * R1 Tasks are bits of a mask. Steps that end the run are no edges.
 */
import { grown } from './state-table.ts'

export interface Step {
  readonly from: number
  readonly to: number
  /** Who begins it. */
  readonly pid: number
}

const NONE = -1

export class StateGraph {
  private count = 0
  private from: Int32Array = new Int32Array(1024)
  private to: Int32Array = new Int32Array(1024)
  private pid: Int32Array = new Int32Array(1024)
  private ran: Int32Array = new Int32Array(1024)
  private stopped: Int32Array = new Int32Array(1024)

  get bytes(): number {
    return this.from.byteLength * 5
  }

  /** @param ran mask of tasks that ran, @param stopped mask of tasks that could not at some moment */
  add(step: Step, ran: number, stopped: number): void {
    const at = this.count++
    if (at === this.from.length) {
      this.from = grown(this.from)
      this.to = grown(this.to)
      this.pid = grown(this.pid)
      this.ran = grown(this.ran)
      this.stopped = grown(this.stopped)
    }
    this.from[at] = step.from
    this.to[at] = step.to
    this.pid[at] = step.pid
    this.ran[at] = ran
    this.stopped[at] = stopped
  }

  /** @returns a way round in which every task has its turn, or null. @param states number of states */
  livelock(states: number): readonly Step[] | null {
    const component = this.components(states)
    const size = Math.max(0, ...component) + 1
    const [ran, stopped, steps] = [new Int32Array(size), new Int32Array(size), new Int32Array(size)]
    for (let edge = 0; edge < this.count; edge++) {
      const inside = component[this.from[edge]!]!
      if (inside !== component[this.to[edge]!]) continue
      ran[inside]! |= this.ran[edge]!
      stopped[inside]! |= this.stopped[edge]!
      steps[inside]!++
    }
    for (let inside = 0; inside < size; inside++) {
      if (steps[inside]! > 0 && (ran[inside]! | stopped[inside]!) === -1) {
        return this.roundTrip(inside, component, ran[inside]!, states)
      }
    }
    return null
  }

  /** Edges by the state that they leave. */
  private rows(states: number): { readonly first: Int32Array; readonly edges: Int32Array } {
    const first = new Int32Array(states + 1)
    for (let edge = 0; edge < this.count; edge++) first[this.from[edge]! + 1]!++
    for (let state = 0; state < states; state++) first[state + 1]! += first[state]!
    const edges = new Int32Array(this.count)
    const next = first.slice()
    for (let edge = 0; edge < this.count; edge++) edges[next[this.from[edge]!]!++] = edge
    return { first, edges }
  }

  /** The strongly connected component of each state (Tarjan, SIAM J. Comput. 1972), without recursion. */
  private components(states: number): Int32Array {
    const { first, edges } = this.rows(states)
    const component = new Int32Array(states).fill(NONE)
    const index = new Int32Array(states).fill(NONE)
    const low = new Int32Array(states)
    const next = first.slice()
    const open: number[] = []
    const path: number[] = []
    let visited = 0
    let found = 0
    for (let start = 0; start < states; start++) {
      if (index[start] !== NONE) continue
      path.push(start)
      while (path.length > 0) {
        const state = path.at(-1)!
        if (index[state] === NONE) {
          index[state] = low[state] = visited++
          open.push(state)
        }
        if (next[state]! < first[state + 1]!) {
          const to = this.to[edges[next[state]!++]!]!
          if (index[to] === NONE) path.push(to)
          else if (component[to] === NONE) low[state] = Math.min(low[state]!, index[to]!)
          continue
        }
        path.pop()
        const parent = path.at(-1)
        if (parent !== undefined) low[parent] = Math.min(low[parent]!, low[state]!)
        if (low[state] !== index[state]) continue
        for (let member = NONE; member !== state;) {
          member = open.pop()!
          component[member] = found
        }
        found++
      }
    }
    return component
  }

  /** A closed walk inside a component on which every task of the mask runs. */
  private roundTrip(inside: number, component: Int32Array, tasks: number, states: number): readonly Step[] {
    const { first, edges } = this.rows(states)
    const stays = (edge: number): boolean =>
      component[this.from[edge]!] === inside && component[this.to[edge]!] === inside
    const walk: Step[] = []
    const go = (from: number, isThere: (edge: number) => boolean): number => {
      const by = new Map<number, number>()
      const queue = [from]
      for (const state of queue) {
        for (let at = first[state]!; at < first[state + 1]!; at++) {
          const edge = edges[at]!
          const to = this.to[edge]!
          if (!stays(edge)) continue
          if (isThere(edge)) {
            const back = [edge]
            for (let up = state; up !== from;) {
              back.push(by.get(up)!)
              up = this.from[by.get(up)!]!
            }
            for (const each of back.toReversed()) {
              walk.push({ from: this.from[each]!, to: this.to[each]!, pid: this.pid[each]! })
            }
            return to
          }
          if (by.has(to) || to === from) continue
          by.set(to, edge)
          queue.push(to)
        }
      }
      return from
    }
    const start = component.indexOf(inside)
    let at = start
    for (let bit = 0; bit < 31; bit++) {
      if ((tasks & (1 << bit)) !== 0) at = go(at, (edge) => (this.ran[edge]! & (1 << bit)) !== 0)
    }
    if (at !== start) go(at, (edge) => this.to[edge] === start)
    return walk
  }
}
