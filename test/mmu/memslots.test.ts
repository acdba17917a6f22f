/** Memslots: KVM's errno, recorded on a real one (Linux 6.18), and changes while vCPUs run. */
import test from 'ava'
import fc from 'fast-check'
import { KernelError, MiB, PAGE_SIZE, gfn, hva } from '../../src/base/index.ts'
import { Memslot, Memslots, Rmap, RmapPool, SlotMemory, Vm, VmMemslots } from '../../src/mmu/index.ts'
import type { MemoryRegion } from '../../src/mmu/index.ts'
import { random } from '../../src/sched/index.ts'
import { RAM, inWorld, load, store } from './world.ts'
import type { World } from './world.ts'

const GPA = RAM * PAGE_SIZE
const P = PAGE_SIZE

/** What each change gives on a VM whose slot 0 has 8 pages at GPA, and slot 1 two pages right behind it. */
const TABLE: readonly (readonly [string, (base: number) => MemoryRegion, string])[] = [
  ['same range, new slot', (hva) => ({ id: 2, gpa: GPA, length: 8 * P, hva }), 'EEXIST'],
  ['partly overlapping, new slot', (hva) => ({ id: 2, gpa: GPA - P, length: 2 * P, hva }), 'EEXIST'],
  ['move onto another slot', (hva) => ({ id: 1, gpa: GPA + 7 * P, length: 2 * P, hva }), 'EEXIST'],
  ['unaligned gpa', (hva) => ({ id: 2, gpa: 0x1001, length: P, hva }), 'EINVAL'],
  ['unaligned size', (hva) => ({ id: 2, gpa: 0x1000, length: P + 1, hva }), 'EINVAL'],
  ['unaligned hva', (hva) => ({ id: 2, gpa: 0x1000, length: P, hva: hva + 8 }), 'EINVAL'],
  ['gpa beyond the address space', (hva) => ({ id: 2, gpa: 2 ** 52, length: P, hva }), 'EINVAL'],
  ['gpa that runs out of the address space', (hva) => ({ id: 2, gpa: 2 ** 41 - P, length: 2 * P, hva }), 'EINVAL'],
  ['hva in the kernel half', () => ({ id: 2, gpa: 0x1000, length: P, hva: 2 ** 40 }), 'EINVAL'],
  ['unknown flag', (hva) => ({ id: 2, gpa: 0x1000, length: P, hva, flags: 8 }), 'EINVAL'],
  ['size 0 for a missing slot', (hva) => ({ id: 2, gpa: 0x1000, length: 0, hva }), 'EINVAL'],
  ['slot 32764', (hva) => ({ id: 32764, gpa: 0x1000, length: P, hva }), 'EINVAL'],
  ['slot 32763', (hva) => ({ id: 32763, gpa: 0x1000, length: P, hva }), 'ok'],
  ['2^44 bytes', (hva) => ({ id: 2, gpa: 0, length: 2 ** 44, hva }), 'EINVAL'],
  ['change of size', (hva) => ({ id: 0, gpa: GPA, length: 4 * P, hva }), 'EINVAL'],
  ['change of hva', (hva) => ({ id: 0, gpa: GPA, length: 8 * P, hva: hva + P }), 'EINVAL'],
  ['change of READONLY', (hva) => ({ id: 0, gpa: GPA, length: 8 * P, hva, readonly: true }), 'EINVAL'],
  ['adjacent slot', (hva) => ({ id: 2, gpa: GPA - P, length: P, hva }), 'ok'],
  ['aliased hva', (hva) => ({ id: 2, gpa: 0x1000, length: P, hva }), 'ok'],
  ['hva with nothing behind it', () => ({ id: 2, gpa: 0x1000, length: P, hva: 0x7000_0000 }), 'ok'],
  ['identical re-set', (hva) => ({ id: 0, gpa: GPA, length: 8 * P, hva }), 'ok'],
  ['move', (hva) => ({ id: 0, gpa: GPA + MiB, length: 8 * P, hva }), 'ok'],
  ['delete', (hva) => ({ id: 0, gpa: GPA, length: 0, hva }), 'ok'],
  ['logging on', (hva) => ({ id: 0, gpa: GPA, length: 8 * P, hva, logDirtyPages: true }), 'ok'],
  ['read-only and logged', (hva) => ({ id: 2, gpa: 0x1000, length: P, hva, flags: 3 }), 'ok'],
]

async function outcome(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'ok'
  } catch (error) {
    if (error instanceof KernelError) return error.code
    throw error
  }
}

for (const paging of ['two-dimensional', 'shadow'] as const) {
  test(`every change gives KVM's errno: ${paging}`, async (t) => {
    for (const [name, region, expected] of TABLE) {
      await inWorld({ vm: { paging } }, async (world) => {
        await world.vm.setMemslot({ id: 1, gpa: GPA + 8 * P, length: 2 * P, hva: world.base })
        t.is(await outcome(world.vm.setMemslot(region(world.base))), expected, name)
        await world.close()
      })
    }
  })

  test(`what a guest sees of slots that come, go, move and are read-only: ${paging}`, async (t) => {
    await inWorld({ vm: { paging } }, async (world) => {
      const { vm } = world
      const vcpu = world.vcpus[0]!
      const run = async <T>(access: Promise<T>): Promise<T> => {
        const result = await access
        vcpu.exitGuest()
        return result
      }
      t.is(await run(store(vcpu, RAM, 5)), 1)
      await vm.setMemslot({ id: 1, gpa: 0x1000, length: P, hva: world.base })
      t.is(await run(load(vcpu, 1)), 5, 'an alias shows the same page')
      t.is(vm.sptes.count, 2)
      await world.mm.madvise(world.base, P, 'dontneed')
      t.is(vm.sptes.count, 0, 'one host operation removes both')
      t.is(await run(store(vcpu, 1, 6)), 1)
      await vm.setMemslot({ id: 0, gpa: GPA + MiB, length: 8 * P, hva: world.base })
      t.is(await run(load(vcpu, RAM)), 'mmio')
      t.is(await run(load(vcpu, RAM + 256)), 6)
      await vm.setMemslot({ id: 0, gpa: 0, length: 0, hva: 0 })
      t.is(await run(store(vcpu, RAM + 256, 1)), 'mmio')
      t.is(await run(load(vcpu, RAM + 256, { fetch: true })), 'mmio', 'the run loop is told of a fetch, too')
      await vm.setMemslot({ id: 0, gpa: GPA, length: 8 * P, hva: world.base, readonly: true })
      t.is(await run(load(vcpu, RAM)), 6)
      t.is(await run(store(vcpu, RAM, 9)), 'mmio')
      t.is(await run(load(vcpu, RAM)), 6)
      await vm.setMemslot({ id: 2, gpa: 0x10000, length: P, hva: 0x7000_0000 })
      t.is(await run(load(vcpu, 16)), 'efault')
      t.is(vcpu.faultHva, hva(0x7000_0000))
      await world.close()
    })
  })

  test(`slots come and go under running vCPUs and invalidations, 60 random schedules: ${paging}`, async (t) => {
    for (let seed = 0; seed < 60; seed++) {
      const kernel = { policy: random(seed, { period: 3 }), srcu: (['tiny', 'classic', 'counted'] as const)[seed % 3]! }
      await inWorld({ vm: { paging }, kernel, vcpus: 2 }, async (world) => {
        const slot = { id: 0, gpa: GPA, length: 8 * P, hva: world.base }
        for (const vcpu of world.vcpus) {
          world.kernel.spawn(`vcpu${vcpu.id}`, async () => {
            for (let round = 0; round < 8; round++) {
              const result = round % 2 === 0 ? await store(vcpu, RAM + round, 1) : await load(vcpu, RAM + round)
              t.not(result, 'efault', `seed ${seed}`)
              await vcpu.quantumEnd()
            }
            vcpu.exitGuest()
          })
        }
        world.kernel.spawn('unmapper', async () => {
          for (let round = 0; round < 3; round++) await world.mm.madvise(world.base, 4 * P, 'dontneed')
        })
        await world.vm.setMemslot({ ...slot, length: 0 })
        t.is(world.vm.sptes.count, 0, `seed ${seed}: a deleted slot is still mapped`)
        await world.vm.setMemslot(slot)
        await world.vm.setMemslot({ ...slot, gpa: GPA + MiB })
        await world.vm.setMemslot(slot)
        world.auditRest(() => undefined)
      }).catch((error: unknown) => t.fail(`seed ${seed}: ${String(error)}`))
    }
    t.pass()
  })
}

class NoWait extends VmMemslots {
  protected override async waitForInvalidations(): Promise<void> {}
}

class Unwaiting extends Vm {
  protected override createMemslots(): VmMemslots {
    return new NoWait(this)
  }
}

test('a table published between start and end breaks the count: that is what publishing waits for', async (t) => {
  for (const vmClass of [Vm, Unwaiting]) {
    const run = inWorld({ vmClass }, async (world) => {
      const { kernel, mm, vm } = world
      await vm.setMemslot({ id: 0, gpa: GPA, length: 0, hva: 0 })
      const range = mm.range(world.base, world.base + P, 'CLEAR')
      await mm.invalidateRangeStart(range)
      const writer = kernel.spawn('writer', () => vm.setMemslot({ id: 0, gpa: GPA, length: 8 * P, hva: world.base }))
      await kernel.sched.yieldNow()
      await mm.invalidateRangeEnd(range)
      await kernel.sched.join(writer)
    })
    if (vmClass === Vm) await t.notThrowsAsync(run)
    else await t.throwsAsync(run, { message: /I6: an invalidation ended that was not in progress/ })
  }
})

test('a sleeping reader delays a slot change, as KVM_SET_USER_MEMORY_REGION waits for a vCPU that faults', async (t) => {
  await inWorld({}, async (world) => {
    const { kernel, vm } = world
    const order: string[] = []
    const reader = kernel.spawn('reader', async () => {
      const idx = await vm.srcu.readLock()
      await kernel.sched.sleep(300_000_000)
      order.push('reader')
      await vm.srcu.readUnlock(idx)
    })
    await kernel.sched.yieldNow()
    await vm.setMemslot({ id: 3, gpa: 0x1000, length: P, hva: world.base })
    order.push('writer')
    await kernel.sched.join(reader)
    t.deepEqual(order, ['reader', 'writer'])
    t.true(kernel.sched.now >= 300_000_000)
    await world.close()
  })
})

test('a table finds what a scan finds, by guest frame and by host range', (t) => {
  const slotList = fc.array(fc.record({ gap: fc.nat(5), pages: fc.integer({ min: 1, max: 6 }), hva: fc.nat(40) }))
  fc.assert(
    fc.property(slotList, fc.nat(60), fc.nat(60), fc.integer({ min: 1, max: 9 }), (rows, probe, start, length) => {
      const pool = new RmapPool()
      let frame = 0
      const slots = rows.map((row, id) => {
        frame += row.gap
        const base = gfn(frame)
        frame += row.pages
        return new Memslot(id, base, row.pages, hva(row.hva * P), 0, new SlotMemory(pool, base, row.pages))
      })
      const table = new Memslots(1, slots)
      t.is(table.lookup(probe)?.id, slots.find((slot) => slot.contains(probe))?.id)
      const found: number[] = []
      const [from, to] = [start * P, (start + length) * P]
      for (let at = table.nextInHva(0, from, to); at !== -1; at = table.nextInHva(at + 1, from, to)) {
        found.push(table.byHva[at]!.id)
      }
      const expected = slots.filter((slot) => slot.userspaceAddr < to && slot.endHva > from).map((slot) => slot.id)
      t.deepEqual(
        found.toSorted((a, b) => a - b),
        expected,
      )
    }),
  )
})

test('reverse maps hold exactly what was added and not removed, and walking costs what is mapped', (t) => {
  const pages = 3000
  const action = fc.record({ add: fc.boolean(), page: fc.nat(40).map((n) => (n * 997) % pages), spte: fc.nat(5) })
  fc.assert(
    fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
      const rmap = new Rmap(new RmapPool(), pages)
      const model = new Map<number, Set<number>>()
      for (const { add, page, spte } of actions) {
        const sptep = 0x1000 + (page * 8 + spte) * 8
        const set = model.get(page) ?? new Set<number>()
        model.set(page, set)
        if (add === set.has(sptep)) {
          if (add) continue
          t.throws(() => rmap.remove(page, sptep))
          continue
        }
        if (add) {
          rmap.add(page, sptep)
          set.add(sptep)
        } else {
          rmap.remove(page, sptep)
          set.delete(sptep)
        }
      }
      const seen: number[] = []
      for (let at = rmap.nextMapped(0, pages); at !== -1; at = rmap.nextMapped(at + 1, pages)) {
        for (let ref = rmap.first(at); ref !== 0; ref = rmap.next(ref)) seen.push(at * 1e6 + rmap.sptep(ref))
      }
      const expected = [...model].flatMap(([page, set]) => [...set].map((sptep) => page * 1e6 + sptep))
      t.deepEqual(
        seen.toSorted((a, b) => a - b),
        expected.toSorted((a, b) => a - b),
      )
    }),
  )
})

test('an invalidation visits the sptes in its range, not the range', async (t) => {
  await inWorld({ pages: 4096, kernel: { frames: 256 } }, async (world: World) => {
    const vcpu = world.vcpus[0]!
    for (const page of [3, 900, 901, 4000]) await store(vcpu, RAM + page, 1)
    vcpu.exitGuest()
    const before = world.vm.stats.rmapVisits
    await world.mm.madvise(world.base, 4096 * P, 'dontneed')
    t.is(world.vm.stats.rmapVisits - before, 4)
    t.is(world.vm.sptes.count, 0)
    await world.close()
  })
})
