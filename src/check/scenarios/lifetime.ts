/** Clients that come and go, while their mm changes or ends. */
import { KernelBug, PAGE_SIZE, hva } from '../../base/index.ts'
import type { Mm } from '../../host/index.ts'
import {
  EAGAIN,
  MmuNotifier,
  mmuNotifierGet,
  mmuNotifierPut,
  mmuNotifierRange,
  mmuNotifierRegister,
  mmuNotifierSynchronize,
  mmuNotifierUnregister,
} from '../../notifier/index.ts'
import type { MmuNotifierOps } from '../../notifier/index.ts'
import type { Scheduler } from '../../sched/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { pageOf, runGuest } from '../world.ts'
import type { World, WorldOptions } from '../world.ts'
import { WatchfulClient } from './client.ts'
import { PAGING, pagingWorld, suffixOf } from './host-against-guest.ts'

interface Registered {
  readonly client: WatchfulClient
  readonly notifier: MmuNotifier
}

const NO_VM: WorldOptions = { pages: 1, vm: null, kernel: { swapPages: 4 } }

async function register(world: World, mm: Mm = world.mm, name = 'client'): Promise<Registered> {
  const client = new WatchfulClient(world.kernel.sched, name)
  return { client, notifier: await mmuNotifierRegister(client, mm) }
}

async function unregister({ client, notifier }: Registered, mm: Mm): Promise<void> {
  await mmuNotifierUnregister(notifier, mm)
  client.isGone = true
}

const dontneed = (world: World, page = 0): Promise<void> => world.mm.madvise(pageOf(world, page), PAGE_SIZE, 'dontneed')

/** A start that fails, where it may not sleep and would have to. A client whose start can fail has no end hook. */
class Refuses implements MmuNotifierOps {
  readonly name = 'refuses'
  private readonly sched: Scheduler

  constructor(sched: Scheduler) {
    this.sched = sched
  }

  invalidateRangeStart({ blockable }: { readonly blockable: boolean }): number {
    if (blockable) return 0
    return this.sched.choosing && this.sched.choose(2, 'would it block') === 1 ? 0 : -EAGAIN
  }
}

/** One notifier an mm, counted. */
class Counted implements MmuNotifierOps {
  readonly name = 'counted'
  freed = 0

  allocNotifier(): MmuNotifier {
    return new MmuNotifier(this)
  }

  freeNotifier(): void {
    this.freed++
  }

  invalidateRangeStart(): void {
    if (this.freed > 1) throw new KernelBug('a hook of a freed notifier runs', 'I5')
  }
}

export const lifetimeScenarios: readonly Scenario[] = [
  defineScenario<Registered>({
    name: 'unregister-vs-unmap',
    what: 'unregister while munmap is in its window',
    invariants: ['I5', 'I6', 'I8'],
    world: NO_VM,
    async setup(world) {
      await world.thread.store64(world.ram, 1n)
      return await register(world)
    },
    tasks: {
      unmap: ({ mm, ram }) => mm.munmap(ram, PAGE_SIZE),
      unregister: ({ mm }, state) => unregister(state, mm),
    },
  }),
  defineScenario<Registered>({
    name: 'exit-unregister-reclaim',
    what: 'exit of the mm, unregister, and reclaim of its pages meet',
    invariants: ['I5', 'I2', 'I8'],
    world: NO_VM,
    async setup(world) {
      await world.thread.store64(world.ram, 1n)
      return await register(world)
    },
    tasks: {
      exit: ({ mm }) => mm.exit(),
      unregister: ({ mm }, state) => unregister(state, mm),
      reclaim: async ({ kernel }) => {
        await kernel.reclaimPages(1)
      },
    },
  }),
  ...PAGING.flatMap((paging) => [
    defineScenario({
      name: `exit-vs-destroy${suffixOf(paging)}`,
      what: `exit of the mm and the end of its VM meet (${paging})`,
      invariants: ['I5', 'I2', 'I8'],
      world: pagingWorld(paging),
      setup: (world) => world.thread.store64(world.ram, 1n),
      tasks: {
        exit: ({ mm }) => mm.exit(),
        destroy: ({ vm }) => vm.destroy(),
      },
    }),
    defineScenario({
      name: `destroy-vs-fault-vs-dontneed${suffixOf(paging)}`,
      what: `a VM ends while a vCPU faults and a page goes (${paging})`,
      invariants: ['I5', 'I2', 'I8'],
      world: pagingWorld(paging),
      setup: (world) => world.thread.store64(world.ram, 1n),
      tasks: {
        vcpu: (world) => runGuest(world, [{ load: 0 }]),
        destroy: ({ vm }) => vm.destroy(),
        host: (world) => dontneed(world),
      },
    }),
  ]),
  defineScenario<{ readonly a: Registered; readonly b: Registered; readonly other: Mm }>({
    name: 'two-mms-one-srcu',
    what: 'unregister in one mm waits for a hook of another, under the one SRCU',
    invariants: ['I5', 'I8'],
    world: NO_VM,
    async setup(world) {
      await world.thread.store64(world.ram, 1n)
      const other = await world.kernel.createMm('other')
      const b = await register(world, other, 'b')
      return { a: await register(world, world.mm, 'a'), b, other }
    },
    tasks: {
      host: (world) => dontneed(world),
      unregister: (_world, { b, other }) => unregister(b, other),
      exit: ({ mm }) => mm.exit(),
    },
    async end({ mm }, { a, other }) {
      await unregister(a, mm)
      await other.exit()
    },
  }),
  defineScenario<readonly [Registered, MmuNotifier]>({
    name: 'failed-start-two-clients',
    what: 'a non-blocking start that one of two clients refuses, against a blocking one',
    invariants: ['I6', 'I13'],
    world: NO_VM,
    async setup(world) {
      const watchful = await register(world)
      return [watchful, await mmuNotifierRegister(new Refuses(world.kernel.sched), world.mm)]
    },
    tasks: {
      nonblocking: async (world) => {
        const { mm, ram } = world
        const range = mmuNotifierRange(mm, hva(ram), hva(ram + PAGE_SIZE), 'CLEAR', { blockable: false })
        if ((await mm.invalidateRangeStart(range)) === 0) await mm.invalidateRangeEnd(range)
      },
      host: (world) => dontneed(world),
    },
    async end({ mm }, [watchful, refuses]) {
      watchful.client.settle()
      await mmuNotifierUnregister(refuses, mm)
      await unregister(watchful, mm)
    },
  }),
  defineScenario<Counted>({
    name: 'get-put',
    what: 'mmu_notifier_get and put of two users, while a page goes',
    invariants: ['I5', 'I14'],
    world: NO_VM,
    async setup({ thread, ram }) {
      await thread.store64(ram, 1n)
      return new Counted()
    },
    tasks: {
      first: async ({ mm }, ops) => mmuNotifierPut(await mmuNotifierGet(ops, mm)),
      second: async ({ mm }, ops) => mmuNotifierPut(await mmuNotifierGet(ops, mm)),
      host: (world) => dontneed(world),
    },
    async end({ kernel }, ops) {
      await mmuNotifierSynchronize(kernel.srcu)
      if (ops.freed === 0 || ops.freed > 2) throw new KernelBug(`the notifier was freed ${ops.freed} times`, 'I14')
    },
  }),
]
