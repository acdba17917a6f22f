/** What the exhibits about release and exit play: an mm exits while its pages are reclaimed or its VM goes away. */
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { guestStore } from '../world.ts'
import type { World } from '../world.ts'

async function useBothPages(world: World): Promise<void> {
  await guestStore(world, 0, 7n)
  await guestStore(world, 1, 8n)
  world.vcpu.exitGuest()
  await world.kernel.reclaimPages(1)
}

export const exitAgainstReclaim: Scenario = defineScenario({
  name: 'exit-against-reclaim',
  what: 'an mm exits while reclaim takes its pages, which a guest has mapped',
  invariants: ['I1', 'I2', 'I5'],
  world: { pages: 2, kernel: { frames: 96, swapPages: 16 } },
  setup: useBothPages,
  tasks: {
    exit: (world) => world.mm.exit(),
    reclaim: async (world) => void (await world.kernel.reclaimPages(2)),
  },
})

export const unregisterAgainstReclaim: Scenario = defineScenario({
  name: 'unregister-against-reclaim',
  what: 'a VM is destroyed, which unregisters, while reclaim takes pages that its guest has mapped',
  invariants: ['I1', 'I2', 'I5'],
  world: { pages: 2, kernel: { frames: 96, swapPages: 16 } },
  setup: useBothPages,
  tasks: {
    unregister: (world) => world.vm.destroy(),
    reclaim: async (world) => void (await world.kernel.reclaimPages(2)),
  },
})

export const exitAgainstUnregister: Scenario = defineScenario({
  name: 'exit-against-unregister',
  what: 'an mm exits while its VM is destroyed, which unregisters',
  invariants: ['I5', 'I8'],
  world: { pages: 2, kernel: { frames: 96, swapPages: 16 } },
  setup: useBothPages,
  tasks: {
    exit: (world) => world.mm.exit(),
    unregister: (world) => world.vm.destroy(),
  },
})
