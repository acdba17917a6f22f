/** The scenarios: what they leave to the explorer happens, and those that break the rules of a scenario are named. */
import test from 'ava'
import type { TraceEvent } from '../../src/base/index.ts'
import { defineScenario, findingOf, nextPlan, nondeterminismOf, scenarios } from '../../src/check/index.ts'
import type { RecordedEvent, Scenario, World } from '../../src/check/index.ts'
import { bounded } from '../../src/sched/index.ts'

const LONG = process.env['UMBRA_LONG'] === '1'

const named = (name: string): Scenario => scenarios.find((scenario) => scenario.name === name)!

/** Does some schedule within a bound leave an event like this? */
async function reaches(
  scenario: Scenario,
  bound: number,
  like: (event: TraceEvent, stamp: RecordedEvent['stamp']) => boolean,
): Promise<boolean> {
  for (let plan: number[] | null = []; plan !== null;) {
    const policy = bounded(plan)
    const run = await scenario.run(policy, { record: true })
    if (run.trace.some(({ event, stamp }) => like(event, stamp))) return true
    plan = nextPlan(policy.taken, bound)
  }
  return false
}

const oom = (event: TraceEvent): boolean => event.name === 'kvm_page_fault_done' && event.outcome === 'oom'
const fills: Parameters<typeof reaches>[2] = ({ name }, { task }) => name === 'kvm_tlb_fill' && task === 'hardware'

test('an allocation of a fault fails, with no preemption', async (t) => {
  t.true(await reaches(named('dontneed-vs-fault-no-memory'), 0, oom))
  t.true(await reaches(named('dontneed-vs-fault-no-memory-shadow'), 0, oom))
  t.false(await reaches(named('dontneed-vs-fault'), 0, oom))
})

test('hardware fills a TLB that no instruction asked for', async (t) => {
  t.true(await reaches(named('unmap-vs-speculation'), 0, fills))
  t.true(await reaches(named('unmap-vs-speculation-shadow'), 0, fills))
})

type Body = (world: World) => Promise<void>

const bad = (body: Body, more: { readonly setup?: Body; readonly end?: Body } = {}): Scenario =>
  defineScenario({
    name: 'bad',
    what: 'a mistake',
    invariants: [],
    world: { vm: null, pages: 1 },
    tasks: { one: body },
    ...more,
  })

const fine: Body = () => Promise.resolve()
const throws: Body = () => Promise.reject(new Error('not mine'))

test('a scenario that throws is reported with the task, or the stage, and the place', async (t) => {
  const place = String.raw`failed: not mine, at \S*scenarios\.test\.[jt]s:\d+:\d+`
  t.regex(findingOf(await bad(throws).run(bounded())) ?? '', new RegExp(`^task one ${place}`))
  t.regex(findingOf(await bad(fine, { setup: throws }).run(bounded())) ?? '', new RegExp(`^setup ${place}`))
  t.regex(findingOf(await bad(fine, { end: throws }).run(bounded())) ?? '', new RegExp(`^end ${place}`))
})

test('a scenario that awaits something foreign is reported with the task and its last switch point', async (t) => {
  const waits = bad(async ({ kernel }) => {
    await kernel.sched.yieldNow()
    await new Promise((resolve) => setTimeout(resolve, 1))
  })
  t.regex(findingOf(await waits.run(bounded())) ?? '', /^task one failed: foreign await: .*, after 'yield'/)
})

test('a scenario that never ends is I11, even if it leaves no event', async (t) => {
  const { violation } = await bad(async ({ kernel }) => {
    for (;;) await kernel.sched.yieldNow()
  }).run(bounded())
  t.is(violation?.invariant, 'I11')
  t.regex(violation?.what ?? '', /task one goes round and round, last at 'yield'/)
})

test('a scenario that is not a function of its schedule is found by two runs', async (t) => {
  let runs = 0
  const changes = bad(async ({ thread, ram }) => thread.store64(ram, BigInt(++runs)))
  t.regex((await nondeterminismOf(changes)) ?? '', /^event \d+ is mem_store of one .*value=1.* and mem_store .*value=2/)
  t.is(await nondeterminismOf(bad(fine)), null)
})

test('the shipped scenarios are functions of their schedules', async (t) => {
  for (const [index, scenario] of scenarios.entries()) {
    if (!LONG && index % 16 !== 0) continue
    t.is(await nondeterminismOf(scenario), null, scenario.name)
  }
})
