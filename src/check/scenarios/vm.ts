/** Changes of a VM itself while its vCPUs run: memslots, the dirty log, fences, kicks, a page that it keeps at hand. */
import { KernelBug, PAGE_SIZE, gpa, hpa } from '../../base/index.ts'
import { clearSoftDirty, ptePfn, pteValid, softDirtyPages } from '../../host/index.ts'
import { GfnToPfnCache } from '../../mmu/index.ts'
import type { Paging } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { FIRST_GFN, guestLoad, guestStore, pageOf, runGuest } from '../world.ts'
import type { World } from '../world.ts'
import { PAGING, pagingWorld, suffixOf } from './host-against-guest.ts'

/** A slot over the memory of the world. */
const slot = (world: World, id: number, frame: number, pages: number): Promise<void> =>
  world.vm.setMemslot({ id, gpa: frame * PAGE_SIZE, length: pages * PAGE_SIZE, hva: world.ram })

const dontneed = (world: World): Promise<void> => world.mm.madvise(pageOf(world, 0), PAGE_SIZE, 'dontneed')

/** The first page is written. */
const prepare = async (world: World): Promise<void> => world.thread.store64(world.ram, 1n)

const MEMSLOT_CHANGES: Readonly<Record<string, (world: World) => Promise<void>>> = {
  add: (world) => slot(world, 1, FIRST_GFN + 8, 1),
  move: (world) => slot(world, 0, FIRST_GFN + 1, world.pages + world.tables),
  delete: (world) => slot(world, 0, FIRST_GFN, 0),
}

const memslots = Object.entries(MEMSLOT_CHANGES).flatMap(([change, run]) =>
  PAGING.flatMap((paging) => [
    defineScenario({
      name: `memslot-${change}-vs-fault${suffixOf(paging)}`,
      what: `KVM_SET_USER_MEMORY_REGION: ${change}, while a vCPU faults on the memory (${paging})`,
      invariants: ['I1', 'I10', 'I11'],
      world: pagingWorld(paging),
      setup: prepare,
      tasks: {
        vcpu: (world) => runGuest(world, [{ load: 0 }, { store: 8, value: 3n }]),
        slots: run,
      },
    }),
    defineScenario({
      name: `memslot-${change}-vs-window${suffixOf(paging)}`,
      what: `KVM_SET_USER_MEMORY_REGION: ${change}, while an invalidation of the memory is open and a vCPU has a warm TLB (${paging})`,
      invariants: ['I1', 'I6', 'I10', 'I11'],
      world: pagingWorld(paging),
      async setup(world) {
        await prepare(world)
        await guestLoad(world, 0)
      },
      tasks: {
        host: dontneed,
        slots: run,
        vcpu: (world) => runGuest(world, [{ load: 0 }]),
      },
    }),
  ]),
)

/** Pages that some harvest has reported. */
interface Harvest {
  bits: number
}

async function harvest({ vm }: World, seen: Harvest): Promise<void> {
  seen.bits |= (await vm.getDirtyLog(0))[0]!
}

const dirtyLog = (paging: Paging): Scenario =>
  defineScenario<Harvest>({
    name: `dirty-log-vs-writer${suffixOf(paging)}`,
    what: `KVM_GET_DIRTY_LOG while two vCPUs write (${paging})`,
    invariants: ['I3', 'I1'],
    world: pagingWorld(paging, { pages: 2, vcpus: 2, slotFlags: 1 }),
    async setup(world) {
      await prepare(world)
      await guestStore(world, 0, 1n)
      world.vcpu.exitGuest()
      await harvest(world, { bits: 0 })
      return { bits: 0 }
    },
    tasks: {
      vcpu0: (world) =>
        runGuest(world, [
          { store: 0, value: 2n },
          { store: 0, value: 3n },
        ]),
      vcpu1: (world) => runGuest(world, [{ store: 1, value: 4n }], world.vcpus[1]),
      harvest: (world, seen) => harvest(world, seen),
    },
    async end(world, seen) {
      await harvest(world, seen)
      if ((seen.bits & 3) !== 3)
        throw new KernelBug(`pages 0 and 1 were written; the log has ${seen.bits.toString(2)}`, 'I3')
    },
  })

interface Cleared {
  /** What the page held when its soft-dirty mark had been cleared. */
  value: bigint
}

function contentOf({ kernel, mm, ram }: World): bigint {
  const pte = mm.pageTable.read(ram)
  return pteValid(pte) ? kernel.memory.read64(hpa(ptePfn(pte) * PAGE_SIZE)) : 0n
}

const softDirty = (paging: Paging): Scenario =>
  defineScenario<Cleared>({
    name: `soft-dirty-vs-writer${suffixOf(paging)}`,
    what: `the soft-dirty mark is cleared while a vCPU writes: what it writes later is marked (${paging})`,
    invariants: ['I3', 'I1', 'I9'],
    world: pagingWorld(paging),
    async setup(world) {
      await prepare(world)
      await guestStore(world, 0, 2n)
      return { value: 0n }
    },
    tasks: {
      host: async (world, cleared) => {
        await clearSoftDirty(world.mm)
        cleared.value = contentOf(world)
      },
      vcpu: (world) =>
        runGuest(world, [
          { store: 0, value: 3n },
          { store: 0, value: 4n },
        ]),
    },
    async end(world, { value }) {
      const marked = await softDirtyPages(world.mm, world.ram, PAGE_SIZE)
      if (contentOf(world) !== value && marked.length === 0) {
        throw new KernelBug('the page was written after its soft-dirty mark was cleared, and is not marked', 'I3')
      }
    },
  })

/** A page that the hypervisor keeps at hand, written from there. */
const pfnCache = (paging: Paging, against: string, host: (world: World) => Promise<void>): Scenario =>
  defineScenario<GfnToPfnCache>({
    name: `pfncache-vs-${against}${suffixOf(paging)}`,
    what: `the hypervisor writes through a gfn_to_pfn cache during ${against} (${paging})`,
    invariants: ['I1', 'I2', 'I7', 'I10'],
    world: pagingWorld(paging),
    async setup(world) {
      await prepare(world)
      const cache = new GfnToPfnCache(world.vm)
      await cache.activate(gpa(FIRST_GFN * PAGE_SIZE))
      return cache
    },
    tasks: {
      host,
      hypervisor: async ({ kernel }, cache) => {
        await cache.write(0, Uint8Array.of(3))
        if (kernel.sched.contended) await kernel.sched.point(cache, 'r', 'between two writes')
        await cache.write(0, Uint8Array.of(4))
      },
    },
    end: async (_world, cache) => cache.deactivate(),
  })

/** Everything that depends on no other scenario, in both ways of paging. */
const twins = PAGING.flatMap((paging) => [
  dirtyLog(paging),
  softDirty(paging),
  pfnCache(paging, 'dontneed', dontneed),
  pfnCache(paging, 'memslot-delete', MEMSLOT_CHANGES['delete']!),
  defineScenario({
    name: `remote-fence-vs-fault${suffixOf(paging)}`,
    what: `a remote sfence.vma to a vCPU that faults, while the page goes (${paging})`,
    invariants: ['I12', 'I1', 'I8'],
    world: pagingWorld(paging, { vcpus: 2 }),
    setup: prepare,
    tasks: {
      fence: ({ vm }) => vm.remoteSfenceVma(2, -1, 0, -1),
      vcpu1: (world) => runGuest(world, [{ load: 0 }, { load: 0 }], world.vcpus[1]),
      host: dontneed,
    },
  }),
  defineScenario({
    name: `kick-two-vcpus${suffixOf(paging)}`,
    what: `a page goes from two vCPUs with warm TLBs: either takes the interrupt first (${paging})`,
    invariants: ['I1', 'I2', 'I8'],
    world: pagingWorld(paging, { vcpus: 2 }),
    async setup(world) {
      await prepare(world)
      for (const vcpu of world.vcpus) await guestLoad(world, 0, vcpu)
    },
    tasks: {
      host: dontneed,
      vcpu0: (world) => runGuest(world, [{ load: 0 }]),
      vcpu1: (world) => runGuest(world, [{ load: 0 }], world.vcpus[1]),
    },
  }),
])

export const vmScenarios: readonly Scenario[] = [...memslots, ...twins]
