/** Each invariant of the auditor fires on a fault planted beside the real code, and none fires on the code itself. */
import test from 'ava'
import { PAGE_SIZE, hpaOf } from '../../src/base/index.ts'
import type { Invariant } from '../../src/base/index.ts'
import { describePage } from '../../src/check/index.ts'
import type { Violation } from '../../src/check/index.ts'
import { Kernel, Mm } from '../../src/host/index.ts'
import { KvmMmuNotifier, MmBacking, PageFaults, Sptes, Vm } from '../../src/mmu/index.ts'
import type { Backing, FaultedPage, VmOptions } from '../../src/mmu/index.ts'
import { mmuNotifierRegister, mmuNotifierUnregister } from '../../src/notifier/index.ts'
import type { MmuNotifierOps } from '../../src/notifier/index.ts'
import { random } from '../../src/sched/index.ts'
import { guestLoad, guestStore, inSmallWorld } from './small-world.ts'
import type { SmallWorld, SmallWorldOptions } from './small-world.ts'

const has = (violations: readonly Violation[], invariant: Invariant): boolean =>
  violations.some((violation) => violation.invariant === invariant)

const said = (violations: readonly Violation[]): string =>
  violations.map((violation) => `${violation.invariant}: ${violation.what}`).join('\n')

/** Guest and host work on the same pages while the host takes them away in every way it has. */
async function everything(world: SmallWorld): Promise<void> {
  const { kernel, mm, ram, thread } = world
  const guest = kernel.spawn('vcpu0', async () => {
    for (let round = 0; round < 12; round++) {
      await guestStore(world, round % 4, BigInt(round))
      await guestLoad(world, (round + 1) % 4)
      if (round % 3 === 0) await world.vcpu.quantumEnd()
    }
    world.vcpu.exitGuest()
  })
  const storm = kernel.spawn('storm', async () => {
    await thread.store64(ram, 99n)
    const child = await mm.fork('child')
    const childThread = child.createThread()
    await childThread.store64(ram, 100n)
    await mm.madvise(ram + PAGE_SIZE, PAGE_SIZE, 'dontneed')
    await mm.mprotect(ram, 2 * PAGE_SIZE, 'r')
    await mm.mprotect(ram, 2 * PAGE_SIZE, 'rw')
    await kernel.reclaimPages(4)
    await kernel.reclaimPages(4)
    await thread.load64(ram + PAGE_SIZE)
    await child.exit()
  })
  await kernel.sched.join(guest)
  await kernel.sched.join(storm)
}

test('the code itself is clean under 150 random schedules, and every invariant was really judged', async (t) => {
  const judged = new Map<Invariant, number>()
  for (let seed = 0; seed < 150; seed++) {
    const pageTableLock = seed % 3 === 0 ? 'spin' : 'sleep'
    const { violations, checks } = await inSmallWorld(
      { kernel: { policy: random(seed, { period: 3 }), seed, swapPages: 32, pageTableLock } },
      everything,
    )
    if (violations.length > 0) t.fail(`seed ${seed}: ${said(violations)}`)
    for (const [invariant, count] of checks) judged.set(invariant, (judged.get(invariant) ?? 0) + count)
  }
  for (const invariant of ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7', 'I8', 'I9', 'I10', 'I13', 'I14'] as const) {
    t.true((judged.get(invariant) ?? 0) > 0, `${invariant} was never judged`)
  }
})

test('a run is the same with and without the auditor', async (t) => {
  const finals: string[] = []
  for (const level of ['off', 'sampled', 'all'] as const) {
    await inSmallWorld(
      { kernel: { policy: random(5, { period: 3 }), swapPages: 32 }, auditor: { level } },
      async (world) => {
        await everything(world)
        const { sched } = world.kernel
        finals.push(`${sched.now} ${sched.schedule.deviations.join(',')} ${JSON.stringify(world.vm.stats)}`)
      },
    )
  }
  t.is(finals[1], finals[0])
  t.is(finals[2], finals[0])
})

/** One guest store, then the host unmaps the page. */
async function storeThenUnmap(world: SmallWorld): Promise<void> {
  await guestStore(world, 0, 7n)
  world.vcpu.exitGuest()
  await world.mm.munmap(world.ram, PAGE_SIZE)
}

class SkipsZap extends KvmMmuNotifier {
  protected override zapSlotRange(): number {
    return 0
  }
}
class VmThatSkipsZap extends Vm {
  protected override createNotifier(): KvmMmuNotifier {
    return new SkipsZap(this)
  }
}

test('I1 and I2: a zap that was skipped leaves an spte to a page that the host took away and freed', async (t) => {
  const options: SmallWorldOptions = { parts: { vm: VmThatSkipsZap } }
  const first = await inSmallWorld(options, storeThenUnmap)
  t.is(first.violations[0]?.invariant, 'I1')
  t.regex(said(first.violations), /spte maps frame 0x\w+, the host maps nothing there/)
  t.true(first.violations[0]!.history.some(({ event }) => event.name === 'clear_pte'))
  t.regex(describePage(first.violations[0]!.page), /hva 0x\w+, gfn 0x80000, pfn 0x\w+/)
  const all = await inSmallWorld({ ...options, auditor: { stop: false } }, storeThenUnmap)
  t.true(has(all.violations, 'I2'), said(all.violations))
})

class SkipsFlush extends KvmMmuNotifier {
  protected override flushZapped(): Promise<void> {
    return this.vm.sched.yieldNow()
  }
}
class VmThatSkipsFlush extends Vm {
  protected override createNotifier(): KvmMmuNotifier {
    return new SkipsFlush(this)
  }
}

test('I1: a flush that was skipped leaves a TLB entry that a vCPU in guest mode could use', async (t) => {
  const { violations } = await inSmallWorld({ parts: { vm: VmThatSkipsFlush } }, async (world) => {
    await guestStore(world, 0, 7n)
    await world.mm.munmap(world.ram, PAGE_SIZE)
  })
  t.is(violations[0]?.invariant, 'I1')
  t.regex(said(violations), /TLB of vcpu 0 maps frame/)
})

test('I9: a flush that was skipped at mprotect leaves a TLB entry that allows stores', async (t) => {
  const { violations } = await inSmallWorld({ parts: { vm: VmThatSkipsFlush } }, async (world) => {
    await guestStore(world, 0, 7n)
    await world.mm.mprotect(world.ram, PAGE_SIZE, 'r')
  })
  t.is(violations[0]?.invariant, 'I9')
  t.regex(said(violations), /TLB of vcpu 0 is writable, the host PTE of frame \w+ is not/)
})

async function protectOnly(world: SmallWorld): Promise<void> {
  const { vm } = world
  await guestStore(world, 0, 7n)
  const [slot] = vm.memslots.active.byGfn
  await vm.mmuLock.lock()
  vm.sptes.writeProtectGfns(slot!, slot!.baseGfn, slot!.endGfn, false)
  vm.mmuLock.unlock()
  await world.thread.load64(world.ram)
}

test('I1: sptes lose their right to write, and no flush ever comes', async (t) => {
  const { violations } = await inSmallWorld({}, protectOnly)
  t.is(violations[0]?.invariant, 'I1')
  t.regex(said(violations), /TLB of vcpu 0 holds what a writable spte no longer says/)
})

class LosesDirty extends Sptes {
  protected override handOver(): void {
    this.vm.stats.dirtyHandedOver++
  }
}
class VmThatLosesDirty extends Vm {
  protected override createSptes(): Sptes {
    return new LosesDirty(this)
  }
}

test('I3: a dirty spte dropped without marking its page', async (t) => {
  const { violations } = await inSmallWorld(
    { parts: { vm: VmThatLosesDirty }, kernel: { swapPages: 8 } },
    async (world) => {
      await guestLoad(world, 0)
      await guestStore(world, 0, 7n)
      world.kernel.pages.clear((world.mm.pageTable.read(world.ram) >>> 10) as never, 2)
      world.vcpu.exitGuest()
      await world.mm.munmap(world.ram, PAGE_SIZE)
    },
  )
  t.is(violations[0]?.invariant, 'I3', said(violations))
})

class NeverYoung extends Sptes {
  protected override testAndClearYoung(): boolean {
    return false
  }
}
class VmThatForgetsUse extends Vm {
  protected override createSptes(): Sptes {
    return new NeverYoung(this)
  }
}

test('I4: a page called old although a vCPU used it', async (t) => {
  const { violations } = await inSmallWorld(
    { parts: { vm: VmThatForgetsUse }, kernel: { swapPages: 32 } },
    async (world) => {
      await guestStore(world, 0, 7n)
      world.vcpu.exitGuest()
      for (let i = 0; i < 6; i++) await world.kernel.reclaimPages(4)
    },
  )
  t.is(violations[0]?.invariant, 'I4', said(violations))
})

test('I5: unregister that does not wait returns while a hook still runs', async (t) => {
  const { violations } = await inSmallWorld({}, async (world) => {
    const { kernel, mm, ram } = world
    const sleeper = {
      async invalidateRangeStart(): Promise<number> {
        await kernel.sched.sleep(1000)
        return 0
      },
    }
    const mn = await mmuNotifierRegister(sleeper, mm)
    kernel.srcu.synchronize = async () => kernel.sched.yieldNow()
    await world.thread.store64(ram, 1n)
    const unmap = kernel.spawn('unmap', () => mm.munmap(ram, PAGE_SIZE))
    await kernel.sched.sleep(10)
    await mmuNotifierUnregister(mn, mm)
    await kernel.sched.join(unmap)
  })
  t.is(violations[0]?.invariant, 'I5', said(violations))
  t.regex(said(violations), /unregister returned while 1 callouts? of/)
})

test('I6: a start without its end', async (t) => {
  class NeverEnds extends Mm {
    override async invalidateRangeEnd(): Promise<void> {
      await this.sched.yieldNow()
    }
  }
  class KernelThatNeverEnds extends Kernel {
    protected override newMm(...[id, name, root]: Parameters<Kernel['newMm']>): Mm {
      return new NeverEnds(this, id, name, root)
    }
  }
  const { violations } = await inSmallWorld(
    { parts: { kernel: KernelThatNeverEnds }, auditor: { stop: false } },
    async (world) => {
      await world.thread.store64(world.ram, 1n)
      await world.mm.madvise(world.ram, PAGE_SIZE, 'dontneed')
    },
  )
  t.true(has(violations, 'I6'), said(violations))
  t.regex(said(violations), /invalidation CLEAR was started but never ended/)
})

test('I7: memory that changes without a store', async (t) => {
  const { violations } = await inSmallWorld({}, async (world) => {
    await guestStore(world, 0, 7n)
    const pfn = world.mm.pageTable.read(world.ram) >>> 10
    world.kernel.memory.write8(hpaOf(pfn as never), 8)
    await guestLoad(world, 0)
  })
  t.is(violations[0]?.invariant, 'I7')
  t.regex(said(violations), /returned 0x8, the last store was 0x7/)
})

test('I8: a deadlock is a violation with its wait graph', async (t) => {
  const { violations } = await inSmallWorld({}, async (world) => {
    const idx = await world.kernel.srcu.readLock()
    const updater = world.kernel.spawn('updater', () => world.kernel.srcu.synchronize())
    await world.kernel.sched.join(updater)
    await world.kernel.srcu.readUnlock(idx)
  })
  t.is(violations[0]?.invariant, 'I8')
  t.regex(said(violations), /updater waits for .*main/)
})

class Overstates extends MmBacking {
  override async faultInPage(...args: Parameters<MmBacking['faultInPage']>): Promise<FaultedPage> {
    return { ...(await super.faultInPage(...args)), writable: true }
  }
}

class OverstatingVm extends Vm {
  constructor(backing: Backing, options?: VmOptions) {
    super(new Overstates((backing as MmBacking).mm), options)
  }
}

test('I9: an spte that is writable although the host PTE is not', async (t) => {
  const { violations } = await inSmallWorld({ parts: { vm: OverstatingVm } }, async (world) => {
    await world.thread.store64(world.ram, 1n)
    const child = await world.mm.fork('child')
    await guestLoad(world, 0)
    world.vcpu.exitGuest()
    await child.exit()
  })
  t.is(violations[0]?.invariant, 'I9', said(violations))
})

class NeverRetries extends PageFaults {
  protected override stale(): null {
    return null
  }
}
class VmThatNeverRetries extends Vm {
  protected override createFaults(): PageFaults {
    return new NeverRetries(this)
  }
}

test('I10: without the retry check some schedule installs what is being invalidated', async (t) => {
  const seen = new Set<Invariant>()
  for (let seed = 0; seed < 200 && !seen.has('I10'); seed++) {
    const { violations } = await inSmallWorld(
      { parts: { vm: VmThatNeverRetries }, kernel: { policy: random(seed, { period: 3 }), swapPages: 32 } },
      everything,
    )
    for (const violation of violations) seen.add(violation.invariant)
  }
  t.true(seen.has('I10') || seen.has('I1'), [...seen].join(' '))
  t.true(seen.has('I10'))
})

const sleepy = (kernel: Kernel): MmuNotifierOps => ({
  async clearFlushYoung(): Promise<boolean> {
    await kernel.sched.sleep(100)
    return true
  },
})

test('I13: a hook that sleeps under the page-table spin lock', async (t) => {
  for (const [pageTableLock, expected] of [
    ['spin', true],
    ['sleep', false],
  ] as const) {
    const { violations } = await inSmallWorld({ kernel: { pageTableLock, swapPages: 32 } }, async (world) => {
      const mn = await mmuNotifierRegister(sleepy(world.kernel), world.mm)
      await world.thread.store64(world.ram, 1n)
      for (let i = 0; i < 4; i++) await world.kernel.reclaimPages(2)
      await mmuNotifierUnregister(mn, world.mm)
    })
    t.is(has(violations, 'I13'), expected, `${pageTableLock}: ${said(violations)}`)
    if (expected) t.regex(said(violations), /while in spin lock page_table_lock/)
  }
})

test('I8: a hook that takes the mmap lock is reported the first time, whether or not it would deadlock', async (t) => {
  const { violations } = await inSmallWorld({}, async (world) => {
    const greedy: MmuNotifierOps = {
      async invalidateRangeEnd(): Promise<void> {
        await world.mm.mmapLock.downRead()
        world.mm.mmapLock.upRead()
      },
    }
    const other = await world.kernel.createMm('other')
    const area = await other.mmap({ length: PAGE_SIZE })
    await mmuNotifierRegister(greedy, other)
    await other.madvise(area.start, PAGE_SIZE, 'dontneed')
  })
  t.is(violations[0]?.invariant, 'I8', said(violations))
  t.regex(said(violations), /acquires mmap_lock while it holds mmu_notifier_srcu/)
})

test('I14: a reference that nobody gives back', async (t) => {
  const { violations } = await inSmallWorld({}, async (world) => {
    await world.thread.store64(world.ram, 1n)
    world.kernel.getPage((world.mm.pageTable.read(world.ram) >>> 10) as never)
  })
  t.is(violations[0]?.invariant, 'I14', said(violations))
})
