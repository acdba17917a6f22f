/** The two steps that race are the last conflicting accesses of two tasks to the page. */
import test from 'ava'
import type { TraceEvent } from '../../src/base/index.ts'
import { racingOnObject, racingSteps } from '../../src/check/index.ts'

const step = (
  task: string,
  event: unknown,
): { event: TraceEvent; stamp: { task: string; pid: number; cpu: number; now: number } } => ({
  event: event as TraceEvent,
  stamp: { task, pid: 1, cpu: 0, now: 0 },
})

const clear = { name: 'clear_pte', mm: 1, hva: 0x5000, pfn: 7, writable: true }
const load = { name: 'mem_load', mm: 1, vcpu: 0, hva: 0x5000, size: 8, value: 1n, hpa: 0x7000 }
const bracket = { name: 'mm_range_end', mm: 1, operation: 'munmap', start: 0x5000, end: 0x6000 }
const page = { mm: 1, hva: 0x5000 }

test('a write and a later read of another task race; brackets and other pages do not', (t) => {
  const trace = [
    step('a', clear),
    step('a', bracket),
    step('b', { ...clear, hva: 0x9000 }),
    step('b', load),
    step('a', bracket),
  ]
  t.deepEqual(racingSteps(trace, page), [0, 3])
})

test('two reads, and two accesses of one task, do not race', (t) => {
  t.is(racingSteps([step('a', load), step('b', load)], page), null)
  t.is(racingSteps([step('a', clear), step('a', load)], page), null)
})

test('without a page: the last step of the failing task on a notifier, and the last of another one that it meets', (t) => {
  const unlink = { name: 'hlist_del_init_rcu', mm: 1, notifier: 2, client: 'x' }
  const callout = {
    name: 'mmu_notifier_callout_begin',
    mm: 1,
    notifier: 2,
    client: 'x',
    op: 'release',
    start: 0,
    end: 0,
  }
  const other = { ...unlink, notifier: 3 }
  const trace = [step('a', unlink), step('a', other), step('b', callout), step('b', load), step('a', load)]
  t.deepEqual(racingOnObject(trace, 'b'), [0, 2])
  t.is(racingOnObject([step('a', callout), step('b', callout)], 'b'), null)
  t.is(racingOnObject([step('a', load), step('b', load)], 'b'), null)
})
