/**
 * Why a scenario has so many states: what differs between states in which all tasks stand at the same places.
 *
 * R1 Two searches: one counts the states by the places of the tasks, the other looks at those of the largest groups.
 * R2 Places are those outside of the scheduler's room: where a task waits there follows from who called it.
 * R3 Objects are shown by their class: their numbers in a state are those of the visit, and shift.
 */
import { callsFrom } from '../frames/chain.ts'
import { stateText } from '../frames/state-text.ts'
import type { Scenario } from '../scenario.ts'
import type { LiveWorld } from './live-world.ts'
import { prove } from './prove.ts'
import type { ProveOptions } from './prove.ts'

/** A value that differs between the states of a group. */
export interface DifferingValue {
  /** What leads to it, from the roots of a state. */
  readonly path: string
  /** Values it takes. */
  readonly count: number
  /** The first few of them. */
  readonly values: readonly string[]
}

/** States in which every task stands at the same place. */
export interface StateGroup {
  readonly states: number
  /** Task by task: name, and its calls, innermost first. */
  readonly tasks: readonly string[]
  /** Those with the most values first. */
  readonly differing: readonly DifferingValue[]
}

export interface WhyStates {
  readonly states: number
  /** Every reachable state is among them. */
  readonly complete: boolean
  /** Combinations of places. */
  readonly groups: number
  /** The largest of them first. */
  readonly largest: readonly StateGroup[]
}

export interface WhyOptions extends Pick<ProveOptions, 'parts' | 'states' | 'stop' | 'bound'> {
  /** Groups to look into. Default 3. */
  readonly most?: number
}

/** Values of one path that are shown. */
const SHOWN = 4
const SEPARATOR = '\n'

/** Where each task stands, as one text. */
function placesOf(world: LiveWorld): string {
  return world
    .chains()
    .map(({ task, leaf }) => {
      const calls = callsFrom(leaf)
        .filter(({ file }) => !file.startsWith('src/sched/'))
        .map(({ call, file, line }) => `${call} ${file}:${line}`)
      return `${task}: ${calls.length === 0 ? 'not begun' : calls.join(' < ')}`
    })
    .join(SEPARATOR)
}

/** The values of the states of a group, by their paths. */
class Group {
  states = 0
  private readonly values = new Map<string, Set<string>>()
  /** States in which a path was there. */
  private readonly met = new Map<string, number>()

  add(world: LiveWorld): void {
    this.states++
    for (const [path, value] of stateText(world.snapshots)) this.note(path, value.replace(/ #\d+$/, ''))
    for (const [frame, digest] of world.frameDigests().entries()) this.note(`contents of frame ${frame}`, digest)
  }

  differing(): DifferingValue[] {
    const found: DifferingValue[] = []
    for (const [path, values] of this.values) {
      const isAlways = this.met.get(path) === this.states
      if (values.size === 1 && isAlways) continue
      const all = isAlways ? [...values] : [...values, 'nothing']
      found.push({ path, count: all.length, values: all.slice(0, SHOWN) })
    }
    return found.toSorted((a, b) => b.count - a.count)
  }

  private note(path: string, value: string): void {
    let values = this.values.get(path)
    if (values === undefined) this.values.set(path, (values = new Set()))
    values.add(value)
    this.met.set(path, (this.met.get(path) ?? 0) + 1)
  }
}

/** Looks into the states of a scenario, in the lowered build. @throws KernelError EINVAL as `prove` does */
export async function whyStates(scenario: Scenario, { most = 3, ...options }: WhyOptions = {}): Promise<WhyStates> {
  const counts = new Map<string, number>()
  const { states, complete } = await prove(scenario, {
    ...options,
    onNew: (world) => {
      const places = placesOf(world)
      counts.set(places, (counts.get(places) ?? 0) + 1)
    },
  })
  const ranked = [...counts].toSorted(([, a], [, b]) => b - a).slice(0, most)
  const groups = new Map(ranked.map(([places]) => [places, new Group()]))
  await prove(scenario, { ...options, onNew: (world) => groups.get(placesOf(world))?.add(world) })
  const largest = [...groups].map(([places, group]) => ({
    states: group.states,
    tasks: places.split(SEPARATOR),
    differing: group.differing(),
  }))
  return { states, complete, groups: counts.size, largest }
}
