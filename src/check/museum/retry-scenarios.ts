/** The scenarios of the exhibits in which a fault meets an invalidation. */
import { PAGE_SIZE } from '../../base/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { guestStore, runGuest } from '../world.ts'

/** The smallest of all: one page is taken away while a vCPU faults on it. */
export const dontneedAgainstFault: Scenario = defineScenario({
  name: 'dontneed-against-fault',
  what: 'a page is taken away while a vCPU faults on it',
  invariants: ['I1', 'I2', 'I10'],
  world: { pages: 1, kernel: { frames: 96 } },
  setup: ({ thread, ram }) => thread.store64(ram, 1n),
  tasks: {
    dontneed: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
    vcpu0: (world) => runGuest(world, [{ load: 0 }]),
  },
})

/** A page is taken away from a vCPU whose TLB knows it. */
export const dontneedAgainstWarmTlb: Scenario = defineScenario({
  name: 'dontneed-against-warm-tlb',
  what: 'a page is taken away from a vCPU whose TLB knows it',
  invariants: ['I1', 'I2', 'I7'],
  world: { pages: 1, kernel: { frames: 96 } },
  setup: (world) => guestStore(world, 0, 1n),
  tasks: {
    dontneed: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
    vcpu0: (world) => runGuest(world, [{ load: 0 }, { load: 0 }]),
  },
})
