/** Faults that share mmuLock map at the same time, lose no entry to each other, and exclude whoever takes something away. */
import test from 'ava'
import { PAGE_SIZE } from '../../src/base/index.ts'
import { Kernel } from '../../src/host/index.ts'
import { Vm } from '../../src/mmu/index.ts'
import { random } from '../../src/sched/index.ts'
import { RAM, World, load, schedules, store } from './world.ts'

test('two faults hold the lock at once, one loses the race for an entry, and at rest all agrees', async (t) => {
  let [together, raced] = [0, 0]
  for (let seed = 1; seed <= schedules(20); seed++) {
    const kernel = new Kernel({ frames: 128, policy: random(seed, { period: 2 }) })
    await kernel.run(async () => {
      const world = await World.create(kernel, { vm: { mmuLock: 'shared' }, pages: 4, vcpus: 2 })
      const { mm, vm, vcpus } = world
      const detach = kernel.trace.attach(() => {
        if (vm.mmuRwLock!.holders().length === 2) together++
        world.auditStep((message) => t.fail(`seed ${seed}: ${message}`))
      })
      const tasks = vcpus.map((vcpu, id) =>
        kernel.spawn(`vcpu${id}`, async () => {
          for (let round = 0; round < 4; round++) {
            if (round % 2 === id) await load(vcpu, RAM + round)
            else await store(vcpu, RAM + round, round)
          }
          vcpu.exitGuest()
        }),
      )
      tasks.push(kernel.spawn('dontneed', () => mm.madvise(world.hva(1), 2 * PAGE_SIZE, 'dontneed')))
      for (const task of tasks) await kernel.sched.join(task)
      detach()
      world.auditRest((message) => t.fail(`seed ${seed}: ${message}`))
      raced += vm.stats.retriesRaced
      await world.close()
    })
  }
  t.true(together > 0, 'two faults were under the lock')
  t.true(raced > 0, 'an entry was set by another fault in between')
})

test('what replaces a table or a leaf takes the lock alone', async (t) => {
  const kernel = new Kernel({ frames: 1200 })
  await kernel.run(async () => {
    const mmap = { addr: 0x4000_0000 }
    const world = await World.create(kernel, { vm: { mmuLock: 'shared' }, pages: 512, mmap })
    const { mm, vm } = world
    const vcpu = world.vcpus[0]!
    await store(vcpu, RAM, 1)
    vcpu.exitGuest()
    t.is(vm.sptes.largest, 0)
    await mm.madvise(world.base, 512 * PAGE_SIZE, 'collapse')
    let sharing = 0
    kernel.trace.attach((event) => {
      if (event.name === 'kvm_mmu_prepare_zap_page' && !vm.mmuRwLock!.isWriteHeldByCurrent()) sharing++
    })
    t.is(await load(vcpu, RAM), 1)
    t.is(vm.sptes.largest, 1, 'a large leaf stands where the table was')
    t.is(sharing, 0)
    await world.close()
  })
})

test('a lock that faults share cannot spin', async (t) => {
  const kernel = new Kernel({ frames: 64, pageTableLock: 'spin' })
  await kernel.run(async () => {
    const mm = await kernel.createMm('guest')
    await t.throwsAsync(Vm.create(mm, { mmuLock: 'shared' }), { message: /mmuLock 'shared': it sleeps/ })
    await mm.exit()
  })
})
