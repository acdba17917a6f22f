/**
 * Every reachable state of a scenario, once: depth first over exact states, on one live world.
 *
 * A state is what the tasks, the kernel and the audits hold while no task runs. From each state every answer to the open
 * decision is tried: the state is restored, the answer given, and the step runs to the next decision.
 *
 * R1 A state whose hash was seen before is not looked at again: what can follow it was, or will be, tried from the first.
 * R2 With a bound, a state is known with the task that could have gone on, and looked at again when it was reached with
 *    fewer preemptions.
 * R3 With sleep sets, steps are not taken whose ends are known: the same states, and the same graph of them.
 * R4 `replay` finds the same states without restoring any: each transition is a new world that repeats its prefix.
 */
import { KernelBug, KernelError } from '../../base/index.ts'
import { hostTurn } from '../../sched/index.ts'
import { ForeignAwait } from '../frames/runtime.ts'
import type { Snapshot } from '../frames/snapshots.ts'
import { Names } from '../frames/state-hash.ts'
import type { Scenario } from '../scenario.ts'
import type { WorldParts } from '../world.ts'
import { LiveWorld } from './live-world.ts'
import type { StepEnd, TakenValue } from './live-world.ts'
import { SleepSets, bitOf } from './sleep-sets.ts'
import type { Sleepers } from './sleep-sets.ts'
import { StateGraph } from './state-graph.ts'
import type { Step } from './state-graph.ts'
import { StateTable, grown } from './state-table.ts'

export interface ProveOptions {
  readonly parts?: WorldParts
  /** Preemptions on a path, at most. Default: no bound. */
  readonly bound?: number
  /** States at most. Default: no limit. */
  readonly states?: number
  /** Asked now and then: true ends the search. */
  readonly stop?: () => boolean
  /** Told now and then: states so far, and those on the path to the present one. */
  readonly onStates?: (states: number, depth: number) => void
  /** Shown each new state, while the world stands there. It may look, not change. */
  readonly onNew?: (world: LiveWorld) => void
  /**
   * `snapshots` restores states; `replay` repeats the run up to them in a new world each time; `sleep` restores them, and
   * takes of two steps that are independent by what they touch one order only: it needs the watched build, and no bound.
   * Default `snapshots`.
   */
  readonly engine?: 'snapshots' | 'replay' | 'sleep'
  /** With `sleep`: takes the steps of those who sleep as well, and fails where one does not end as it is known to. */
  readonly verify?: boolean
}

export interface ProveResult {
  /** Distinct states; within a bound, with the task that could have gone on. */
  readonly states: number
  /** Steps from a state to the next, whether they were taken or known without it. */
  readonly transitions: number
  /** Steps that were taken. */
  readonly taken: number
  /** The longest path, in states. */
  readonly depth: number
  /** Every reachable state was visited, or every one within the bound. */
  readonly complete: boolean
  /** Bytes for what is known of the states. */
  readonly bytes: number
  /** The schedule of a run that breaks something, and what it was; null when there is none. */
  readonly found: { readonly schedule: string; readonly failure: unknown } | null
}

/** Transitions between two turns of the surrounding program. */
const TURN = 64
/** Events of a run that replay calls endless, and some more. */
const ENDLESS = 20_500

/** A state on the path from the start. */
interface Level {
  readonly snapshot: Snapshot
  readonly state: number
  readonly answers: number
  /** Who runs under each answer, by pid. */
  readonly runners: readonly number[]
  /** Preemptions on the way here. */
  readonly spent: number
  /** At a switch point: any answer but the first is a preemption. */
  readonly isPoint: boolean
  /** The answer to try next, and the open choices of its step. */
  answer: number
  plan: readonly number[]
  /** The step that is being explored. */
  taken: Taken | null
  /** Whose steps are known: they sleep, or were tried. */
  known: Sleepers
  /** Bits of those who sleep. */
  asleep: number
}

/** A step, as it is repeated. */
interface Taken {
  readonly answer: number
  readonly plan: readonly number[]
}

/** The step that led to a state first. By who made it: the order of those that can run is no part of a state. */
interface Reached {
  readonly from: number
  readonly pid: number
  readonly plan: readonly number[]
}

/** The next plan for the open choices of a step, or null when all were tried. */
function nextValues(taken: readonly TakenValue[]): readonly number[] | null {
  for (let at = taken.length - 1; at >= 0; at--) {
    const { choice, count } = taken[at]!
    if (choice + 1 < count) return [...taken.slice(0, at).map((each) => each.choice), choice + 1]
  }
  return null
}

class Search {
  private readonly scenario: Scenario
  private readonly options: ProveOptions
  private readonly names = new Names()
  private readonly table = new StateTable()
  private readonly graph = new StateGraph()
  /** With a bound: the fewest preemptions with which a state was reached. */
  private spent: Int32Array = new Int32Array(1024)
  /** How each state was reached first. */
  private readonly reached: Reached[] = []
  /** Steps that made open choices, by their states. */
  private readonly plans = new Map<string, readonly number[]>()
  private readonly path: Level[] = []
  private readonly sleep: SleepSets | null
  private world: LiveWorld
  private transitions = 0
  private steps = 0
  private depth = 0

  constructor(scenario: Scenario, options: ProveOptions) {
    this.scenario = scenario
    this.options = options
    this.sleep = options.engine === 'sleep' ? new SleepSets() : null
    this.world = this.newWorld()
  }

  async run(): Promise<ProveResult> {
    const { states = Infinity, stop, onStates } = this.options
    if (this.world.failure !== null) return this.result(false, this.world.failure)
    if (this.world.answers > 0) this.enter(0)
    let isThere = true
    for (let level = this.path.at(-1); level !== undefined; level = this.path.at(-1)) {
      if (!this.hasNext(level)) {
        this.path.pop()
        isThere = false
        continue
      }
      if (this.table.size > states) return this.result(false)
      if (this.steps % TURN === 0) {
        await hostTurn()
        onStates?.(this.table.size, this.path.length)
        if (stop?.() === true) return this.result(false)
      }
      if (!isThere) this.goTo(level)
      const end = this.take(level)
      if (end === 'failed') return this.result(false, this.world.failure)
      isThere = end === 'entered'
    }
    const round = this.graph.livelock(this.table.size)
    if (round === null) return this.result(true)
    this.goRound(round)
    return this.result(false, new KernelBug('livelock: these tasks can go round for ever, each in its turn', 'I11'))
  }

  private hasNext(level: Level): boolean {
    const { bound = Infinity, verify = false } = this.options
    while (!verify && level.answer < level.answers && (level.asleep & bitOf(level.runners[level.answer]!)) !== 0)
      level.answer++
    return level.answer < level.answers && level.spent + costOf(level) <= bound
  }

  /** Explores one step from where the world stands. */
  private take(level: Level): 'entered' | 'known' | 'failed' {
    const { world } = this
    this.transitions++
    this.steps++
    const { answer, plan, state } = level
    const pid = level.runners[answer]!
    const cost = costOf(level)
    level.taken = { answer, plan }
    const end = world.step(answer, plan)
    const values = world.values.map(({ choice }) => choice)
    const next = nextValues(world.values)
    if (next === null) level.answer++
    level.plan = next ?? []
    if (end === 'failed') return 'failed'
    if (end === 'ended') return 'known'
    const isNew = this.enter(level.spent + cost)
    const to = this.table.last
    if (this.sleep !== null && values.length === 0) this.learn(this.sleep, level, pid, isNew)
    if (cost === 0 || this.options.bound === undefined)
      this.graph.add({ from: state, to, pid }, world.ran, world.stopped)
    if (values.length > 0) this.plans.set(`${state} ${to} ${pid}`, values)
    return isNew ? 'entered' : 'known'
  }

  /** A step is known; at a new state, others are by it. */
  private learn(sleep: SleepSets, level: Level, pid: number, isNew: boolean): void {
    const { last: to } = this.table
    const footprint = this.world.footprint()
    const goesOn = this.world.runners.includes(pid)
    if ((level.asleep & bitOf(pid)) !== 0) {
      if (sleep.endOf(level.state, pid) === to) return
      const before = this.path[this.path.indexOf(level) - 1]!
      const [task, other] = [pid, before.runners[before.taken!.answer]!].map((one) => this.world.nameOf(one))
      const what = `a step of ${task} was taken to be independent of the one of ${other} before it, and is not`
      throw new KernelBug(what)
    }
    sleep.leads(level.state, pid, to)
    if (isNew) {
      const next = this.path.at(-1)!
      next.known = sleep.asleep(level.state, level.known, pid, footprint, to, next.runners.length)
      let able = 0
      for (const runner of next.runners) able |= bitOf(runner)
      for (const other of next.known.keys()) {
        next.asleep |= bitOf(other)
        if (this.options.verify === true) continue
        this.graph.add({ from: to, to: sleep.endOf(to, other)!, pid: other }, bitOf(other), ~able)
        this.transitions++
      }
    }
    level.known.set(pid, { footprint, goesOn })
  }

  /** Captures where the world stands, and puts it on the path unless it is known. */
  private enter(spent: number): boolean {
    const { world, table, path } = this
    const { bound } = this.options
    const { snapshots } = world
    snapshots.look()
    const salt = bound === undefined ? 0 : world.current
    let isNew = table.add(snapshots.a ^ Math.imul(salt, 0x9e37_79b1), snapshots.b)
    const state = table.last
    if (isNew) {
      if (state === this.spent.length) this.spent = grown(this.spent)
      const last = path.at(-1)
      const { answer, plan } = last?.taken ?? { answer: 0, plan: [] }
      this.options.onNew?.(world)
      this.reached.push({ from: last?.state ?? -1, pid: last?.runners[answer] ?? 0, plan })
    } else if (bound !== undefined && spent < this.spent[state]!) isNew = true
    if (!isNew) return false
    this.spent[state] = spent
    const { answers, runners } = world
    const isPoint = world.current !== 0
    const snapshot = snapshots.take()
    const start = { answer: 0, plan: [], taken: null, known: new Map(), asleep: 0 }
    path.push({ snapshot, state, answers, runners, spent, isPoint, ...start })
    this.depth = Math.max(this.depth, path.length)
    return true
  }

  private goTo(level: Level): void {
    if (this.options.engine !== 'replay') {
      this.world.snapshots.restore(level.snapshot)
      return
    }
    this.world = this.newWorld()
    for (const { taken } of this.path.slice(0, -1)) this.world.step(taken!.answer, taken!.plan)
  }

  /** Runs to a cycle, and round it until the run counts as endless. */
  private goRound(round: readonly Step[]): void {
    const way: Reached[] = []
    for (let state = round[0]!.from; state > 0; state = way.at(-1)!.from) way.push(this.reached[state]!)
    const world = this.newWorld()
    this.world = world
    const step = (pid: number, plan: readonly number[]): StepEnd => world.step(world.runners.indexOf(pid), plan)
    for (const { pid, plan } of way.toReversed()) step(pid, plan)
    const events = world.countEvents()
    while (events() < ENDLESS) {
      const before = events()
      for (const { from, to, pid } of round) step(pid, this.plans.get(`${from} ${to} ${pid}`) ?? [])
      if (events() === before) return
    }
  }

  private newWorld(): LiveWorld {
    const world = LiveWorld.open(this.scenario, this.options.parts ?? {}, this.names)
    world.isWatched = this.sleep !== null
    return world
  }

  private result(complete: boolean, failure: unknown = null): ProveResult {
    for (let cause = failure; cause instanceof Error; cause = cause.cause) {
      // Legal on the native build.
      if (cause instanceof ForeignAwait) throw new KernelError('EINVAL', cause.message)
    }
    return {
      states: this.table.size,
      transitions: this.transitions,
      taken: this.steps,
      depth: this.depth,
      complete,
      bytes: this.table.bytes + this.graph.bytes,
      found: failure === null ? null : { schedule: this.world.schedule, failure },
    }
  }
}

const costOf = ({ isPoint, answer }: Level): number => (isPoint && answer > 0 ? 1 : 0)

/** Visits every reachable state. @throws KernelError EINVAL for a scenario whose states cannot be captured, with the path */
export async function prove(scenario: Scenario, options: ProveOptions = {}): Promise<ProveResult> {
  return new Search(scenario, options).run()
}
