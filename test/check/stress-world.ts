/**
 * Random host operations against random guest accesses under a random schedule: a seed fixes all of it, the modes too.
 */
import { KernelError, PAGE_SIZE } from '../../src/base/index.ts'
import type { Random } from '../../src/base/index.ts'
import { Kernel } from '../../src/host/index.ts'
import type { KernelOptions } from '../../src/host/index.ts'
import { random } from '../../src/sched/index.ts'
import { guestLoad, guestStore, inSmallWorld } from './small-world.ts'
import type { SmallWorld, SmallWorldOptions, Verdict } from './small-world.ts'

const PAGES = 4

/** Every combination of modes comes up as the seed counts. */
function modesOf(seed: number): SmallWorldOptions {
  return {
    kernel: {
      seed,
      policy: random(seed, { period: 2 + (seed % 4), migrate: seed % 5 === 0 }),
      frames: seed % 6 === 0 ? 64 : 256,
      swapPages: seed % 7 === 0 ? 2 : 32,
      pageTableLock: seed % 3 === 0 ? 'spin' : 'sleep',
      srcu: (['tiny', 'classic', 'counted'] as const)[seed % 3]!,
      changePte: seed % 4 === 0 ? 'unbracketed' : 'bracketed',
    },
    pages: PAGES,
    shared: seed % 5 === 1,
    vm: { paging: seed % 2 === 0 ? 'two-dimensional' : 'shadow' },
  }
}

async function guest(world: SmallWorld, rng: Random): Promise<void> {
  for (let step = 0; step < 15; step++) {
    const page = rng.below(PAGES)
    if (rng.below(2) === 0) await guestLoad(world, page)
    else await guestStore(world, page, BigInt(step + 1))
    if (rng.oneIn(3)) await world.vcpu.quantumEnd()
  }
  world.vcpu.exitGuest()
}

/** One host operation on a random page. The guest may run into what it did; the host thread gets an error. */
async function hostOperation(world: SmallWorld, rng: Random): Promise<void> {
  const { kernel, mm, ram, thread } = world
  const at = ram + rng.below(PAGES) * PAGE_SIZE
  switch (rng.below(9)) {
    case 0:
      return mm.madvise(at, PAGE_SIZE, 'dontneed')
    case 1:
      await mm.mprotect(at, PAGE_SIZE, 'r')
      return mm.mprotect(at, PAGE_SIZE, 'rw')
    case 2: {
      const child = await mm.fork('child')
      const childThread = child.createThread()
      try {
        await childThread.store64(at, rng.next64())
        await childThread.load64(ram)
      } finally {
        await child.exit()
      }
      return
    }
    case 3:
      await kernel.reclaimPages(3)
      return
    case 4:
      return thread.store64(at, rng.next64())
    case 5:
      await thread.load64(at)
      return
    case 6:
      await mm.madvise(ram, PAGES * PAGE_SIZE, 'mergeable')
      await kernel.ksm.scan()
      await kernel.ksm.scan()
      return
    case 7:
      return mm.madvise(at, PAGE_SIZE, 'free')
    default:
      await mm.mmap({ addr: at, length: PAGE_SIZE, fixed: true })
  }
}

async function storm(world: SmallWorld, rng: Random): Promise<void> {
  for (let step = 0; step < 5; step++) {
    try {
      await hostOperation(world, rng)
    } catch (failure) {
      if (!(failure instanceof KernelError)) throw failure
    }
  }
}

/** Runs the world of a seed; `seen` gets its kernel before anything happens in it. */
export function stressWorld(seed: number, seen: (kernel: Kernel) => void = () => {}): Promise<Verdict> {
  class SeenKernel extends Kernel {
    constructor(options: KernelOptions = {}) {
      super(options)
      seen(this)
    }
  }
  return inSmallWorld({ ...modesOf(seed), parts: { kernel: SeenKernel } }, async (world) => {
    const { kernel } = world
    const tasks = [kernel.spawn('vcpu0', () => guest(world, kernel.random.stream('guest')))]
    for (const name of ['storm0', 'storm1']) {
      tasks.push(kernel.spawn(name, () => storm(world, kernel.random.stream(name))))
    }
    for (const task of tasks) await kernel.sched.join(task)
  })
}
