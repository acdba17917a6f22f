/** Faults that hold mmuLock together, as under the TDP MMU of x86: against each other, and against those who exclude them. */
import { PAGE_SIZE } from '../../base/index.ts'
import { oomReapMm } from '../../host/index.ts'
import { KVM_MEM_LOG_DIRTY_PAGES } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { pageOf, runGuest } from '../world.ts'
import type { GuestAccess, World } from '../world.ts'

const SHARED = { vm: { mmuLock: 'shared' }, kernel: { frames: 48 } } as const

/** Two vCPUs without a table between them make one access each. */
const twoFaults = (name: string, what: string, first: GuestAccess, second: GuestAccess): Scenario =>
  defineScenario({
    name: `shared-lock-${name}`,
    what,
    invariants: ['I1', 'I2', 'I10'],
    world: { ...SHARED, pages: 2, vcpus: 2 },
    async setup({ ram, thread, vcpus, vm }) {
      await thread.store64(ram, 1n)
      await thread.store64(ram + PAGE_SIZE, 2n)
      for (const vcpu of vcpus) await vm.mmu.loadRoot(vcpu)
    },
    tasks: {
      vcpu0: (world) => runGuest(world, [first]),
      vcpu1: (world) => runGuest(world, [second], world.vcpus[1]),
    },
  })

/** A fault that shares the lock, and somebody who takes it alone. */
const against = (name: string, what: string, other: (world: World) => Promise<unknown>, slotFlags = 0): Scenario =>
  defineScenario({
    name: `shared-lock-${name}`,
    what,
    invariants: ['I1', 'I2', 'I3', 'I10'],
    world: { ...SHARED, pages: 1, slotFlags },
    setup: ({ ram, thread }) => thread.store64(ram, 1n),
    tasks: {
      vcpu0: (world) => runGuest(world, [{ load: 0 }, { store: 0, value: 2n }]),
      other: async (world) => void (await other(world)),
    },
  })

export const sharedLockScenarios: readonly Scenario[] = [
  twoFaults('same-page', 'two vCPUs fault on one page', { load: 0 }, { store: 0, value: 3n }),
  twoFaults('neighbours', 'two vCPUs fault on two pages of one table', { load: 0 }, { load: 1 }),
  against('dontneed', 'the host takes the page of a fault away', (world) =>
    world.mm.madvise(pageOf(world, 0), PAGE_SIZE, 'dontneed'),
  ),
  against('oom-reap', 'the OOM reaper, which may not sleep, takes the page of a fault away', ({ mm }) => oomReapMm(mm)),
  against('zap-all', 'all tables go while a vCPU faults', ({ vm }) => vm.zapAllTables('memslot')),
  against(
    'harvest',
    'the dirty log is read while a vCPU faults and stores',
    ({ vm }) => vm.getDirtyLog(0),
    KVM_MEM_LOG_DIRTY_PAGES,
  ),
]
