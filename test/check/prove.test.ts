/** Proofs: two engines see the same states, what is wrong is found with a schedule that repeats it, and words are exact. */
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { exhibits, planUnits, runClosely, scenarios, withBug } from '../../src/check/index.ts'
import type { Scenario, SearchConfig } from '../../src/check/index.ts'
import { importLowered, importWatched, registerLowering } from '../../src/cli/lower-hook.ts'
import type { Snapshot, SnapshotOptions, Snapshots } from '../../src/check/frames/snapshots.ts'
import { differences, stateText } from '../../src/check/frames/state-text.ts'
import { runUnitOn } from '../../src/cli/prover.ts'
import { decodeSchedule, replay } from '../../src/sched/index.ts'
import { small } from './prove-scenarios.ts'

const isLong = process.env['UMBRA_LONG'] === '1'

registerLowering()
const load = <T>(path: string): Promise<T> => importLowered(new URL(path, import.meta.url).href) as Promise<T>
const checks = await load<typeof import('../../src/check/index.ts')>('../../src/check/index.js')
const lowered = await load<typeof import('./prove-scenarios.ts')>('./prove-scenarios.js')
const { prove } = checks
const watch = <T>(path: string): Promise<T> => importWatched(new URL(path, import.meta.url).href) as Promise<T>
const watched = await watch<typeof import('../../src/check/index.ts')>('../../src/check/index.js')

const named = ({ scenarios: all }: typeof checks, name: string): Scenario => all.find((each) => each.name === name)!
const shipped = (name: string): Scenario => named(checks, name)
const CONFIG: SearchConfig = {
  policy: 'prove',
  seed: 1,
  depth: 0,
  schedules: 50,
  preemptions: 2,
  states: 20_000,
  coverage: false,
}

/** Every state of a twin is a new world: only small ones in the default mode. */
const TWINS = isLong ? scenarios.map(({ name }) => name) : ['failed-start-two-clients', 'idle-vs-warm']

for (const name of TWINS) {
  test(`${name}: restoring states and repeating runs visit the same states`, async (t) => {
    t.timeout(600_000)
    const restored = await prove(shipped(name), { states: isLong ? 700 : 2000 })
    if (!restored.complete) {
      t.true(isLong)
      return
    }
    const repeated = await prove(shipped(name), { engine: 'replay' })
    t.deepEqual([repeated.states, repeated.transitions], [restored.states, restored.transitions])
    t.is(restored.found, null)
  })
}

for (const name of TWINS) {
  test(`${name}: with sleep sets the search visits the same states by the same transitions, and takes fewer`, async (t) => {
    t.timeout(600_000)
    const whole = await prove(shipped(name), { states: isLong ? 700 : 2000 })
    const scenario = named(watched, name)
    if (whole.complete) {
      const slept = await watched.prove(scenario, { engine: 'sleep' })
      t.deepEqual([slept.states, slept.transitions, slept.found], [whole.states, whole.transitions, null])
      t.true(slept.taken < whole.taken)
    }
    if (!isLong) return
    const verified = await watched.prove(scenario, { engine: 'sleep', verify: true, states: 700 })
    t.is(verified.found, null)
  })
}

test('a step that touches what it does not name is found out by taking both orders', async (t) => {
  const { small: strange } = await watch<typeof import('./prove-scenarios.ts')>('./prove-scenarios.js')
  const search = watched.prove(strange['unnamed']!, { engine: 'sleep', verify: true })
  await t.throwsAsync(search, { message: /a step of \w+ was taken to be independent of the one of \w+ before it/ })
})

test('a proof of a shipped scenario says how many states there are, and bounds are contained in it', async (t) => {
  const scenario = shipped('srcu-tiny-two-updaters')
  const whole = await prove(scenario)
  t.true(whole.complete)
  let before = 0
  for (const bound of [0, 1, 2]) {
    const within = await prove(scenario, { bound })
    t.true(within.complete)
    t.true(within.states > before)
    before = within.states
  }
  const [, unit] = planUnits(scenario.name, CONFIG)
  const result = await checks.runUnit(scenario, unit!, CONFIG)
  t.is(result.words, `proved: all ${whole.states} states`)
  const few = await checks.runUnit(scenario, unit!, { ...CONFIG, states: whole.states - 1 })
  t.regex(few.words!, /^no violation within \d preemptions? \(\d+ states?\)$/)
})

test('a write-protection whose flush is on its way is right in every state between', async (t) => {
  t.is((await prove(shipped('dirty-log-vs-writer'), { states: 300 })).found, null)
})

test('an open choice is tried in each of its values, and the finding repeats natively', async (t) => {
  const { found } = await prove(lowered.small['choice']!)
  const run = await small['choice']!.run(replay(decodeSchedule(found!.schedule)))
  t.is(run.violation?.invariant, 'I7')
})

test('a deadlock is found with a schedule that repeats it natively', async (t) => {
  const { found } = await prove(lowered.small['deadlock']!)
  t.is(checks.violationOf(found!.failure)?.invariant, 'I8')
  const run = await small['deadlock']!.run(replay(decodeSchedule(found!.schedule)))
  t.is(run.violation?.invariant, 'I8')
})

test('a fair cycle is a livelock, and its schedule goes round natively until it is given up', async (t) => {
  const { found } = await prove(lowered.small['livelock']!)
  t.is(checks.violationOf(found!.failure)?.invariant, 'I11')
  const run = await small['livelock']!.run(replay(decodeSchedule(found!.schedule)))
  t.is(run.violation?.invariant, 'I11')
})

test('a livelock that needs no preemption is found within any bound', async (t) => {
  const { found } = await prove(lowered.small['livelock']!, { bound: 0 })
  t.is(checks.violationOf(found!.failure)?.invariant, 'I11')
  const run = await small['livelock']!.run(replay(decodeSchedule(found!.schedule)))
  t.is(run.violation?.invariant, 'I11')
  t.true((await prove(lowered.small['waiting']!, { bound: 1 })).complete)
})

test('a cycle in which somebody is passed over for ever is none', async (t) => {
  t.true((await prove(lowered.small['waiting']!)).complete)
})

test('what cannot be seen costs the proof, with the path that leads to it', async (t) => {
  const scenario = lowered.small['hidden']!
  await t.throwsAsync(prove(scenario), { message: /cannot capture Date at .*inner\.held/ })
  const [, unit] = planUnits(scenario.name, CONFIG)
  await t.throwsAsync(checks.runUnit(scenario, unit!, CONFIG), { message: /^cannot capture Date/ })
  const file = `${fileURLToPath(new URL('prove-scenarios.js', import.meta.url))}#hidden`
  const native = small['hidden']!
  const { words } = await runUnitOn(native, { ...unit!, scenario: file }, CONFIG, {})
  t.regex(words!, /^no violation within 2 preemptions \(\d+ schedules\), not proved: cannot capture Date/)
})

test('a state in words says in what two states differ', async (t) => {
  const scenario = lowered.small['choice']!
  const { LiveWorld } = await load<typeof import('../../src/check/explore/live-world.ts')>(
    '../../src/check/explore/live-world.js',
  )
  const { Names } = await load<typeof import('../../src/check/frames/state-hash.ts')>(
    '../../src/check/frames/state-hash.js',
  )
  const names = new Names()
  const [one, other, third] = [1, 2, 3].map(() => LiveWorld.open(scenario, {}, names))
  t.deepEqual(differences(stateText(one!.snapshots), stateText(other!.snapshots)), [])
  one!.step(1, [])
  other!.step(1, [])
  const capture = one!.snapshots.capture()
  t.is(other!.snapshots.capture().a, capture.a)
  const lines = differences(stateText(one!.snapshots), stateText(third!.snapshots))
  t.true(
    lines.some((line) => line.endsWith('.up: 1, 0')),
    lines.join('\n'),
  )
})

test('why there are so many states: what differs where all tasks stand at the same places', async (t) => {
  const { states, groups, largest } = await checks.whyStates(shipped('pfncache-vs-memslot-delete'), { most: Infinity })
  t.true(groups < states)
  t.is(
    largest.reduce((sum, group) => sum + group.states, 0),
    states,
  )
  for (const group of largest) {
    t.is(group.differing.length > 0, group.states > 1)
    t.true(group.differing.every(({ count, values }) => count > 1 && values.length > 1))
  }
})
interface Level {
  readonly snapshot: Snapshot
  readonly answers: number
  next: number
}

/** What the hash is made from, read anew: the state in words, the clock and the memory. */
function wordsOf(snapshots: Snapshots): string {
  const text = [...stateText(snapshots)].map(([path, value]) => `${path}: ${value}`)
  const { memory, extra } = snapshots as unknown as SnapshotOptions
  return [...text, memory.snapshotHash(0), memory.snapshotHash(1), extra()].join('\n')
}

const READ_ANEW = isLong
  ? scenarios.filter((_, at) => at % 25 === 0).map(({ name }) => ({ name, states: 80 }))
  : [{ name: 'gpte-edit-vs-table-pageout-trap', states: 40 }]

for (const { name, states } of READ_ANEW) {
  test(`${name}: what is kept from one state to the next hashes as what is read anew`, async (t) => {
    t.timeout(600_000)
    const { LiveWorld } = await load<typeof import('../../src/check/explore/live-world.ts')>(
      '../../src/check/explore/live-world.js',
    )
    const { Names } = await load<typeof import('../../src/check/frames/state-hash.ts')>(
      '../../src/check/frames/state-hash.js',
    )
    const world = LiveWorld.open(shipped(name), {}, new Names())
    const { snapshots } = world
    const byHash = new Map<string, string>()
    const byWords = new Map<string, string>()
    const enter = (): Level | null => {
      snapshots.look()
      const [hash, words] = [`${snapshots.a} ${snapshots.b}`, wordsOf(snapshots)]
      const isNew = !byHash.has(hash)
      t.is(byHash.get(hash) ?? words, words)
      t.is(byWords.get(words) ?? hash, hash)
      byHash.set(hash, words)
      byWords.set(words, hash)
      return isNew ? { snapshot: snapshots.take(), answers: world.answers, next: 0 } : null
    }
    const path = [enter()!]
    for (let level = path[0]; level !== undefined && byHash.size < states; level = path.at(-1)) {
      snapshots.restore(level.snapshot)
      if (level.next === level.answers) path.pop()
      else if (world.step(level.next++, []) === 'open') {
        const entered = enter()
        if (entered !== null) path.push(entered)
      }
    }
    t.true(byHash.size > 10)
  })
}

test('a native build cannot be proved, and says so', async (t) => {
  await t.throwsAsync(async () => {
    const native = await import('../../src/check/index.ts')
    return native.prove(small['waiting']!)
  })
})

for (const name of isLong ? exhibits.map((each) => each.name) : ['no-retry', 'second-delete', 'clear-before-start']) {
  test(`${name}: the search over states finds the bug, and its schedule breaks the same native scenario`, async (t) => {
    t.timeout(600_000)
    const at = exhibits.findIndex((each) => each.name === name)
    const { found } = await prove(checks.withBug(checks.exhibits[at]!), { states: 4000 })
    if (found === null) {
      t.true(isLong)
      return
    }
    const run = await runClosely(withBug(exhibits[at]!), () => replay(decodeSchedule(found.schedule)))
    t.not(run.violation ?? run.failure, null)
    t.not(checks.violationOf(found.failure)?.invariant, undefined)
  })
}
