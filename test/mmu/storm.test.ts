/** vCPUs run while the host takes their pages away: what a guest loads is what was last stored. */
import test from 'ava'
import { Random } from '../../src/base/index.ts'
import { migratePage } from '../../src/host/index.ts'
import { random } from '../../src/sched/index.ts'
import { Invalidation, PageFaults, TlbFlush, Vm } from '../../src/mmu/index.ts'
import type { FaultedPage, Memslot, PageFault, Vcpu } from '../../src/mmu/index.ts'
import { inWorld, load, RAM, schedules, store } from './world.ts'
import type { World, WorldOptions } from './world.ts'

const PAGES = 6

/** What each page may show: the value stored last, or zero if an operation has dropped it since. */
class Golden {
  readonly value: number[] = Array.from({ length: PAGES }, () => 0)
  private readonly mayBeZero: boolean[] = Array.from({ length: PAGES }, () => false)
  private readonly dropping: number[] = Array.from({ length: PAGES }, () => 0)
  private readonly storedSince: boolean[] = Array.from({ length: PAGES }, () => false)

  stored(page: number, value: number): void {
    this.value[page] = value
    this.storedSince[page] = true
    if (this.dropping[page] === 0) this.mayBeZero[page] = false
  }

  /** @returns what is wrong, or null */
  loaded(page: number, value: number): string | null {
    if (value === this.value[page]) return null
    if (value !== 0 || !this.mayBeZero[page]!) return `page ${page} shows ${value}, expected ${this.value[page]}`
    this.value[page] = 0
    return null
  }

  beginDrop(page: number): void {
    this.dropping[page]!++
    this.mayBeZero[page] = true
    this.storedSince[page] = false
  }

  /** @param surely what was there is gone, rather than going at some time */
  endDrop(page: number, surely: boolean): void {
    this.dropping[page]!--
    if (surely && !this.storedSince[page]!) this.value[page] = 0
  }
}

type Operation = (world: World, page: number, random: Random, golden: Golden) => Promise<void>

const OPERATIONS: readonly Operation[] = [
  async (world, page, _random, golden) => {
    golden.beginDrop(page)
    await world.mm.madvise(world.hva(page), 4096, 'dontneed')
    golden.endDrop(page, true)
  },
  async (world, page, _random, golden) => {
    golden.beginDrop(page)
    await world.mm.mmap({ addr: world.hva(page), length: 4096, fixed: true })
    golden.endDrop(page, true)
  },
  async (world, page, _random, golden) => {
    golden.beginDrop(page)
    await world.mm.madvise(world.hva(page), 4096, 'free')
    golden.endDrop(page, false)
    await world.kernel.reclaimPages(2)
  },
  async (world, page, random) => world.mm.madvise(world.hva(page), 4096 * random.between(1, PAGES - page), 'pageout'),
  async (world) => {
    await world.kernel.reclaimPages(3)
  },
  async (world) => {
    const child = await world.mm.fork()
    await child.exit()
  },
  async (world, page) => {
    const pfn = world.vm.backing.peekPage(world.hva(page), false)
    if (pfn > 0 && pfn !== world.kernel.zeroPfn) await migratePage(world.kernel, pfn as never)
  },
  async (world, page) => {
    await world.mm.madvise(world.hva(0), 4096 * PAGES, 'mergeable')
    await world.kernel.ksm.scan()
    if (page === 0) await world.mm.madvise(world.hva(0), 4096 * PAGES, 'unmergeable')
  },
  async (world, page) => {
    await world.mm.mprotect(world.hva(page), 4096, 'r')
    await world.mm.mprotect(world.hva(page), 4096, 'rw')
  },
]

const totals = { retries: 0, waited: 0, removed: 0, dirty: 0, young: 0 }

/** One run; what went wrong, a line each. */
async function storm(seed: number, options: WorldOptions): Promise<string[]> {
  const problems: string[] = []
  const fail = (message: string): void => void problems.push(`seed ${seed}: ${message}`)
  const kernel = { policy: random(seed, { period: 3 }), swapPages: 64, frames: 96, ...options.kernel }
  try {
    await inWorld({ ...options, kernel, pages: PAGES, vcpus: 2, tlbEntries: 4 }, async (world) => {
      const detach = world.kernel.trace.attach((event) => {
        if (event.name === 'mm_page_free' || event.name.startsWith('kvm')) world.auditStep(fail)
      })
      const golden = new Golden()
      const tasks = world.vcpus.map((vcpu) =>
        world.kernel.spawn(`vcpu${vcpu.id}`, () => guest(vcpu, new Random(seed), golden, fail)),
      )
      const choice = new Random(seed).stream('storm')
      for (let round = 0; round < 4; round++) {
        await choice.pick(OPERATIONS)(world, choice.below(PAGES), choice, golden)
      }
      for (const task of tasks) await world.kernel.sched.join(task)
      world.auditRest(fail)
      const { stats } = world.vm
      totals.retries += stats.retries
      totals.waited += stats.flushesWaited
      totals.removed += stats.flushesThatRemoved
      totals.dirty += stats.dirtyHandedOver
      totals.young += stats.youngHandedOver
      detach()
      await world.close()
    })
  } catch (error) {
    fail(String(error))
  }
  return problems
}

async function guest(vcpu: Vcpu, seeded: Random, golden: Golden, fail: (message: string) => void): Promise<void> {
  const choice = seeded.stream(`vcpu${vcpu.id}`)
  for (let round = 0; round < 12; round++) {
    const page = choice.below(PAGES)
    const check = (value: number): void => {
      const wrong = golden.loaded(page, value)
      if (wrong !== null) fail(wrong)
    }
    if (choice.oneIn(2)) await store(vcpu, RAM + page, round + 1, { done: () => golden.stored(page, round + 1) })
    else await load(vcpu, RAM + page, { done: check })
    await vcpu.quantumEnd()
  }
  vcpu.exitGuest()
}

for (const paging of ['two-dimensional', 'shadow'] as const) {
  for (const pageTableLock of ['sleep', 'spin'] as const) {
    test(`no content is lost and no freed frame is named: ${paging}, page-table lock ${pageTableLock}`, async (t) => {
      for (let seed = 0; seed < schedules(16); seed++) {
        t.deepEqual(await storm(seed, { vm: { paging }, kernel: { pageTableLock } }), [])
      }
    })
  }
}

test.after('the storm exercised what it is for', (t) => {
  for (const [name, count] of Object.entries(totals)) t.true(count > 0, name)
})

// Each line of the protocol is load-bearing: without it the same storm fails.

class NoStaleCheck extends PageFaults {
  protected override stale(): null {
    return null
  }
}

class LateSnapshot extends PageFaults {
  protected override async faultInPage(fault: PageFault, slot: Memslot): Promise<FaultedPage> {
    const page = await super.faultInPage(fault, slot)
    await this.vm.sched.point(this, 'r', 'too late')
    fault.seq = this.vm.invalidation.seq
    return page
  }
}

class NoInProgress extends Invalidation {
  override covers(): boolean {
    return false
  }
}

class NoFlush extends TlbFlush {
  protected override async send(): Promise<void> {}
}

const MUTANTS: Record<string, typeof Vm> = {
  'no staleness check': class extends Vm {
    protected override createFaults(): PageFaults {
      return new NoStaleCheck(this)
    }
  },
  'sequence read after the page': class extends Vm {
    protected override createFaults(): PageFaults {
      return new LateSnapshot(this)
    }
  },
  'no in-progress count': class extends Vm {
    protected override createInvalidation(): Invalidation {
      return new NoInProgress()
    }
  },
  'no flush': class extends Vm {
    protected override createFlush(): TlbFlush {
      return new NoFlush(this)
    }
  },
}

for (const [name, vmClass] of Object.entries(MUTANTS)) {
  test(`found within 200 schedules: ${name}`, async (t) => {
    for (let seed = 0; seed < 200; seed++) {
      if ((await storm(seed, { vmClass })).length > 0) return t.pass(`seed ${seed}`)
    }
    return t.fail('not found')
  })
}
