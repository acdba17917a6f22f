/** Scenarios that no kernel is needed for: what a proof must find, must not find, and cannot see. */
import { KernelBug } from '../../src/base/index.ts'
import { defineScenario } from '../../src/check/index.ts'
import type { Scenario, World } from '../../src/check/index.ts'
import { Mutex, lockClass } from '../../src/sched/index.ts'

const world = { vm: null, pages: 1 } as const
const invariants = ['I11'] as const

class Flags {
  up = 0
  turns = 0
}

/** No state by its own word, and yet it decides. */
class Unnamed {
  static readonly opaque = true
  last = 0
}

const flags = { what: 'tasks and flags', invariants, world, setup: async () => new Flags() }

async function spin({ kernel }: World, until: () => boolean): Promise<void> {
  while (!until()) await kernel.sched.yieldNow()
}

const classes = ['first', 'second'].map((name) => lockClass({ name, type: 'mutex', protects: 'nothing' }))

export const small: Readonly<Record<string, Scenario>> = {
  waiting: defineScenario<Flags>({
    ...flags,
    name: 'waiting',
    tasks: {
      waits: (here, state) => spin(here, () => state.up === 1),
      raises: async ({ kernel }, state) => {
        await kernel.sched.yieldNow()
        state.up = 1
      },
    },
  }),
  livelock: defineScenario<Flags>({
    ...flags,
    name: 'livelock',
    tasks: {
      // Each waits for the other to have gone first, unless somebody was told to.
      one: (here, state) => spin(here, () => state.up === 2),
      other: (here, state) => spin(here, () => state.up === 1),
    },
  }),
  deadlock: defineScenario<readonly Mutex[]>({
    ...flags,
    name: 'deadlock',
    setup: async ({ kernel }) => classes.map((each) => new Mutex(kernel.sched, each)),
    tasks: {
      forwards: async ({ kernel }, [first, second]) => {
        await first!.lock()
        await kernel.sched.yieldNow()
        await second!.lock()
        second!.unlock()
        first!.unlock()
      },
      backwards: async ({ kernel }, [first, second]) => {
        await second!.lock()
        await kernel.sched.yieldNow()
        await first!.lock()
        first!.unlock()
        second!.unlock()
      },
    },
  }),
  choice: defineScenario<Flags>({
    ...flags,
    name: 'choice',
    tasks: {
      chooses: async ({ kernel }, state) => {
        await kernel.sched.yieldNow()
        if (kernel.sched.choose(3, 'one of three') === 2 && state.up === 1) throw new KernelBug('the third', 'I7')
      },
      raises: async ({ kernel }, state) => {
        state.up = 1
        await kernel.sched.yieldNow()
        state.up = 0
      },
    },
  }),
  unnamed: defineScenario<{ readonly unnamed: Unnamed; readonly one: Flags; readonly other: Flags }>({
    ...flags,
    name: 'unnamed',
    setup: async () => ({ unnamed: new Unnamed(), one: new Flags(), other: new Flags() }),
    tasks: {
      one: async ({ kernel }, { unnamed, one }) => {
        await kernel.sched.yieldNow()
        unnamed.last = 1
        one.up = 1
        await kernel.sched.yieldNow()
      },
      other: async ({ kernel }, { unnamed, other }) => {
        await kernel.sched.yieldNow()
        other.up = unnamed.last
        unnamed.last = 0
        await kernel.sched.yieldNow()
      },
    },
  }),
  hidden: defineScenario<{ readonly inner: { readonly held: object } }>({
    ...flags,
    name: 'hidden',
    setup: async () => ({ inner: { held: new Date() } }),
    tasks: {
      one: async ({ kernel }, state) => {
        await kernel.sched.yieldNow()
        if (state.inner.held === null) throw new KernelBug('never')
      },
      other: ({ kernel }) => kernel.sched.yieldNow(),
    },
  }),
}

/** As an operand of `umbra check` finds them. */
export const list: readonly Scenario[] = Object.values(small)
