/** Changes of a VM itself while its vCPUs run: memslots, the dirty log, fences. */
import { KernelBug, PAGE_SIZE } from '../../base/index.ts'
import type { Paging } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { FIRST_GFN, guestLoad, guestStore, pageOf, runGuest } from '../world.ts'
import type { World } from '../world.ts'

/** A slot over the pages of the world. */
const slot = (world: World, id: number, frame: number, pages: number): Promise<void> =>
  world.vm.setMemslot({ id, gpa: frame * PAGE_SIZE, length: pages * PAGE_SIZE, hva: world.ram })

const dontneed = (world: World): Promise<void> => world.mm.madvise(pageOf(world, 0), PAGE_SIZE, 'dontneed')

/** Of the two pages the first is written. */
const prepare = async (world: World): Promise<void> => world.thread.store64(world.ram, 1n)

const MEMSLOT_CHANGES: Readonly<Record<string, (world: World) => Promise<void>>> = {
  add: (world) => slot(world, 1, FIRST_GFN + 8, 2),
  move: (world) => slot(world, 0, FIRST_GFN + 1, 2),
  delete: (world) => slot(world, 0, FIRST_GFN, 0),
}

const memslots = Object.entries(MEMSLOT_CHANGES).flatMap(([change, run]) => [
  defineScenario({
    name: `memslot-${change}-vs-fault`,
    what: `KVM_SET_USER_MEMORY_REGION: ${change}, while a vCPU faults on the memory`,
    invariants: ['I1', 'I10', 'I11'],
    world: { pages: 2 },
    setup: prepare,
    tasks: {
      vcpu: (world) => runGuest(world, [{ load: 0 }, { store: 8, value: 3n }]),
      slots: run,
    },
  }),
  defineScenario({
    name: `memslot-${change}-vs-window`,
    what: `KVM_SET_USER_MEMORY_REGION: ${change}, while an invalidation of the memory is open and a vCPU has a warm TLB`,
    invariants: ['I1', 'I6', 'I10', 'I11'],
    world: { pages: 2 },
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
])

/** Pages that some harvest has reported. */
interface Harvest {
  bits: number
}

async function harvest({ vm }: World, seen: Harvest): Promise<void> {
  seen.bits |= (await vm.getDirtyLog(0))[0]!
}

const dirtyLog = (paging: Paging): Scenario =>
  defineScenario<Harvest>({
    name: `dirty-log-vs-writer${paging === 'shadow' ? '-shadow' : ''}`,
    what: `KVM_GET_DIRTY_LOG while two vCPUs write (${paging})`,
    invariants: ['I3', 'I1'],
    world: { pages: 2, vcpus: 2, slotFlags: 1, vm: { paging } },
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
      if (seen.bits !== 3) throw new KernelBug(`pages 0 and 1 were written; the log has ${seen.bits.toString(2)}`, 'I3')
    },
  })

export const vmScenarios: readonly Scenario[] = [
  ...memslots,
  dirtyLog('two-dimensional'),
  dirtyLog('shadow'),
  ...(['two-dimensional', 'shadow'] as const).map((paging) =>
    defineScenario({
      name: `remote-fence-vs-fault${paging === 'shadow' ? '-shadow' : ''}`,
      what: `a remote sfence.vma to a vCPU that faults, while the page goes (${paging})`,
      invariants: ['I12', 'I1', 'I8'],
      world: { pages: 1, vcpus: 2, vm: { paging } },
      setup: prepare,
      tasks: {
        fence: ({ vm }) => vm.remoteSfenceVma(2, -1, 0, -1),
        vcpu1: (world) => runGuest(world, [{ load: 0 }, { load: 0 }], world.vcpus[1]),
        host: dontneed,
      },
    }),
  ),
]
