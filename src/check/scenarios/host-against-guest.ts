/**
 * One host operation against one vCPU: each against a fault and against a warm TLB, in both ways of paging; some of them
 * while allocations fail, and while the vCPU's hardware looks ahead and forgets.
 *
 * Under shadow paging the guest runs on page tables of its own; they lie behind the page that the operation is about.
 */
import { PAGE_SIZE } from '../../base/index.ts'
import type { Mm } from '../../host/index.ts'
import type { Paging } from '../../mmu/index.ts'
import { speculate } from '../open-choices.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario, ScenarioSpec } from '../scenario.ts'
import { guestLoad, pageOf, runGuest } from '../world.ts'
import type { GuestAccess, World, WorldOptions } from '../world.ts'
import { STORE_FIRST, operations } from './operations.ts'
import type { Operation } from './operations.ts'

export const PAGING = ['two-dimensional', 'shadow'] as const

export const suffixOf = (paging: Paging): string => (paging === 'shadow' ? '-shadow' : '')

/** A VM that pages in this way; under shadow paging its guest has page tables. */
export const pagingWorld = (paging: Paging, world: WorldOptions = {}): WorldOptions => ({
  pages: 1,
  guestTables: paging === 'shadow' ? 'gigapage' : 'none',
  ...world,
  vm: { paging },
})

/**
 * What the vCPU knows of the page: nothing, the translation in its tables and TLB, or in its tables alone. If it knows
 * something it stays in guest mode.
 */
type Guest = 'fault' | 'warm' | 'forgetful'

async function prepare(operation: Operation, world: World, guest: Guest): Promise<Mm | null> {
  await world.thread.store64(pageOf(world, 0), 1n)
  const child = (await operation.prepare?.(world)) ?? null
  if (guest !== 'fault') await guestLoad(world, 0)
  if (guest === 'forgetful') world.vcpu.tlb.flushAll()
  return child
}

const USE_TWICE: readonly GuestAccess[] = [{ load: 0 }, { store: 0, value: 5n }, { load: 0 }]

function against(
  operation: Operation,
  paging: Paging,
  guest: Guest,
  spec: Pick<ScenarioSpec<Mm | null>, 'name' | 'what' | 'tasks'> & { readonly world?: WorldOptions },
): Scenario {
  return defineScenario<Mm | null>({
    name: `${spec.name}${suffixOf(paging)}`,
    what: `${operation.what}, ${spec.what} (${paging})`,
    invariants: operation.invariants,
    world: pagingWorld(paging, { ...operation.world, ...spec.world }),
    setup: (world) => prepare(operation, world, guest),
    tasks: spec.tasks,
    async end(_world, child) {
      await child?.exit()
    },
  })
}

const pairs = operations.flatMap((operation) =>
  PAGING.flatMap((paging) =>
    (['fault', 'warm'] as const).map((guest) =>
      against(operation, paging, guest, {
        name: `${operation.name}-vs-${guest}`,
        what: `against ${guest === 'fault' ? 'a guest fault' : 'a warm TLB'}`,
        tasks: {
          host: (world) => operation.run(world),
          vcpu: (world) => runGuest(world, operation.guest ?? USE_TWICE),
        },
      }),
    ),
  ),
)

const named = (names: readonly string[]): readonly Operation[] => operations.filter(({ name }) => names.includes(name))

/** Any one allocation of host or vCPU fails: the tables of a fault, the page, the copy. */
const failing = named([
  'dontneed',
  'cow-break',
  'ksm-merge',
  'swap',
  'fork',
  'migrate',
  'mremap',
  'punch-hole',
]).flatMap((operation) =>
  PAGING.map((paging) =>
    against(operation, paging, 'fault', {
      name: `${operation.name}-vs-fault-no-memory`,
      what: 'against a guest fault, while an allocation fails',
      world: { failures: 1 },
      tasks: {
        host: (world) => operation.run(world),
        vcpu: (world) => runGuest(world, [{ store: 0, value: 5n }, { load: 0 }]),
      },
    }),
  ),
)

/** The TLB is filled and emptied by hardware at any moment. */
const speculating = named(['unmap', 'mprotect', 'cow-break', 'migrate', 'free', 'exit']).flatMap((operation) =>
  PAGING.map((paging) =>
    against(operation, paging, 'forgetful', {
      name: `${operation.name}-vs-speculation`,
      what: 'while the hardware of a vCPU in guest mode looks ahead and forgets',
      tasks: {
        host: (world) => operation.run(world),
        vcpu: (world) => runGuest(world, [{ load: 0 }]),
        hardware: (world) => speculate(world, 0, 1),
      },
    }),
  ),
)

/** The guest's leaves are smaller than the host's: the TLB holds a part of what one spte maps. */
const fractions = named(['huge-split', 'huge-dontneed']).flatMap((operation) =>
  (['fault', 'warm'] as const).map((guest) =>
    against(operation, 'two-dimensional', guest, {
      name: `${operation.name}-vs-${guest}-small-leaves`,
      what: `against ${guest === 'fault' ? 'a guest fault' : 'a warm TLB'}, through small leaves of the guest's tables`,
      world: { guestTables: 'small' },
      tasks: {
        host: async (world) => {
          await operation.run(world)
          await world.mm.madvise(world.ram, PAGE_SIZE, 'dontneed')
        },
        vcpu: (world) => runGuest(world, STORE_FIRST),
      },
    }),
  ),
)

export const hostScenarios: readonly Scenario[] = [...pairs, ...fractions, ...failing, ...speculating]
