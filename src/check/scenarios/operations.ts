/**
 * One host operation against one vCPU: every operation, against a fault and against a warm TLB, in both ways of paging.
 */
import { PAGE_SIZE } from '../../base/index.ts'
import type { Invariant } from '../../base/index.ts'
import { migratePage, ptePfn, pteValid } from '../../host/index.ts'
import type { KernelOptions, Mm } from '../../host/index.ts'
import type { Paging } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { guestLoad, pageOf, runGuest } from '../world.ts'
import type { World } from '../world.ts'

interface Operation {
  readonly name: string
  readonly what: string
  readonly invariants: readonly Invariant[]
  readonly kernel?: KernelOptions
  /** What must have happened before; the guest has not run yet. */
  readonly prepare?: (world: World) => Promise<Mm | null>
  readonly run: (world: World) => Promise<void>
}

async function withChild({ mm }: World): Promise<Mm> {
  return await mm.fork('child')
}

const operations: readonly Operation[] = [
  {
    name: 'unmap',
    what: 'munmap of the page',
    invariants: ['I1', 'I2', 'I10'],
    run: (world) => world.mm.munmap(pageOf(world, 0), PAGE_SIZE),
  },
  {
    name: 'dontneed',
    what: 'madvise(MADV_DONTNEED) of the page',
    invariants: ['I1', 'I2', 'I7', 'I10'],
    run: (world) => world.mm.madvise(pageOf(world, 0), PAGE_SIZE, 'dontneed'),
  },
  {
    name: 'mprotect',
    what: 'mprotect to read-only, and back',
    invariants: ['I1', 'I9', 'I10'],
    async run(world) {
      await world.mm.mprotect(pageOf(world, 0), PAGE_SIZE, 'r')
      await world.mm.mprotect(pageOf(world, 0), PAGE_SIZE, 'rw')
    },
  },
  ...(['bracketed', 'unbracketed'] as const).map((changePte) => ({
    name: changePte === 'bracketed' ? 'cow-break' : 'cow-break-unbracketed',
    what: `a host thread breaks copy-on-write, change_pte ${changePte}`,
    invariants: ['I1', 'I2', 'I7', 'I9'] as const,
    kernel: { changePte },
    prepare: withChild,
    run: (world: World) => world.thread.store64(pageOf(world, 0), 0x77n),
  })),
  {
    name: 'ksm-merge',
    what: 'KSM merges the page with an equal one',
    invariants: ['I1', 'I2', 'I7', 'I9'],
    async prepare(world) {
      await world.thread.store64(pageOf(world, 1), 1n)
      await world.mm.madvise(world.ram, 2 * PAGE_SIZE, 'mergeable')
      await world.kernel.ksm.scan()
      return null
    },
    async run(world) {
      await world.kernel.ksm.scan()
      await world.kernel.ksm.scan()
    },
  },
  {
    name: 'swap',
    what: 'swap-out, swap-in, and another page in the slot that it left',
    invariants: ['I1', 'I2', 'I3', 'I7'],
    kernel: { swapPages: 2 },
    async prepare(world) {
      await world.thread.store64(pageOf(world, 1), 2n)
      return null
    },
    async run(world) {
      await world.mm.madvise(pageOf(world, 0), PAGE_SIZE, 'pageout')
      await world.thread.load64(pageOf(world, 0))
      await world.mm.madvise(pageOf(world, 1), PAGE_SIZE, 'pageout')
    },
  },
  {
    name: 'reclaim',
    what: 'reclaim ages the page and takes it',
    invariants: ['I1', 'I2', 'I3', 'I4'],
    kernel: { swapPages: 4 },
    async run(world) {
      await world.kernel.reclaimPages(1)
    },
  },
  {
    name: 'fork',
    what: 'fork, a store of the child, its exit',
    invariants: ['I1', 'I7', 'I9'],
    async run(world) {
      const child = await world.mm.fork('child')
      await child.createThread().store64(pageOf(world, 0), 0x99n)
      await child.exit()
    },
  },
  {
    name: 'migrate',
    what: 'the page moves to another frame',
    invariants: ['I1', 'I2', 'I7'],
    async run(world) {
      const pte = world.mm.pageTable.read(pageOf(world, 0))
      if (pteValid(pte)) await migratePage(world.kernel, ptePfn(pte))
    },
  },
]

function against(operation: Operation, guest: 'fault' | 'warm', paging: Paging): Scenario {
  const suffix = paging === 'shadow' ? '-shadow' : ''
  const { kernel = {}, invariants } = operation
  return defineScenario<Mm | null>({
    name: `${operation.name}-vs-${guest}${suffix}`,
    what: `${operation.what}, against ${guest === 'fault' ? 'a guest fault' : 'a warm TLB'} (${paging})`,
    invariants,
    world: { pages: 2, vm: { paging }, kernel },
    async setup(world) {
      await world.thread.store64(pageOf(world, 0), 1n)
      const child = (await operation.prepare?.(world)) ?? null
      // The vCPU stays in guest mode, with the translation in its TLB.
      if (guest === 'warm') await guestLoad(world, 0)
      return child
    },
    tasks: {
      host: (world) => operation.run(world),
      vcpu: (world) => runGuest(world, [{ load: 0 }, { store: 0, value: 5n }, { load: 0 }]),
    },
    async end(_world, child) {
      await child?.exit()
    },
  })
}

export const operationScenarios: readonly Scenario[] = operations.flatMap((operation) =>
  (['two-dimensional', 'shadow'] as const).flatMap((paging) =>
    (['fault', 'warm'] as const).map((guest) => against(operation, guest, paging)),
  ),
)
