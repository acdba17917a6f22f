/** A client that comes while the mm is being unmapped from all sides: it never sees the end of a window that it did not see begin. */
import test from 'ava'
import { KernelBug, KernelError, PAGE_SIZE } from '../../src/base/index.ts'
import { Kernel, Mm, punchHole } from '../../src/host/index.ts'
import type { KernelOptions } from '../../src/host/index.ts'
import { mmuNotifierRegister, mmuNotifierUnregister } from '../../src/notifier/index.ts'
import type { Pfn } from '../../src/base/index.ts'
import { random } from '../../src/sched/index.ts'

const PAGES = 4

/** Rmap walks go on beside a registration: what mm_take_all_locks is there to prevent. */
class CarelessMm extends Mm {
  override async mmTakeAllLocks(): Promise<void> {}
  override mmDropAllLocks(): void {}
}

class CarelessKernel extends Kernel {
  protected override newMm(id: number, name: string, root: Pfn): Mm {
    return new CarelessMm(this, id, name, root)
  }
}

async function race(kernel: Kernel, rounds: number): Promise<number> {
  let windows = 0
  await kernel.run(async () => {
    const mm = await kernel.createMm()
    const file = kernel.createFile({ size: PAGES * PAGE_SIZE })
    const shared = await mm.mmap({ length: PAGES * PAGE_SIZE, file, shared: true })
    const own = await mm.mmap({ length: PAGES * PAGE_SIZE })
    const thread = mm.createThread()
    const unmap = async (): Promise<void> => {
      for (let round = 0; round < rounds; round++) {
        await punchHole(file, (round % PAGES) * PAGE_SIZE, PAGE_SIZE)
        await kernel.reclaimPages(2)
      }
    }
    const touch = async (): Promise<void> => {
      for (let round = 0; round < rounds * PAGES; round++) {
        const page = (round % PAGES) * PAGE_SIZE
        await thread.store8(shared.start + page, 1)
        await thread.store8(own.start + page, 1)
      }
    }
    const come = async (): Promise<void> => {
      for (let round = 0; round < rounds; round++) {
        let open = 0
        const client = {
          invalidateRangeStart: () => {
            open++
            windows++
          },
          invalidateRangeEnd: () => {
            if (--open < 0) throw new KernelBug('a client saw the end of a window that began before it came', 'I6')
          },
        }
        const notifier = await mmuNotifierRegister(client, mm)
        for (let i = 0; i < 4; i++) await kernel.sched.yieldNow()
        await mmuNotifierUnregister(notifier, mm)
      }
    }
    const tasks = [unmap, unmap, touch, come].map((body, i) => kernel.spawn(`task${i}`, body))
    for (const task of tasks) await kernel.sched.join(task)
    thread.exit()
    await mm.exit()
    await file.put()
    kernel.assertBalanced()
  })
  return windows
}

const options = (seed: number): KernelOptions => ({ frames: 64, swapPages: 16, seed, policy: random(seed) })

test('registration waits for every window that is open', async (t) => {
  let windows = 0
  for (let seed = 1; seed <= 60; seed++) windows += await race(new Kernel(options(seed)), 6)
  t.true(windows > 100)
})

test('without the rmap locks it would see half a window', async (t) => {
  let found = 0
  for (let seed = 1; seed <= 60; seed++) {
    try {
      await race(new CarelessKernel(options(seed)), 6)
    } catch (error) {
      const cause = (error as Error).cause
      if (!(cause instanceof KernelBug) || cause instanceof KernelError || cause.invariant !== 'I6') throw error
      found++
    }
  }
  t.true(found > 0)
})
