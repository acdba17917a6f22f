/** What outlives what: VMs, mms, cached host addresses, and vCPUs that run meanwhile. */
import test from 'ava'
import { KernelError, PAGE_SIZE, gpa } from '../../src/base/index.ts'
import { GfnToPfnCache } from '../../src/mmu/index.ts'
import type { Vm } from '../../src/mmu/index.ts'
import { random } from '../../src/sched/index.ts'
import { RAM, inWorld, load, store } from './world.ts'
import type { World } from './world.ts'

/** Runs a body that may end the VM or the mm under running vCPUs. @returns what went wrong */
async function underVcpus(
  seed: number,
  paging: 'two-dimensional' | 'shadow',
  body: (world: World) => Promise<void>,
): Promise<string[]> {
  const problems: string[] = []
  const fail = (message: string): void => void problems.push(`seed ${seed}: ${message}`)
  const kernel = { policy: random(seed, { period: 3 }) }
  await inWorld({ vm: { paging }, kernel, vcpus: 2, tlbEntries: 4 }, async (world) => {
    const detach = world.kernel.trace.attach((event) => {
      if (event.name === 'mm_page_free') world.auditStep(fail)
    })
    const tasks = world.vcpus.map((vcpu) =>
      world.kernel.spawn(`vcpu${vcpu.id}`, async () => {
        try {
          for (let round = 0; round < 10; round++) {
            const page = RAM + ((round + vcpu.id) % 4)
            const result = round % 2 === 0 ? await store(vcpu, page, round) : await load(vcpu, page)
            if (result === 'efault') break
            await vcpu.quantumEnd()
          }
        } catch (error) {
          if (!(error instanceof KernelError) || error.code !== 'EIO') throw error
        }
        vcpu.exitGuest()
      }),
    )
    await body(world)
    for (const task of tasks) await world.kernel.sched.join(task)
    detach()
  })
  return problems
}

for (const paging of ['two-dimensional', 'shadow'] as const) {
  test(`an mm exits under running vCPUs, 60 random schedules: ${paging}`, async (t) => {
    for (let seed = 0; seed < 60; seed++) {
      const problems = await underVcpus(seed, paging, async ({ kernel, mm, vm }) => {
        await mm.exit()
        t.is(vm.sptes.count, 0, `seed ${seed}`)
        await kernel.sched.sleep(1_000_000)
        await vm.destroy()
        kernel.assertBalanced()
      })
      t.deepEqual(problems, [])
    }
  })

  test(`a VM is destroyed under running vCPUs, 60 random schedules: ${paging}`, async (t) => {
    for (let seed = 0; seed < 60; seed++) {
      const problems = await underVcpus(seed, paging, async ({ kernel, mm, vm }) => {
        await vm.destroy()
        t.is(vm.figures().tableFrames, 0, `seed ${seed}`)
        t.is(kernel.vms.size, 0)
        await kernel.sched.sleep(1_000_000)
        t.is(vm.figures().tableFrames, 0, `seed ${seed}: nothing is made after its end`)
        await mm.exit()
        kernel.assertBalanced()
      })
      t.deepEqual(problems, [])
    }
  })

  test(`every table is given up and made again under running vCPUs, 60 random schedules: ${paging}`, async (t) => {
    let stale = 0
    for (let seed = 0; seed < 60; seed++) {
      const problems = await underVcpus(seed, paging, async ({ kernel, mm, vm }) => {
        for (let round = 0; round < 3; round++) {
          await vm.zapAllTables('obsolete-root')
          await kernel.sched.yieldNow()
        }
        stale += vm.stats.retriesRoot
        await kernel.sched.sleep(1_000_000)
        await vm.destroy()
        await mm.exit()
        kernel.assertBalanced()
      })
      t.deepEqual(problems, [])
    }
    t.true(stale > 0, 'a fault met an obsolete root')
  })
}

test('a cached host address is dropped, found again, and belongs to the address it is asked for', async (t) => {
  await inWorld({}, async (world) => {
    const { mm, vm } = world
    const thread = mm.createThread()
    const cache = new GfnToPfnCache(vm)
    await cache.activate(gpa(RAM * PAGE_SIZE + 16))
    await cache.write(0, new Uint8Array([1]))
    t.is(await thread.load8(world.hva(0) + 16), 1)
    await mm.madvise(world.hva(0), PAGE_SIZE, 'dontneed')
    t.false(cache.check())
    await cache.write(0, new Uint8Array([2]))
    t.is(await thread.load8(world.hva(0) + 16), 2)
    await vm.setMemslot({ id: 9, gpa: 0x1000, length: PAGE_SIZE, hva: world.hva(5) })
    t.false(cache.check(), 'slots have changed')
    await cache.refresh(gpa(0x1000))
    await cache.write(0, new Uint8Array([3]))
    t.is(await thread.load8(world.hva(5)), 3)
    t.is(await thread.load8(world.hva(0) + 16), 2)
    await t.throwsAsync(cache.refresh(gpa(0x9000)), { message: /no writable memslot/ })
    t.false(cache.check())
    cache.deactivate()
    thread.exit()
    await world.close()
  })
})

class Eager extends GfnToPfnCache {
  protected override mustRetry(): boolean {
    return false
  }
}

/** A writer keeps a host address at hand while the page is taken away. @returns what went wrong */
async function cacheStorm(seed: number, cacheClass: new (vm: Vm) => GfnToPfnCache): Promise<string[]> {
  const problems: string[] = []
  await inWorld({ kernel: { policy: random(seed, { period: 3 }), swapPages: 16 } }, async (world) => {
    const { kernel, mm, vm } = world
    const cache = new cacheClass(vm)
    await cache.activate(gpa(RAM * PAGE_SIZE))
    const detach = kernel.trace.attach((event) => {
      if (event.name !== 'mm_page_free') return
      if (cache.check() && kernel.pages.kind[cache.pfn] === 0)
        problems.push(`seed ${seed}: cached frame ${cache.pfn} is free`)
    })
    const writer = kernel.spawn('writer', async () => {
      for (let round = 0; round < 6; round++) {
        await cache.write(0, new Uint8Array([round]))
        await kernel.sched.yieldNow()
      }
    })
    for (let round = 0; round < 3; round++) {
      await mm.madvise(world.hva(0), PAGE_SIZE, 'dontneed')
      await mm.madvise(world.hva(0), PAGE_SIZE, 'pageout')
    }
    await kernel.sched.join(writer)
    cache.deactivate()
    detach()
    await world.close()
  })
  return problems
}

test('a cached host address never names a freed frame, 200 random schedules', async (t) => {
  for (let seed = 0; seed < 200; seed++) t.deepEqual(await cacheStorm(seed, GfnToPfnCache), [])
})

test('found within 400 schedules: a cached address is taken during an invalidation', async (t) => {
  for (let seed = 0; seed < 400; seed++) if ((await cacheStorm(seed, Eager)).length > 0) return t.pass(`seed ${seed}`)
  return t.fail('not found')
})
