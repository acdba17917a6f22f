/** Scenarios for the tests of `umbra check`: small, and each with another outcome. */
import { isMainThread } from 'node:worker_threads'
import { KernelBug } from '../../src/base/index.ts'
import { defineScenario } from '../../src/check/index.ts'
import type { Scenario } from '../../src/check/index.ts'

type Step = (order: string[]) => void

/** Two tasks of two steps each; `end` sees the order in which they were made. */
function small(name: string, end: Step, step: Step = () => undefined): Scenario {
  return defineScenario<string[]>({
    name,
    what: 'two tasks of two steps',
    invariants: ['I1'],
    world: { vm: null, pages: 1 },
    setup: async () => [],
    tasks: {
      a: async ({ kernel }, order) => {
        order.push('a1')
        if (kernel.sched.contended) await kernel.sched.point(order, 'w', 'a')
        order.push('a2')
        step(order)
      },
      b: async ({ kernel }, order) => {
        order.push('b1')
        if (kernel.sched.contended) await kernel.sched.point(order, 'w', 'b')
        order.push('b2')
      },
    },
    end: async (_world, order) => end(order),
  })
}

const fails = (invariant?: 'I1'): Step => {
  return (order) => {
    if (order.join(' ') === 'a1 b1 a2 b2') throw new KernelBug('the steps alternate', invariant)
  }
}

export const planted: readonly Scenario[] = [
  small('clean', () => undefined),
  small('broken', fails('I1')),
  small('failing', fails()),
  small(
    'deadly',
    () => undefined,
    () => {
      if (!isMainThread) process.exit(7)
    },
  ),
]
