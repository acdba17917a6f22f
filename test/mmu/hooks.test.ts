/** Each hook of the VM's notifier, on the real host. */
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { PAGE_SIZE, hpa, hva } from '../../src/base/index.ts'
import type { Hva, TraceEvent } from '../../src/base/index.ts'
import { oomReapMm } from '../../src/host/index.ts'
import {
  mmuNotifierClearFlushYoung,
  mmuNotifierClearYoung,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierRange,
  mmuNotifierTestYoung,
} from '../../src/notifier/index.ts'
import type { Vcpu } from '../../src/mmu/index.ts'
import { random } from '../../src/sched/index.ts'
import { RAM, inWorld, load, schedules, store } from './world.ts'
import type { World } from './world.ts'

const MODES = [
  { paging: 'two-dimensional', pageTableLock: 'sleep' },
  { paging: 'two-dimensional', pageTableLock: 'spin' },
  { paging: 'shadow', pageTableLock: 'sleep' },
  { paging: 'shadow', pageTableLock: 'spin' },
] as const

/** Runs the body in a world for each way of paging and of locking. */
function eachMode(name: string, body: (t: ExecutionContext, world: World) => Promise<void>): void {
  for (const { paging, pageTableLock } of MODES) {
    test(`${name} (${paging}, page-table lock ${pageTableLock})`, async (t) => {
      await inWorld({ vm: { paging }, kernel: { pageTableLock, swapPages: 16 } }, async (world) => {
        await body(t, world)
        await world.close()
      })
    })
  }
}

/** One access of a vCPU that is outside guest mode afterwards. */
async function touch(vcpu: Vcpu, page: number, value?: number): Promise<unknown> {
  const result = value === undefined ? await load(vcpu, RAM + page) : await store(vcpu, RAM + page, value)
  vcpu.exitGuest()
  return result
}

const window = (world: World, page: number): readonly [Hva, Hva] => [world.hva(page), world.hva(page + 1)]

eachMode('a page is young once for each use, and the next use shows again', async (t, world) => {
  const { mm, vm } = world
  const vcpu = world.vcpus[0]!
  const [start, end] = window(world, 2)
  t.false(await mmuNotifierClearFlushYoung(mm, start, end))
  await touch(vcpu, 2)
  t.true(await mmuNotifierTestYoung(mm, start))
  t.true(await mmuNotifierTestYoung(mm, start), 'asking changes nothing')
  t.true(await mmuNotifierClearFlushYoung(mm, start, end))
  t.false(await mmuNotifierTestYoung(mm, start))
  t.false(await mmuNotifierClearFlushYoung(mm, start, end))
  const { faults } = vm.stats
  await touch(vcpu, 2)
  t.is(vm.stats.faults, faults, 'aging drops no spte')
  t.true(await mmuNotifierTestYoung(mm, start), 'the flush made the walker set A again')
  t.true(await mmuNotifierClearYoung(mm, start, end))
  t.false(await mmuNotifierTestYoung(mm, start))
})

eachMode('what was used or written is told to the page before the spte goes', async (t, world) => {
  const { mm, vm } = world
  const vcpu = world.vcpus[0]!
  await mm.madvise(world.hva(0), PAGE_SIZE, 'populateWrite')
  await touch(vcpu, 0)
  const { faults, dirtyHandedOver } = vm.stats
  await touch(vcpu, 0, 1)
  t.is(vm.stats.faults, faults, 'the page was mapped writable by the load: no fault tells of the store')
  await mm.mprotect(world.hva(0), PAGE_SIZE, 'r')
  t.is(vm.stats.dirtyHandedOver, dirtyHandedOver + 1)
  await touch(vcpu, 0)
  await mm.mprotect(world.hva(0), PAGE_SIZE, 'rw')
  t.is(vm.stats.dirtyHandedOver, dirtyHandedOver + 1, 'a load makes nothing dirty')
})

eachMode('a range without a slot takes no lock; one with a slot counts and counts back', async (t, world) => {
  const { mm, vm } = world
  await mm.mmap({ length: PAGE_SIZE, addr: 0x2000_0000, fixed: true })
  const outside = mmuNotifierRange(mm, hva(0x2000_0000), hva(0x2000_1000), 'CLEAR')
  t.is(await mmuNotifierInvalidateRangeStart(outside), 0)
  t.is(vm.stats.invalidations, 0)
  t.is(vm.invalidation.active, 1)
  await mmuNotifierInvalidateRangeEnd(outside)
  t.is(vm.invalidation.active, 0)
  const inside = mmuNotifierRange(mm, ...window(world, 1), 'CLEAR')
  const { seq } = vm.invalidation
  await mmuNotifierInvalidateRangeStart(inside)
  t.true(vm.invalidation.covers(RAM + 1))
  t.false(vm.invalidation.covers(RAM + 2))
  t.is(vm.invalidation.seq, seq)
  await mmuNotifierInvalidateRangeEnd(inside)
  t.false(vm.invalidation.covers(RAM + 1))
  t.is(vm.invalidation.seq, seq + 1)
})

eachMode('start returns only after the vCPU that could use the translation has left guest mode', async (t, world) => {
  const { kernel, mm } = world
  const vcpu = world.vcpus[0]!
  await touch(vcpu, 1, 1)
  const events: string[] = []
  const wanted = new Set([
    'kvm_mmu_zap_spte',
    'kvm_vcpu_kick',
    'kvm_vcpu_ack',
    'kvm_tlb_flush',
    'mmu_notifier_invalidate_range_started',
    'clear_pte',
    'mm_page_free',
  ])
  const detach = kernel.trace.attach((event: TraceEvent) => {
    if (wanted.has(event.name)) events.push(event.name)
  })
  let running = true
  const guest = kernel.spawn('vcpu', async () => {
    await vcpu.enterGuest()
    while (running) {
      vcpu.translateRead((RAM + 1) as never)
      await vcpu.quantumEnd()
    }
    vcpu.exitGuest()
  })
  await kernel.sched.yieldNow()
  await mm.madvise(world.hva(1), PAGE_SIZE, 'dontneed')
  running = false
  await kernel.sched.join(guest)
  detach()
  const first = (name: string): number => events.indexOf(name)
  const order = [
    'kvm_mmu_zap_spte',
    'kvm_vcpu_kick',
    'kvm_vcpu_ack',
    'mmu_notifier_invalidate_range_started',
    'clear_pte',
  ]
  t.deepEqual(
    order.toSorted((a, b) => first(a) - first(b)),
    order,
  )
  t.true(first('mm_page_free') > first('clear_pte'))
  t.true(first('kvm_tlb_flush') > first('kvm_vcpu_ack'))
})

eachMode('a non-blockable invalidation zaps and flushes without sleeping', async (t, world) => {
  const { kernel, mm, vm } = world
  const vcpu = world.vcpus[0]!
  await touch(vcpu, 1, 1)
  let running = true
  const guest = kernel.spawn('vcpu', async () => {
    await vcpu.enterGuest()
    while (running) await vcpu.quantumEnd()
    vcpu.exitGuest()
  })
  await kernel.sched.yieldNow()
  t.true(await oomReapMm(mm))
  t.is(vm.sptes.count, 0)
  t.true(vm.stats.flushesWaited > 0)
  running = false
  await kernel.sched.join(guest)
  t.is(await touch(vcpu, 1), 0)
})

eachMode('release drops everything, and may come twice', async (t, world) => {
  const { vm } = world
  const vcpu = world.vcpus[0]!
  for (let page = 0; page < 4; page++) await touch(vcpu, page, page)
  t.is(vm.sptes.count, 4)
  await vm.notifier.release()
  t.is(vm.sptes.count, 0)
  await vm.notifier.release()
  t.is(vm.stats.zapped.release, 4)
  t.is(await touch(vcpu, 1), 1)
})

for (const { paging, pageTableLock } of MODES) {
  test(`never 'old' for a page used since the last clear, random schedules (${paging}, ${pageTableLock})`, async (t) => {
    let young = 0
    for (let seed = 0; seed < schedules(15); seed++) {
      const kernel = { policy: random(seed, { period: 2 }), pageTableLock }
      await inWorld({ vm: { paging }, kernel, vcpus: 2, tlbEntries: 4, pages: 2 }, async (world) => {
        const used = [false, false]
        const tasks = world.vcpus.map((vcpu) =>
          world.kernel.spawn(`vcpu${vcpu.id}`, async () => {
            for (let round = 0; round < 10; round++) {
              const page = (round + vcpu.id) % 2
              await load(vcpu, RAM + page, { done: () => (used[page] = true) })
              await vcpu.quantumEnd()
            }
            vcpu.exitGuest()
          }),
        )
        for (let round = 0; round < 8; round++) {
          const page = round % 2
          const wasUsed = used[page]!
          used[page] = false
          await world.mm.pageTableLock.lock()
          const answer = await mmuNotifierClearFlushYoung(world.mm, ...window(world, page))
          world.mm.pageTableLock.unlock()
          if (wasUsed) t.true(answer, `seed ${seed}, round ${round}`)
          // What was used while the question was open may have been counted or not.
          used[page] = false
          if (answer) young++
        }
        for (const task of tasks) await world.kernel.sched.join(task)
        await world.close()
      })
    }
    t.true(young > 0)
  })
}

test('an mm that exits first takes every translation with it; the vCPU gets EFAULT, the VM can still be destroyed', async (t) => {
  await inWorld({}, async (world) => {
    const { kernel, mm, vm } = world
    const vcpu = world.vcpus[0]!
    await touch(vcpu, 1, 1)
    await mm.exit()
    t.is(vm.sptes.count, 0)
    t.is(await touch(vcpu, 1), 'efault')
    await vm.destroy()
    t.is(kernel.mms.size, 0)
    kernel.assertBalanced()
  })
})

for (const { paging, pageTableLock } of MODES) {
  for (const changePte of ['bracketed', 'unbracketed'] as const) {
    test(`changePte, ${changePte}: ${paging}, page-table lock ${pageTableLock}`, async (t) => {
      await inWorld({ vm: { paging }, kernel: { pageTableLock, changePte } }, async (world) => {
        const { mm, vm } = world
        const vcpu = world.vcpus[0]!
        const thread = mm.createThread()
        await thread.store32(world.hva(1), 7)
        const child = await mm.fork()
        t.is(await touch(vcpu, 1), 7)
        const { faults } = vm.stats
        await thread.store32(world.hva(1), 8)
        t.is(await touch(vcpu, 1), 8, 'the guest sees the copy')
        if (changePte === 'bracketed') {
          t.is(vm.stats.changePteRewritten, 0, 'start has zapped what changePte would change')
          t.is(vm.stats.faults, faults + 1)
        } else {
          t.is(vm.stats.changePteRewritten, 1)
          t.is(vm.stats.faults, faults, 'the spte followed the PTE')
          const reader = child.createThread()
          t.is(await touch(vcpu, 1, 9), 1)
          t.true(vm.stats.faults > faults, 'but read-only')
          t.is(await thread.load32(world.hva(1)), 9)
          t.is(await reader.load32(world.hva(1)), 7)
          reader.exit()
        }
        thread.exit()
        await child.exit()
        world.auditRest((message) => t.fail(message))
        await world.close()
      })
    })
  }
}

test('an hva that fails is EFAULT, the vCPU is unchanged, and goes on after repair', async (t) => {
  await inWorld({}, async (world) => {
    const { mm, vm } = world
    const vcpu = world.vcpus[0]!
    await touch(vcpu, 1, 5)
    await mm.munmap(world.hva(1), PAGE_SIZE)
    t.is(await touch(vcpu, 1), 'efault')
    t.is(vcpu.faultHva, world.hva(1))
    await mm.mmap({ addr: world.hva(1), length: PAGE_SIZE, fixed: true, prot: 'r' })
    t.is(await touch(vcpu, 1), 0)
    t.is(await touch(vcpu, 1, 3), 'efault', 'no right to write')
    await mm.mprotect(world.hva(1), PAGE_SIZE, 'rw')
    t.is(await touch(vcpu, 1, 3), 1)
    t.is(vm.stats.efault, 2)
    await world.close()
  })
})

test('memory that runs out is an outcome, and nothing is lost', async (t) => {
  await inWorld({ kernel: { frames: 40 }, pages: 64 }, async (world) => {
    const vcpu = world.vcpus[0]!
    let last: unknown = 1
    let page = 0
    for (; last === 1 && page < 64; page++) last = await touch(vcpu, page, page)
    t.is(last, 'oom')
    t.is(await touch(vcpu, 0), 0)
    await world.mm.madvise(world.hva(0), 8 * PAGE_SIZE, 'dontneed')
    t.is(await touch(vcpu, page - 1, 1), 1)
    await world.close()
  })
})

test('the hypervisor reads and writes across pages, and is heard by the dirty log', async (t) => {
  await inWorld({}, async (world) => {
    const { vm } = world
    const gpa = (RAM * PAGE_SIZE + PAGE_SIZE - 3) as never
    await vm.writeGuest(gpa, new Uint8Array([1, 2, 3, 4, 5, 6]))
    t.deepEqual([...(await vm.readGuest(gpa, 6))], [1, 2, 3, 4, 5, 6])
    t.is(vm.memory.read8(hpa(vm.backing.peekPage(world.hva(1), false) * PAGE_SIZE)), 4)
    await t.throwsAsync(vm.readGuest(0x1000 as never, 1), { message: /no memslot/ })
    await world.close()
  })
})
