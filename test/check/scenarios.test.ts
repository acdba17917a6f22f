/** The scenarios: what they leave to the explorer happens, and those that break the rules of a scenario are named. */
import test from 'ava'
import type { TraceEvent } from '../../src/base/index.ts'
import { nextPlan, scenarios } from '../../src/check/index.ts'
import type { RecordedEvent, Scenario } from '../../src/check/index.ts'
import { bounded } from '../../src/sched/index.ts'

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
