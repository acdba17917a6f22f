/** Guests with page tables of their own: both ways of paging show what the guest's tables say. */
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { PAGE_SIZE, Random, hpa } from '../../src/base/index.ts'
import { PTE_A, PTE_D, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X, pteLow } from '../../src/hardware/index.ts'
import { ShadowMmu, ShadowSync, Vm, consistencyReport } from '../../src/mmu/index.ts'
import type { Memslot, Mmu, Vcpu, VmOptions } from '../../src/mmu/index.ts'
import { random } from '../../src/sched/index.ts'
import { inWorld, load, PTE_RW, RAM, schedules, store } from './world.ts'
import type { World } from './world.ts'

// Pages of the memory: tables, then data.
const ROOT = 0
const MIDDLE = 1
const LEAVES = [2, 3] as const
const DATA = 4
const PAGES = 12
/** Guest virtual page at which the guest sees all of its memory, through one 2 MiB leaf. */
const WINDOW = 1024
const SATP: bigint = (8n << 60n) | BigInt(RAM + ROOT)

const MODES: Record<string, VmOptions> = {
  'two-dimensional': { paging: 'two-dimensional' },
  'two-dimensional, Svade': { paging: 'two-dimensional', adUpdate: 'svade' },
  'shadow, trapping': { paging: 'shadow', guestTables: 'trap' },
  'shadow, out of sync': { paging: 'shadow', guestTables: 'unsync' },
  'shadow, at most 5 tables': { paging: 'shadow', guestTables: 'unsync', shadowPageLimit: 5 },
}

/** Builds the tables and turns paging on. */
async function boot(world: World): Promise<void> {
  await world.setGpte(ROOT, 0, RAM + MIDDLE, PTE_V)
  await world.setGpte(MIDDLE, 0, RAM + LEAVES[0], PTE_V)
  await world.setGpte(MIDDLE, 1, RAM + LEAVES[1], PTE_V)
  await world.setGpte(MIDDLE, 2, RAM, PTE_RW | PTE_X)
  for (let page = DATA; page < PAGES; page++) {
    await world.vm.writeGuest(((RAM + page) * PAGE_SIZE) as never, new Uint8Array([page, 0, 0, 0]))
  }
  for (const vcpu of world.vcpus) {
    vcpu.setContext(1)
    vcpu.setSatp(SATP)
  }
}

/** The guest stores to one of its own tables. */
async function edit(vcpu: Vcpu, table: number, index: number, low: number, emulate: boolean): Promise<unknown> {
  const result = await store(vcpu, WINDOW + table, low, { offset: index * 8, emulate })
  vcpu.exitGuest()
  return result
}

/** What the guest's tables say about a page, read byte by byte from the host's memory. */
class Naive {
  private readonly world: World

  constructor(world: World) {
    this.world = world
  }

  word(page: number, offset: number): number {
    const { vm } = this.world
    const pfn = vm.backing.peekPage(this.world.hva(page), false)
    return pfn === -1 ? 0 : vm.memory.read32(hpa(pfn * PAGE_SIZE + offset))
  }

  /** Page of the memory behind a guest virtual page for an access, or null for a page fault. */
  walk(gvn: number, write: boolean, fault: boolean, svade: boolean): number | null {
    const middle = this.pointer(ROOT, gvn >> 18)
    if (middle === null) return null
    const large = this.word(middle, ((gvn >> 9) & 511) * 8)
    if ((large & (PTE_V | PTE_R | PTE_X)) > PTE_V) return (large >>> 10) - RAM + (gvn & 511)
    const leafTable = this.pointer(middle, (gvn >> 9) & 511)
    if (leafTable === null) return null
    const leaf = this.word(leafTable, (gvn & 511) * 8)
    const needs = PTE_V | (write ? PTE_W | PTE_R : PTE_R)
    const used = PTE_A | (write ? PTE_D : 0)
    if ((leaf & needs) !== needs || (leaf & PTE_U) !== 0 || (svade && (leaf & used) !== used)) return null
    if (fault && (leaf & (PTE_R | PTE_W)) === PTE_W) return null
    return (leaf >>> 10) - RAM
  }

  private pointer(table: number, index: number): number | null {
    const low = this.word(table, index * 8)
    if ((low & 0xff) !== PTE_V) return null
    const page = (low >>> 10) - RAM
    return page >= 0 && page < PAGES ? page : null
  }
}

const FLAGS = [
  0,
  PTE_V | PTE_R | PTE_A,
  PTE_V | PTE_R | PTE_W | PTE_A | PTE_D,
  PTE_V | PTE_R | PTE_W | PTE_A,
  PTE_V | PTE_R | PTE_W,
  PTE_V | PTE_R | PTE_X,
  PTE_V | PTE_R | PTE_W | PTE_U | PTE_A | PTE_D,
  PTE_V | PTE_W | PTE_A,
]

async function randomEdits(
  t: Pick<ExecutionContext, 'is' | 'not' | 'deepEqual'>,
  world: World,
  seed: number,
  svade: boolean,
): Promise<void> {
  const choice = new Random(seed)
  const naive = new Naive(world)
  const vcpu = world.vcpus[0]!
  await boot(world)
  for (let step = 0; step < 120; step++) {
    const leaf = choice.pick(LEAVES)
    const index = choice.below(3)
    if (choice.oneIn(2)) {
      const what = choice.below(6)
      if (what < 4) {
        const low = pteLow(RAM + DATA + choice.below(PAGES - DATA), choice.pick(FLAGS))
        await edit(vcpu, leaf, index, low, choice.oneIn(2))
      } else if (what === 4) {
        await edit(vcpu, MIDDLE, leaf - LEAVES[0], choice.oneIn(3) ? 0 : pteLow(RAM + choice.pick(LEAVES), PTE_V), true)
      } else {
        await world.setGpte(leaf, index, RAM + DATA + choice.below(PAGES - DATA), choice.pick(FLAGS))
      }
      if (choice.oneIn(2)) vcpu.sfenceVma(-1, -1)
      else {
        vcpu.sfenceVma(-1, 0)
        vcpu.sfenceVma(-1, -1)
      }
    }
    if (choice.oneIn(8)) await world.mm.madvise(world.hva(choice.below(PAGES)), PAGE_SIZE, 'pageout')
    const gvn = choice.below(2) * 512 + choice.below(3)
    const write = choice.oneIn(2)
    // The tables' own pages may be in swap: a load through the hypervisor brings them back, as the walk will.
    await world.vm.readGuest((RAM * PAGE_SIZE) as never, PAGES * PAGE_SIZE)
    const expected = naive.walk(gvn, write, true, svade)
    const where = `seed ${seed}, step ${step}, page ${gvn}, ${write ? 'store' : 'load'}`
    if (write) {
      const result = await store(vcpu, gvn, step, { offset: 8, emulate: choice.oneIn(2) })
      vcpu.exitGuest()
      if (expected === null) t.is(result, 'fault', where)
      else {
        t.not(result, 'fault', where)
        t.is(naive.word(expected, 8), step, where)
      }
    } else {
      const result = await load(vcpu, gvn, { offset: 8 })
      vcpu.exitGuest()
      t.is(result, expected === null ? 'fault' : naive.word(expected, 8), where)
    }
    t.deepEqual(consistencyReport(world.vm), [], where)
  }
}

for (const [name, vm] of Object.entries(MODES)) {
  test(`random edits of the guest's tables show after a fence: ${name}`, async (t) => {
    let unsynced = 0
    let emulated = 0
    let recycled = 0
    for (let seed = 0; seed < schedules(3); seed++) {
      await inWorld({ vm, pages: PAGES, kernel: { swapPages: 32 } }, async (world) => {
        await randomEdits(t, world, seed, vm.adUpdate === 'svade')
        unsynced += world.vm.stats.unsynced
        emulated += world.vm.stats.emulatedStores
        recycled += world.vm.stats.shadowPagesRecycled
        await world.close()
      })
    }
    if (vm.paging === 'shadow') t.true(emulated > 0)
    if (vm.shadowPageLimit !== undefined) t.true(recycled > 0)
    else if (vm.guestTables === 'unsync') t.true(unsynced > 0)
  })

  test(`a remote fence holds when it returns, under random schedules: ${name}`, async (t) => {
    for (let seed = 0; seed < schedules(12); seed++) {
      await inWorld({ vm, pages: PAGES, vcpus: 2, kernel: { policy: random(seed, { period: 2 }) } }, async (world) => {
        const [first, second] = world.vcpus as [Vcpu, Vcpu]
        await boot(world)
        const frames = [DATA, DATA + 1]
        await world.setGpte(LEAVES[0], 0, RAM + frames[0]!, PTE_RW)
        let stop = false
        const reader = world.kernel.spawn('reader', async () => {
          while (!stop) {
            const value = await load(first, 0, { offset: 16 })
            if (value === 0xdead) t.fail(`seed ${seed}: the reader uses a mapping that was fenced`)
            await first.quantumEnd()
          }
          first.exitGuest()
        })
        for (let round = 1; round < 5; round++) {
          const next = frames[round % 2]!
          const old = frames[(round + 1) % 2]!
          await store(second, WINDOW + next, 7, { offset: 16 })
          await edit(second, LEAVES[0], 0, pteLow(RAM + next, PTE_RW), round % 2 === 0)
          second.sfenceVma(-1, -1)
          second.exitGuest()
          await world.vm.remoteSfenceVma(1, 0, 1, -1)
          await store(second, WINDOW + old, 0xdead, { offset: 16 })
        }
        stop = true
        second.exitGuest()
        await world.kernel.sched.join(reader)
        t.deepEqual(consistencyReport(world.vm), [])
        await world.close()
      })
    }
  })
}

// What keeps shadow pages in step is load-bearing: without it the same edits are not seen.

class NoProtection extends ShadowSync {
  override async account(_slot: Memslot, _frame: number, _level: number): Promise<void> {}
  override unaccount(): void {}
}

class NoSync extends ShadowSync {
  override async syncAll(): Promise<void> {
    this.unsync.clear()
  }
}

class Unprotected extends ShadowMmu {
  protected override createSync(vm: Vm): ShadowSync {
    return new NoProtection(vm)
  }
}

class Unsynced extends ShadowMmu {
  protected override createSync(vm: Vm): ShadowSync {
    return new NoSync(vm)
  }
}

const MUTANTS: Record<string, (vm: Vm) => Mmu> = {
  'guest tables are not write-protected': (vm) => new Unprotected(vm),
  'fences do not compare tables again': (vm) => new Unsynced(vm),
}

for (const [name, make] of Object.entries(MUTANTS)) {
  test(`found by the same edits: ${name}`, async (t) => {
    class Mutant extends Vm {
      protected override createMmu(): Mmu {
        return make(this)
      }
    }
    let wrong = 0
    const check = { is: (a: unknown, b: unknown) => a === b || wrong++ >= 0, not: () => true, deepEqual: () => true }
    const options = { vm: { paging: 'shadow', guestTables: 'unsync' }, vmClass: Mutant, pages: PAGES } as const
    for (let seed = 0; seed < 4; seed++) {
      await inWorld({ ...options, kernel: { swapPages: 32 } }, (world) =>
        randomEdits(check as never, world, seed, false),
      )
    }
    t.true(wrong > 0)
  })
}
