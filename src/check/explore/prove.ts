/**
 * Every reachable state of a scenario, once: depth first over exact states, on one live world.
 *
 * A state is what the tasks, the kernel and the audits hold while no task runs. From each state every answer to the open
 * decision is tried: the state is restored, the answer given, and the step runs to the next decision.
 *
 * R1 A state whose hash was seen before is not looked at again: what can follow it was, or will be, tried from the first.
 * R2 `replay` finds the same states without restoring any: each transition is a new world that repeats its prefix.
 */
import { hostTurn } from '../../sched/index.ts'
import { Names } from '../frames/state-hash.ts'
import type { Snapshot } from '../frames/snapshots.ts'
import type { Scenario } from '../scenario.ts'
import type { WorldParts } from '../world.ts'
import { LiveWorld } from './live-world.ts'
import type { TakenValue } from './live-world.ts'
import { StateTable } from './state-table.ts'

export interface ProveOptions {
  readonly parts?: WorldParts
  /** States at most. Default: no limit. */
  readonly states?: number
  /** Asked now and then: true ends the search. */
  readonly stop?: () => boolean
}

export interface ProveResult {
  /** Distinct states. */
  readonly states: number
  readonly transitions: number
  /** The longest path, in states. */
  readonly depth: number
  /** Every reachable state was visited. */
  readonly complete: boolean
  /** The schedule of a run that breaks something, and what it was; null when there is none. */
  readonly found: { readonly schedule: string; readonly failure: unknown } | null
}

/** Transitions between two turns of the surrounding program. */
const TURN = 64

/** A state on the path from the start. */
interface Level {
  readonly snapshot: Snapshot
  readonly state: number
  readonly answers: number
  answer: number
  plan: readonly number[]
}

/** The next plan for the open choices of a step, or null when all were tried. */
function nextValues(taken: readonly TakenValue[]): readonly number[] | null {
  for (let at = taken.length - 1; at >= 0; at--) {
    const { choice, count } = taken[at]!
    if (choice + 1 < count) return [...taken.slice(0, at).map((each) => each.choice), choice + 1]
  }
  return null
}

/** Visits every reachable state. @throws KernelError EINVAL for a scenario whose states cannot be captured, with the path */
export async function prove(scenario: Scenario, options: ProveOptions = {}): Promise<ProveResult> {
  const names = new Names()
  const table = new StateTable()
  const world = LiveWorld.open(scenario, options.parts ?? {}, names)
  const path: Level[] = []
  let transitions = 0
  let depth = 0
  const most = options.states ?? Infinity
  const result = (complete: boolean, found: ProveResult['found'] = null): ProveResult => ({
    states: table.size,
    transitions,
    depth,
    complete,
    found,
  })
  const enter = (): void => {
    const snapshot = world.snapshots.capture()
    if (!table.add(snapshot.a, snapshot.b)) return
    path.push({ snapshot, state: table.last, answers: world.answers, answer: 0, plan: [] })
    depth = Math.max(depth, path.length)
  }
  if (world.failure !== null) return result(false, { schedule: world.schedule, failure: world.failure })
  enter()
  for (let level = path.at(-1); level !== undefined; level = path.at(-1)) {
    if (level.answer === level.answers) {
      path.pop()
      continue
    }
    if (table.size > most) return result(false)
    if (transitions % TURN === 0) {
      await hostTurn()
      if (options.stop?.() === true) return result(false)
    }
    world.snapshots.restore(level.snapshot)
    transitions++
    const end = world.step(level.answer, level.plan)
    const plan = nextValues(world.values)
    if (plan === null) level.answer++
    level.plan = plan ?? []
    if (end === 'failed') return result(false, { schedule: world.schedule, failure: world.failure })
    if (end === 'open') enter()
  }
  return result(true)
}
