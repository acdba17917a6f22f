/** Coverage: what a search did not reach is named, and watching changes nothing. */
import test from 'ava'
import { PAGE_SIZE } from '../../src/base/index.ts'
import {
  Coverage,
  defineScenario,
  hunt,
  joinCoverage,
  scenarios,
  searchBounded,
  uncoveredPairs,
} from '../../src/check/index.ts'
import type { CoverageData, Scenario } from '../../src/check/index.ts'
import { SourceLines } from '../../src/cli/source-lines.ts'
import { Completion, Mutex, lockClass, random } from '../../src/sched/index.ts'
import { coverageLines } from '../../src/view/index.ts'

interface Meeting {
  readonly name: string
  readonly ready: Completion
}

/** Task b makes its one step after the two of task a, or whenever it likes. */
const meeting = (waits: boolean): Scenario =>
  defineScenario<Meeting>({
    name: 'meeting',
    what: 'two tasks write one object',
    invariants: [],
    world: { vm: null, pages: 1 },
    setup: ({ kernel }) => Promise.resolve({ name: 'shared', ready: new Completion(kernel.sched, 'ready') }),
    tasks: {
      a: async ({ kernel: { sched } }, shared) => {
        if (sched.contended) await sched.point(shared, 'w', 'one')
        if (sched.contended) await sched.point(shared, 'w', 'two')
        shared.ready.complete()
      },
      b: async ({ kernel: { sched } }, shared) => {
        if (waits) await shared.ready.wait()
        if (sched.contended) await sched.point(shared, 'w', 'three')
      },
    },
  })

async function explored(scenario: Scenario): Promise<CoverageData> {
  const coverage = new Coverage()
  await searchBounded(coverage.watch(scenario), { preemptions: 2 })
  return coverage.data()
}

const vacuous = ({ work }: CoverageData): string[] => work.filter(({ did }) => did === 0).map(({ what }) => what)

test('the site of a lock call is the line that calls it, not one of the lock', async (t) => {
  const classOf = lockClass({ name: 'lock', type: 'mutex', protects: 'nothing' })
  const scenario = defineScenario<Mutex>({
    name: 'locking',
    what: 'two tasks take one lock',
    invariants: [],
    world: { vm: null, pages: 1 },
    setup: ({ kernel }) => Promise.resolve(new Mutex(kernel.sched, classOf)),
    tasks: Object.fromEntries(
      ['a', 'b'].map((name) => [
        name,
        async (_: unknown, lock: Mutex) => {
          await lock.lock()
          lock.unlock()
        },
      ]),
    ),
  })
  const { steps } = (await explored(scenario)).orders
  const sites = steps.map((step) => new SourceLines().of(step.split('\t')[3]!))
  t.is(steps.length, 2)
  t.true(
    sites.every((site) => /test\/check\/coverage\.test\.ts:\d+$/.test(site)),
    sites.join(' '),
  )
})

test('an order that never ran is reported, with the lines of TypeScript', async (t) => {
  const data = await explored(meeting(true))
  const { count, uncovered } = uncoveredPairs(data.orders)
  const shared = uncovered.filter(({ object }) => object === 'shared')
  t.deepEqual(
    shared.map(({ first, second, ran }) => `${first.task} ${second.task} ${ran}`).toSorted(),
    ['a b false', 'a b true'],
    'two is always before three; one and three never side by side',
  )
  t.is(count.one + count.never, uncovered.length)
  const lines = new SourceLines()
  t.true(
    shared.every(({ first, second }) =>
      [first, second].every(({ site }) => /^test\/check\/coverage\.test\.ts:(3\d|4\d)$/.test(lines.of(site))),
    ),
    shared.map(({ first, second }) => `${lines.of(first.site)} ${lines.of(second.site)}`).join('; '),
  )
  const text = coverageLines([{ scenario: 'meeting', data }], (site) => lines.of(site)).join('\n')
  t.regex(
    text,
    /\none order +shared +test\/check\/coverage\.test\.ts:\d+ w \(a\) +test\/check\/coverage\.test\.ts:\d+ w \(b\)/,
  )
  t.regex(text, /\nnever +shared +/)
})

test('what ran in both orders is not', async (t) => {
  const { orders } = await explored(meeting(false))
  const { count, uncovered } = uncoveredPairs(orders)
  t.deepEqual(uncovered, [])
  t.deepEqual(count, { pairs: 2, both: 2, one: 0, never: 0 })
})

test('a hook that never had anything to do is reported, and one that had is not', async (t) => {
  const unmapped = defineScenario({
    name: 'nothing-mapped',
    what: 'the host drops a page that no guest has touched',
    invariants: [],
    tasks: { host: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed') },
  })
  const data = await explored(unmapped)
  t.true(vacuous(data).includes('invalidate_range_start zaps an spte'))
  t.regex(
    coverageLines([{ scenario: 'nothing-mapped', data }], String).join('\n'),
    /\nnothing-mapped +invalidate_range_start zaps an spte +3$/m,
  )
  const coverage = new Coverage()
  const warm = scenarios.find(({ name }) => name === 'dontneed-vs-warm')!
  await hunt(coverage.watch(warm), { schedules: 10 })
  t.false(vacuous(coverage.data()).includes('invalidate_range_start zaps an spte'))
})

test('a watched run is the same run, and coverage joins as a set', async (t) => {
  const coverage = new Coverage()
  for (const name of ['fork-vs-fault', 'unregister-vs-unmap', 'srcu-classic-two-updaters']) {
    const scenario = scenarios.find((each) => each.name === name)!
    const watched = coverage.watch(scenario)
    for (let seed = 1; seed <= 3; seed++) {
      const options = { record: true }
      const plain = await scenario.run(random(seed, { period: 3 }), options)
      const same = await watched.run(random(seed, { period: 3 }), options)
      t.is(same.digest, plain.digest, `${name} ${seed}`)
      t.is(same.schedule, plain.schedule)
    }
  }
  const data = coverage.data()
  t.deepEqual(joinCoverage([data, data]).orders, data.orders)
  const [a, b] = [await explored(meeting(true)), await explored(meeting(false))]
  t.deepEqual(joinCoverage([a, b]), joinCoverage([b, a]))
})
