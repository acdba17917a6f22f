/**
 * Families of bugs, generated: every operation of the host that takes something from a guest, times every way to get
 * the protocol wrong. How many of them the auditor kills is the mutation score.
 *
 * R1 A mutant is killed when any invariant breaks within the schedules of the score; what survives is named.
 * R2 A mutant that cannot break anything is in `EQUIVALENT`, with the reason; it is run all the same.
 */
import { PAGE_SIZE, hva } from '../../base/index.ts'
import { migratePage, oomReapMm, ptePfn, pteValid, truncateFile } from '../../host/index.ts'
import type { KernelOptions } from '../../host/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { guestLoad, guestStore, pageOf, runGuest } from '../world.ts'
import type { World } from '../world.ts'
import { flushMutants } from './flush-position.ts'
import type { Mutation } from './mutation.ts'
import { retryMutants } from './no-retry.ts'
import { windowMutants } from './window-order.ts'

/** An operation of the host that changes what a guest may do with a page. */
export interface Operation {
  readonly name: string
  readonly kernel?: KernelOptions
  readonly shared?: boolean
  /** @returns what undoes it at the end */
  readonly prepare?: (world: World) => Promise<(() => Promise<void>) | void>
  readonly run: (world: World) => Promise<unknown>
}

export interface Mutant {
  readonly operation: string
  readonly mutation: Mutation
  readonly scenario: Scenario
  /** Why it breaks nothing; null for one that must be killed. */
  readonly equivalent: string | null
}

const OPERATIONS: readonly Operation[] = [
  { name: 'munmap', run: ({ mm, ram }) => mm.munmap(ram, PAGE_SIZE) },
  { name: 'dontneed', run: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed') },
  { name: 'mprotect', run: ({ mm, ram }) => mm.mprotect(ram, PAGE_SIZE, 'r') },
  { name: 'mremap', run: ({ mm, ram }) => mm.mremap(ram, PAGE_SIZE, PAGE_SIZE, { to: ram - 16 * PAGE_SIZE }) },
  { name: 'swap-out', kernel: { swapPages: 4 }, run: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'pageout') },
  {
    name: 'migrate',
    async run({ kernel, mm, ram }) {
      const pte = mm.pageTable.read(ram)
      if (pteValid(pte)) await migratePage(kernel, ptePfn(pte))
    },
  },
  {
    name: 'fork',
    async run({ mm, ram }) {
      const child = await mm.fork('child')
      await child.createThread().store64(ram, 9n)
      await child.exit()
    },
  },
  {
    name: 'cow',
    async prepare({ mm }) {
      const child = await mm.fork('child')
      return () => child.exit()
    },
    run: ({ thread, ram }) => thread.store64(ram, 9n),
  },
  {
    name: 'ksm',
    async prepare(world) {
      const { kernel, mm, ram, thread } = world
      await thread.store64(pageOf(world, 1), 1n)
      await mm.madvise(ram, 2 * PAGE_SIZE, 'mergeable')
      await kernel.ksm.scan()
    },
    async run({ kernel }) {
      await kernel.ksm.scan()
      await kernel.ksm.scan()
    },
  },
  {
    name: 'truncate',
    shared: true,
    async run({ mm, ram }) {
      const file = mm.vmas.lookup(hva(ram))?.file
      if (file != null) await truncateFile(file, 0)
    },
  },
  { name: 'oom', run: ({ mm }) => oomReapMm(mm) },
]

const WRITE_LOCKED =
  'the mmap lock is held for writing until the PTE is changed: no fault can look the page up in between'
const REWRITTEN = 'change_pte follows under the page-table lock, and rewrites and flushes the spte'
const REFERENCED =
  'a page that a fault holds a reference on is neither reclaimed nor migrated: its lookup cannot become stale'

/** Reasons by `operation/mutation`. */
const EQUIVALENT: Readonly<Record<string, string>> = {
  'munmap/end-before-clear': WRITE_LOCKED,
  'mprotect/end-before-clear': WRITE_LOCKED,
  'mremap/end-before-clear': WRITE_LOCKED,
  'fork/end-before-clear': WRITE_LOCKED,
  'cow/clear-before-start': REWRITTEN,
  'cow/end-before-clear': REWRITTEN,
  'ksm/clear-before-start': REWRITTEN,
  'ksm/end-before-clear': REWRITTEN,
  'ksm/flush-before-zap': REWRITTEN,
  'swap-out/count-only': REFERENCED,
  'swap-out/sequence-late': REFERENCED,
  'migrate/count-only': REFERENCED,
  'migrate/sequence-late': REFERENCED,
}

type Guest = 'warm' | 'fault'

/** A warm guest has the page in spte and TLB, and may store to it; the other one is about to fault on it. */
function against(operation: Operation, guest: Guest): Scenario {
  const { name, prepare, run, kernel = {} } = operation
  return defineScenario<(() => Promise<void>) | void>({
    name: `${name}-vs-${guest}`,
    what: `${name} of a page, against a guest ${guest === 'warm' ? 'that has it in its TLB' : 'that faults on it'}`,
    invariants: ['I1', 'I2', 'I7', 'I9', 'I10'],
    world: { pages: 2, shared: operation.shared ?? false, kernel: { frames: 96, ...kernel } },
    async setup(world) {
      await world.thread.store64(world.ram, 1n)
      const undo = await prepare?.(world)
      if (guest === 'warm') {
        await guestLoad(world, 0)
        if (name !== 'cow' && name !== 'ksm') await guestStore(world, 0, 1n)
      }
      return undo
    },
    tasks: {
      host: async (world) => void (await run(world)),
      vcpu0: (world) => runGuest(world, guest === 'warm' ? [{ load: 0 }, { load: 0 }] : [{ load: 0 }]),
    },
    end: async (_, undo) => undo?.(),
  })
}

const MUTATIONS: readonly (readonly [Mutation, Guest])[] = [
  ...windowMutants.map((mutation): [Mutation, Guest] => [mutation, 'warm']),
  ...flushMutants.map((mutation): [Mutation, Guest] => [mutation, 'warm']),
  ...retryMutants.map((mutation): [Mutation, Guest] => [mutation, 'fault']),
]

/** Every operation times every mutation. */
export function mutants(): Mutant[] {
  return OPERATIONS.flatMap((operation) => {
    const scenarios = { warm: against(operation, 'warm'), fault: against(operation, 'fault') }
    return MUTATIONS.map(([mutation, guest]) => ({
      operation: operation.name,
      mutation,
      scenario: scenarios[guest],
      equivalent: EQUIVALENT[`${operation.name}/${mutation.name}`] ?? null,
    }))
  })
}
