/** The scenario of the exhibits in which copy on write is broken. */
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { guestLoad, runGuest } from '../world.ts'

/** @param changePte whether the host opens a window around change_pte */
export const cowAgainstReaders = (changePte: 'bracketed' | 'unbracketed'): Scenario =>
  defineScenario({
    name: 'cow-against-readers',
    what: 'one host thread breaks copy on write, another stores to the new page, the guest reads',
    invariants: ['I1', 'I7'],
    world: { pages: 1, kernel: { frames: 96, changePte } },
    async setup(world) {
      await world.thread.store64(world.ram, 1n)
      const child = await world.mm.fork('child')
      await guestLoad(world, 0)
      return { child, other: world.mm.createThread() }
    },
    tasks: {
      cow: ({ thread, ram }) => thread.store64(ram, 1n),
      writer: ({ ram }, { other }) => other.store64(ram, 2n),
      vcpu0: (world) => runGuest(world, [{ load: 0 }, { load: 0 }, { load: 0 }]),
    },
    end: (_, { child }) => child.exit(),
  })
