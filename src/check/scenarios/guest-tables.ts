/**
 * The guest edits its page tables while the host takes pages away, and while another vCPU uses them.
 *
 * A fence is a promise (I12): what a vCPU loads after it comes through the tables as they are now. Without one the old
 * translation and the new one are both right, and only the host's pages are judged.
 */
import { KernelBug, PAGE_SIZE } from '../../base/index.ts'
import type { Invariant } from '../../base/index.ts'
import type { Paging, VmOptions } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { FIRST_GFN, GUEST_LEAF, guestLoad, guestPte, guestPteAddress, guestStore, pageOf, runGuest } from '../world.ts'
import type { GuestAccess, World, WorldOptions } from '../world.ts'

interface Way {
  readonly suffix: string
  readonly vm: VmOptions & { readonly paging: Paging }
}

/** Shadow tables that trap each store, shadow tables that go out of sync, and two-dimensional paging to compare. */
const WAYS: readonly Way[] = [
  { suffix: '-trap', vm: { paging: 'shadow', guestTables: 'trap' } },
  { suffix: '-unsync', vm: { paging: 'shadow', guestTables: 'unsync' } },
  { suffix: '-two-dimensional', vm: { paging: 'two-dimensional' } },
]

/** Two pages, holding 1 and 2, each mapped to itself. */
const worldOf = ({ vm }: Way, more: WorldOptions = {}): WorldOptions => ({
  pages: 2,
  guestTables: 'small',
  ...more,
  vm,
})

/** Warms the tables of every vCPU; each stays in guest mode. */
async function prepare(world: World): Promise<void> {
  await world.thread.store64(pageOf(world, 0), 1n)
  await world.thread.store64(pageOf(world, 1), 2n)
  for (const vcpu of world.vcpus) await guestLoad(world, 0, vcpu)
}

/** Page 0 becomes another name of page 1. */
const redirected = guestPte(FIRST_GFN + 1, GUEST_LEAF)
const REDIRECT: GuestAccess = { pte: 0, value: redirected }

/** Loads page 0; once page 0 has been redirected for good it must be page 1 that it sees. */
async function loadAfterFence(world: World, state: { fenced: boolean }, vcpu = world.vcpu): Promise<void> {
  const { fenced } = state
  const value = await guestLoad(world, 0, vcpu)
  if (fenced && value !== 2n) {
    throw new KernelBug(`vcpu ${vcpu.id} loads ${value} through a PTE that was changed before the fence`, 'I12')
  }
}

const HOST: readonly {
  readonly name: string
  readonly what: string
  readonly invariants: readonly Invariant[]
  readonly run: (world: World) => Promise<void>
  readonly world?: WorldOptions
}[] = [
  {
    name: 'dontneed',
    what: 'the page that it maps is taken away',
    invariants: ['I1', 'I2', 'I10'],
    run: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
  },
  {
    name: 'table-pageout',
    what: 'the table itself is swapped out',
    invariants: ['I1', 'I2', 'I3', 'I10'],
    world: { kernel: { swapPages: 4 } },
    run: (world) => world.mm.madvise(tablePage(world), PAGE_SIZE, 'pageout'),
  },
  {
    name: 'table-store',
    what: 'a host thread makes the same change',
    invariants: ['I1', 'I7', 'I10'],
    run: (world) => world.thread.store64(guestPteAddress(world, 0), redirected),
  },
  {
    name: 'table-mprotect',
    what: 'the table becomes read-only for a while',
    invariants: ['I1', 'I9', 'I10'],
    async run(world) {
      await world.mm.mprotect(tablePage(world), PAGE_SIZE, 'r')
      await world.mm.mprotect(tablePage(world), PAGE_SIZE, 'rw')
    },
  },
]

/** Host address of the guest's table of leaves. */
const tablePage = (world: World): number => pageOf(world, world.pages + world.tables - 1)

const againstHost = HOST.flatMap((host) =>
  WAYS.flatMap((way) =>
    ([true, false] as const).map((fences) =>
      defineScenario<{ fenced: boolean }>({
        name: `gpte-edit${fences ? '' : '-no-fence'}-vs-${host.name}${way.suffix}`,
        what: `the guest changes a PTE ${fences ? 'and fences' : 'without a fence'}, while ${host.what} (${way.suffix.slice(1)})`,
        invariants: [...host.invariants, ...(fences ? (['I12'] as const) : [])],
        world: worldOf(way, host.world),
        async setup(world) {
          await prepare(world)
          return { fenced: false }
        },
        tasks: {
          host: host.run,
          vcpu: async (world, state) => {
            await runGuest(world, fences ? [REDIRECT, { fence: 'all' }] : [REDIRECT, { load: 0 }])
            state.fenced = fences && (await world.thread.load64(guestPteAddress(world, 0))) === redirected
            await loadAfterFence(world, state)
            world.vcpu.exitGuest()
          },
        },
      }),
    ),
  ),
)

const twoVcpus = WAYS.flatMap((way) => [
  defineScenario({
    name: `gpte-edit-vs-fault${way.suffix}`,
    what: `a vCPU changes a PTE and fences while another faults through it (${way.suffix.slice(1)})`,
    invariants: ['I1', 'I10', 'I12'],
    world: worldOf(way, { vcpus: 2 }),
    async setup(world) {
      await world.thread.store64(pageOf(world, 0), 1n)
      await guestLoad(world, 0)
    },
    tasks: {
      vcpu0: (world) => runGuest(world, [REDIRECT, { fence: 'all' }, { load: 0 }]),
      vcpu1: (world) => runGuest(world, [{ store: 0, value: 3n }, { load: 0 }], world.vcpus[1]),
    },
  }),
  defineScenario<{ fenced: boolean }>({
    name: `gpte-edit-remote-fence${way.suffix}`,
    what: `a vCPU changes a PTE and fences another one, which loads through it (${way.suffix.slice(1)})`,
    invariants: ['I1', 'I10', 'I12'],
    world: worldOf(way, { vcpus: 2 }),
    async setup(world) {
      await prepare(world)
      return { fenced: false }
    },
    tasks: {
      vcpu0: async (world, state) => {
        await runGuest(world, [REDIRECT])
        await world.vm.remoteSfenceVma(2, -1, 0, -1)
        state.fenced = true
      },
      vcpu1: async (world, state) => {
        const vcpu = world.vcpus[1]!
        const { sched } = world.kernel
        for (let i = 0; i < 2; i++) {
          if (sched.contended) await sched.point(vcpu, 'w', 'between two guest instructions')
          await loadAfterFence(world, state, vcpu)
        }
        vcpu.exitGuest()
      },
    },
  }),
  defineScenario({
    name: `gpte-edit-vs-edit${way.suffix}`,
    what: `two vCPUs change the same table and fence (${way.suffix.slice(1)})`,
    invariants: ['I1', 'I7', 'I10', 'I11'],
    world: worldOf(way, { vcpus: 2 }),
    setup: prepare,
    tasks: {
      vcpu0: (world) => runGuest(world, [REDIRECT, { fence: 'all' }, { load: 0 }]),
      vcpu1: (world) =>
        runGuest(
          world,
          [{ pte: 1, value: guestPte(FIRST_GFN, GUEST_LEAF) }, { fence: 'all' }, { load: 1 }],
          world.vcpus[1],
        ),
    },
  }),
])

/** Walks leave marks: the walker sets D of a clean PTE while the host takes the table, or the page, away. */
const walkerMarks = WAYS.map((way) =>
  defineScenario({
    name: `gpte-dirty-bit-vs-table-pageout${way.suffix}`,
    what: `the walker sets D of a guest PTE while the table is swapped out (${way.suffix.slice(1)})`,
    invariants: ['I1', 'I3', 'I7'],
    world: worldOf(way, { kernel: { swapPages: 4 } }),
    async setup(world) {
      await world.thread.store64(pageOf(world, 0), 1n)
      await world.thread.store64(guestPteAddress(world, 0), guestPte(FIRST_GFN, GUEST_LEAF & ~0x80n))
      await guestLoad(world, 0)
    },
    tasks: {
      host: (world) => world.mm.madvise(tablePage(world), PAGE_SIZE, 'pageout'),
      vcpu: async (world) => {
        await guestStore(world, 0, 5n)
        world.vcpu.exitGuest()
      },
    },
    async end(world) {
      const pte = await world.thread.load64(guestPteAddress(world, 0))
      if ((pte & 0x80n) === 0n) throw new KernelBug('the page was written, D of its guest PTE is lost', 'I3')
    },
  }),
)

export const guestTableScenarios: readonly Scenario[] = [...againstHost, ...twoVcpus, ...walkerMarks]
