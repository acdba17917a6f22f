/** The dirty log: KVM's rules, recorded on a real one, and that no store is ever missed. */
import test from 'ava'
import { KernelError, PAGE_SIZE, Random } from '../../src/base/index.ts'
import { DirtyLog, TlbFlush, Vm, countBits } from '../../src/mmu/index.ts'
import type { Memslot, Vcpu, VmOptions } from '../../src/mmu/index.ts'
import { random } from '../../src/sched/index.ts'
import { inWorld, load, RAM, schedules, store } from './world.ts'
import type { World } from './world.ts'

const PAGES = 70

const slotOf = (world: World, logDirtyPages = true): Parameters<Vm['setMemslot']>[0] => ({
  id: 0,
  gpa: RAM * PAGE_SIZE,
  length: world.pages * PAGE_SIZE,
  hva: world.base,
  logDirtyPages,
})

async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'ok'
  } catch (error) {
    if (error instanceof KernelError) return error.code
    throw error
  }
}

async function touch(vcpu: Vcpu, page: number, value?: number): Promise<unknown> {
  const result = value === undefined ? await load(vcpu, RAM + page) : await store(vcpu, RAM + page, value)
  vcpu.exitGuest()
  return result
}

const pagesOf = (bits: Uint32Array): number[] => {
  const pages: number[] = []
  for (let page = 0; page < bits.length * 32; page++)
    if ((bits[page >>> 5]! & (1 << (page & 31))) !== 0) pages.push(page)
  return pages
}

const OPTIONS: Record<string, VmOptions> = {
  'two-dimensional': { paging: 'two-dimensional' },
  shadow: { paging: 'shadow' },
}

for (const [name, vm] of Object.entries(OPTIONS)) {
  test(`automatic: getting clears and protects again: ${name}`, async (t) => {
    await inWorld({ vm, pages: PAGES }, async (world) => {
      const vcpu = world.vcpus[0]!
      await touch(vcpu, 1, 1)
      await touch(vcpu, 2, 1)
      t.is(await code(world.vm.getDirtyLog(0)), 'ENOENT')
      t.is(await code(world.vm.getDirtyLog(5)), 'ENOENT')
      await world.vm.setMemslot(slotOf(world))
      t.is(world.vm.sptes.count, 2, 'logging keeps sptes')
      t.is(countBits(await world.vm.getDirtyLog(0)), 0)
      let { faults } = world.vm.stats
      await touch(vcpu, 1, 2)
      t.is(world.vm.stats.faults, ++faults, 'the first store faults')
      await touch(vcpu, 1, 3)
      await touch(vcpu, 2)
      t.is(world.vm.stats.faults, faults, 'the second does not, nor does a load')
      const thread = world.mm.createThread()
      await thread.store32(world.hva(3), 9)
      thread.exit()
      t.deepEqual(pagesOf(await world.vm.getDirtyLog(0)), [1], 'neither loads nor the host set bits')
      t.is(countBits(await world.vm.getDirtyLog(0)), 0)
      await touch(vcpu, 1, 4)
      await world.mm.madvise(world.hva(1), PAGE_SIZE, 'dontneed')
      await world.vm.setMemslot({ ...slotOf(world), gpa: RAM * PAGE_SIZE + 0x100_0000 })
      t.deepEqual(pagesOf(await world.vm.getDirtyLog(0)), [1], 'the bit outlives the page, and a move of the slot')
      await world.vm.setMemslot({ ...slotOf(world, false), gpa: RAM * PAGE_SIZE + 0x100_0000 })
      t.is(await code(world.vm.getDirtyLog(0)), 'ENOENT')
      await world.close()
    })
  })

  test(`manual: getting changes nothing, clearing does: ${name}`, async (t) => {
    await inWorld({ vm: { ...vm, dirtyLog: 'manual' }, pages: PAGES }, async (world) => {
      const vcpu = world.vcpus[0]!
      await world.vm.setMemslot(slotOf(world))
      for (const page of [1, 2, 65]) await touch(vcpu, page, 1)
      t.deepEqual(pagesOf(await world.vm.getDirtyLog(0)), [1, 2, 65])
      t.deepEqual(pagesOf(await world.vm.getDirtyLog(0)), [1, 2, 65])
      const bit1 = new Uint32Array([2, 0])
      await world.vm.clearDirtyLog(0, 0, 64, bit1)
      t.deepEqual(pagesOf(await world.vm.getDirtyLog(0)), [2, 65])
      let { faults } = world.vm.stats
      await touch(vcpu, 2, 5)
      t.is(world.vm.stats.faults, faults)
      await touch(vcpu, 1, 5)
      t.is(world.vm.stats.faults, ++faults)
      t.is(await code(world.vm.clearDirtyLog(0, 1, 64, bit1)), 'EINVAL')
      t.is(await code(world.vm.clearDirtyLog(0, 0, 63, bit1)), 'EINVAL')
      t.is(await code(world.vm.clearDirtyLog(0, 64, 6, bit1)), 'ok', 'not a multiple of 64, but to the end')
      t.is(await code(world.vm.clearDirtyLog(0, 64, 64, bit1)), 'EINVAL', 'beyond the end')
      t.is(await code(world.vm.clearDirtyLog(0, 128, 64, bit1)), 'EINVAL')
      t.is(await code(world.vm.clearDirtyLog(3, 0, 64, bit1)), 'ENOENT')
      await world.close()
    })
  })
}

test('initially set: every bit is set at first', async (t) => {
  await inWorld({ vm: { dirtyLog: 'initially-set' }, pages: PAGES }, async (world) => {
    await world.vm.setMemslot(slotOf(world))
    t.is(countBits(await world.vm.getDirtyLog(0)), PAGES)
    await world.close()
  })
})

test('clearing is accepted without manual protection too', async (t) => {
  await inWorld({ pages: PAGES }, async (world) => {
    await world.vm.setMemslot(slotOf(world))
    t.is(await code(world.vm.clearDirtyLog(0, 0, 64, new Uint32Array(2))), 'ok')
    await world.close()
  })
})

/** Copies a running guest's memory page by page as a migration does. @returns pages whose copy is not what they hold */
async function migrate(seed: number, vm: VmOptions, vmClass: typeof Vm): Promise<number[]> {
  let stale: number[] = []
  const kernel = { policy: random(seed, { period: 2 }), swapPages: 32 }
  await inWorld({ vm, vmClass, kernel, pages: 4, vcpus: 2, tlbEntries: 4 }, async (world) => {
    const copy = new Map<number, number>()
    await world.vm.setMemslot(slotOf(world))
    const copyDirty = async (): Promise<void> => {
      for (const page of pagesOf(await world.vm.getDirtyLog(0))) {
        copy.set(page, (await world.vm.readGuest(((RAM + page) * PAGE_SIZE) as never, 1))[0]!)
      }
    }
    const tasks = world.vcpus.map((vcpu) =>
      world.kernel.spawn(`vcpu${vcpu.id}`, async () => {
        const choice = new Random(seed).stream(`vcpu${vcpu.id}`)
        for (let round = 1; round < 14; round++) {
          await store(vcpu, RAM + choice.below(4), round + 32 * vcpu.id)
          await vcpu.quantumEnd()
        }
        vcpu.exitGuest()
      }),
    )
    const choice = new Random(seed).stream('host')
    for (let round = 0; round < 5; round++) {
      await copyDirty()
      await world.mm.madvise(world.hva(choice.below(4)), PAGE_SIZE, 'pageout')
    }
    for (const task of tasks) await world.kernel.sched.join(task)
    await copyDirty()
    const bytes = await world.vm.readGuest((RAM * PAGE_SIZE) as never, 4 * PAGE_SIZE)
    stale = [0, 1, 2, 3].filter((page) => bytes[page * PAGE_SIZE] !== (copy.get(page) ?? 0))
    await world.close()
  })
  return stale
}

for (const [name, vm] of Object.entries(OPTIONS)) {
  test(`a migrated guest is complete under random schedules: ${name}`, async (t) => {
    for (let seed = 0; seed < schedules(30); seed++) t.deepEqual(await migrate(seed, vm, Vm), [], `seed ${seed}`)
  })
}

class NoFlush extends TlbFlush {
  override async remoteGfns(): Promise<void> {}
}

class ProtectBeforeHarvest extends DirtyLog {
  protected override async harvest(slot: Memslot): Promise<Uint32Array> {
    const { vm } = this
    await vm.mmuLock.lock()
    vm.sptes.writeProtectGfns(slot, slot.baseGfn, slot.endGfn, false)
    vm.mmuLock.unlock()
    await vm.flush.remoteAll()
    await vm.sched.point(this, 'w', 'bits not yet taken')
    const bits = slot.memory.dirty!.slice()
    slot.memory.dirty!.fill(0)
    return bits
  }
}

const MUTANTS: Record<string, typeof Vm> = {
  'no flush after write-protection': class extends Vm {
    protected override createFlush(): TlbFlush {
      return new NoFlush(this)
    }
  },
  'protected before the bits are taken': class extends Vm {
    protected override createDirtyLog(): DirtyLog {
      return new ProtectBeforeHarvest(this)
    }
  },
}

for (const [name, vmClass] of Object.entries(MUTANTS)) {
  test(`found within 200 schedules: ${name}`, async (t) => {
    for (let seed = 0; seed < 200; seed++) {
      if ((await migrate(seed, {}, vmClass)).length > 0) return t.pass(`seed ${seed}`)
    }
    return t.fail('not found')
  })
}
