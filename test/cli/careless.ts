/** Scenarios that break a rule of scenarios or of hooks, each another one: what `umbra check` must name. */
import { setTimeout } from 'node:timers/promises'
import { KernelError, PAGE_SIZE } from '../../src/base/index.ts'
import { defineScenario } from '../../src/check/index.ts'
import type { Scenario, World } from '../../src/check/index.ts'
import { mmuNotifierRegister, mmuNotifierUnregister } from '../../src/notifier/index.ts'
import type { MmuNotifier, MmuNotifierOps } from '../../src/notifier/index.ts'

const careless = (name: string, task: (world: World) => Promise<void>): Scenario =>
  defineScenario({
    name,
    what: 'a task that breaks a rule',
    invariants: ['I1'],
    world: { vm: null, pages: 1 },
    tasks: { careless: task, other: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed') },
  })

/** A client whose hook does something. */
const hooked = (name: string, hook: (world: World, own: () => MmuNotifier) => Promise<void>): Scenario =>
  defineScenario<{ notifier: MmuNotifier | null }>({
    name,
    what: 'a hook that breaks a rule',
    invariants: ['I8'],
    world: { vm: null, pages: 1 },
    async setup(world) {
      const state: { notifier: MmuNotifier | null } = { notifier: null }
      const ops: MmuNotifierOps = { invalidateRangeStart: () => hook(world, () => state.notifier!) }
      await world.thread.store64(world.ram, 1n)
      state.notifier = await mmuNotifierRegister(ops, world.mm)
      return state
    },
    tasks: {
      host: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
      other: async ({ thread, ram }) => void (await thread.load64(ram)),
    },
  })

let runs = 0

const nothing = async (): Promise<void> => undefined

export const scenarios: readonly Scenario[] = [
  careless('foreign', async () => setTimeout(1)),
  careless('endless', async ({ kernel }) => {
    for (;;) await kernel.sched.yieldNow()
  }),
  careless('hangs', async ({ kernel }) => {
    let turns = 0
    while (kernel.sched.now >= 0) turns++
    if (turns === 0) await kernel.sched.yieldNow()
  }),
  careless('hangs-late', async ({ kernel, mm }) => {
    const { users } = mm
    // Never in the first schedule, in which this task comes first.
    if (kernel.sched.choose(2, 'hang') === 1) while (mm.users === users);
  }),
  careless('hangs-in-promises', async ({ kernel }) => {
    outer: for (;;)
      for (; kernel.sched.now >= 0;) {
        await nothing()
        continue outer
      }
  }),
  careless('throws', () => {
    throw new TypeError('the client is broken')
  }),
  careless('moody', async ({ thread, ram }) => {
    if (runs++ % 2 === 0) await thread.store64(ram, 1n)
  }),
  hooked('unregister-in-hook', async ({ mm }, own) => mmuNotifierUnregister(own(), mm)),
  hooked('synchronize-in-hook', ({ kernel }) => kernel.srcu.synchronize()),
  hooked('allocate-in-hook', async ({ kernel }) => {
    try {
      kernel.putPage(await kernel.allocator.allocPages(0, 'anon', 0))
    } catch (error) {
      if (!(error instanceof KernelError)) throw error
    }
  }),
]
