/**
 * Interleaving coverage: which pairs of dependent steps ran in both orders.
 *
 * A step is a task at a site, with the object that it accesses there and how. Two steps are dependent when they are of
 * different tasks, access the same object, and at least one writes. They ran in an order when one followed the other with
 * no write of that object in between.
 *
 * R1 A step takes its place when its task goes on, not when it reached the point. A lock is accessed by whoever comes to
 *    it, in that order, whether or not it must then wait.
 * R2 A pair is known as soon as one run had both steps on one object: that it never ran side by side is then told as well.
 * R3 The first task, which builds the world and takes it down, is alone and has no steps.
 */
import type { Access, Decision, Policy, Task } from '../../sched/index.ts'
import { Sites } from './site.ts'

/** Pid of the task that builds the world. */
export const FIRST_TASK = 1

/** Bits of a pair: its first step ran before the second, and the reverse. */
export const FORWARD = 1
export const BACKWARD = 2

/** Fields of a step as text, in this order: task, access, object, site. */
const SEPARATOR = '\t'

export interface StepFacts {
  readonly task: string
  readonly access: Access
  readonly object: string
  readonly site: string
}

/** The step that a line of `OrderData` stands for. */
export function stepFacts(text: string): StepFacts {
  const [task, access, object, site] = text.split(SEPARATOR) as [string, Access, string, string]
  return { task, access, object, site }
}

/** Orders as plain data. */
export interface OrderData {
  /** Ascending. */
  readonly steps: readonly string[]
  /** Triples: two indices into `steps`, the first one smaller, and the bits. */
  readonly pairs: readonly number[]
}

interface Step {
  readonly id: number
  readonly pid: number
  readonly access: Access
}

/** What one run did to one object. */
class ObjectHistory {
  readonly steps: Map<number, Step> = new Map()
  lastWrite: Step | null = null
  readonly reads: Step[] = []
}

/** Ids of steps stay below this. */
const MOST_STEPS = 2 ** 20

const nameOf = (object: object): string => {
  const { name } = object as { readonly name?: unknown }
  return typeof name === 'string' ? name : object.constructor.name
}

export class Orders {
  static readonly opaque = true
  private readonly sites = new Sites()
  private readonly ids = new Map<string, number>()
  private readonly texts: string[] = []
  /** Bits by `smaller id * MOST_STEPS + larger id`. */
  private readonly pairs = new Map<number, number>()
  /** Sets of steps that met on an object in some run. */
  private readonly met = new Set<string>()
  private readonly histories = new Map<object, ObjectHistory>()
  private readonly announced = new Map<number, { readonly object: object; readonly step: Step }>()

  /** The policy, watched. */
  watch(policy: Policy): Policy {
    return new Watching(policy, this)
  }

  /** A task has come to a switch point. */
  reached(task: Task, object: object, access: Access): void {
    if (task.pid === FIRST_TASK) return
    const text = [task.name, access, nameOf(object), this.sites.here()].join(SEPARATOR)
    let id = this.ids.get(text)
    if (id === undefined) {
      this.ids.set(text, (id = this.texts.length))
      this.texts.push(text)
    }
    this.announced.set(task.pid, { object, step: { id, pid: task.pid, access } })
  }

  /** It goes on: its step begins. */
  began(task: Task): void {
    const next = this.announced.get(task.pid)
    if (next === undefined) return
    this.announced.delete(task.pid)
    const { object, step } = next
    let history = this.histories.get(object)
    if (history === undefined) this.histories.set(object, (history = new ObjectHistory()))
    history.steps.set(step.id, step)
    if (history.lastWrite !== null) this.followed(history.lastWrite, step)
    if (step.access === 'r') {
      history.reads.push(step)
      return
    }
    for (const read of history.reads) this.followed(read, step)
    history.reads.length = 0
    history.lastWrite = step
  }

  /** A run has ended: what met in it becomes known, and its objects are forgotten. */
  runEnded(): void {
    for (const { steps } of this.histories.values()) {
      const key = [...steps.keys()].toSorted((a, b) => a - b).join(' ')
      if (this.met.has(key)) continue
      this.met.add(key)
      const all = [...steps.values()]
      for (const [index, a] of all.entries()) for (const b of all.slice(index + 1)) this.note(a, b, 0)
    }
    this.histories.clear()
    this.announced.clear()
  }

  data(): OrderData {
    const order = this.texts.map((_, id) => id).toSorted((a, b) => (this.texts[a]! < this.texts[b]! ? -1 : 1))
    const rank = new Map(order.map((id, index) => [id, index]))
    const triples = [...this.pairs].map(([key, bits]) => {
      const a = rank.get(Math.floor(key / MOST_STEPS))!
      const b = rank.get(key % MOST_STEPS)!
      return a < b ? [a, b, bits] : [b, a, turned(bits)]
    })
    const pairs = triples.toSorted((x, y) => x[0]! - y[0]! || x[1]! - y[1]!).flat()
    return { steps: order.map((id) => this.texts[id]!), pairs }
  }

  private followed(first: Step, second: Step): void {
    this.note(first, second, FORWARD)
  }

  private note(a: Step, b: Step, bits: number): void {
    if (a.pid === b.pid || (a.access === 'r' && b.access === 'r')) return
    const forward = a.id < b.id
    const key = forward ? a.id * MOST_STEPS + b.id : b.id * MOST_STEPS + a.id
    this.pairs.set(key, (this.pairs.get(key) ?? 0) | (forward ? bits : turned(bits)))
  }
}

/** The same order, told of the pair the other way round. */
const turned = (bits: number): number => ((bits & FORWARD) << 1) | ((bits & BACKWARD) >> 1)

/** The set of both. */
export function joinOrders(all: readonly OrderData[]): OrderData {
  const steps = [...new Set(all.flatMap((data) => data.steps))].toSorted()
  const index = new Map(steps.map((step, at) => [step, at]))
  const bits = new Map<number, number>()
  for (const data of all) {
    const at = data.steps.map((step) => index.get(step)!)
    for (let i = 0; i < data.pairs.length; i += 3) {
      // Both lists ascend: what was smaller stays smaller.
      const key = at[data.pairs[i]!]! * MOST_STEPS + at[data.pairs[i + 1]!]!
      bits.set(key, (bits.get(key) ?? 0) | data.pairs[i + 2]!)
    }
  }
  const pairs = [...bits].toSorted(([a], [b]) => a - b)
  return { steps, pairs: pairs.flatMap(([key, value]) => [Math.floor(key / MOST_STEPS), key % MOST_STEPS, value]) }
}

/** Passes on what a policy decides; tells `Orders` where steps begin. */
class Watching implements Policy {
  readonly name: string
  readonly preemptive: boolean
  readonly migrates: boolean
  readonly everyPoint = true
  private readonly policy: Policy
  private readonly orders: Orders

  constructor(policy: Policy, orders: Orders) {
    this.name = policy.name
    this.preemptive = policy.preemptive
    this.migrates = policy.migrates
    this.policy = policy
    this.orders = orders
  }

  decide(decision: Decision, count: number, running: Task, ready: readonly Task[]): number {
    return this.policy.decide(decision, count, running, ready)
  }

  footprint(task: Task, object: object, access: Access): void {
    this.policy.footprint?.(task, object, access)
    this.orders.reached(task, object, access)
  }

  began(task: Task): void {
    this.policy.began?.(task)
    this.orders.began(task)
  }
}
