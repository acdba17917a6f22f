/** Interval notifiers: a copy of a page behind a user lock, with the sequence that keeps it safe. */
import { KernelBug, PAGE_SIZE, hva } from '../../base/index.ts'
import type { Hva } from '../../base/index.ts'
import { ptePfn, pteValid } from '../../host/index.ts'
import {
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalReadBegin,
  mmuIntervalReadRetry,
  mmuIntervalSetSeq,
} from '../../notifier/index.ts'
import type { MmuIntervalNotifier, MmuIntervalNotifierOps, MmuNotifierRange } from '../../notifier/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import type { World, WorldOptions } from '../world.ts'

const NO_VM: WorldOptions = { pages: 2, vm: null }
const TRIES = 4

/** A device that keeps one translation. Between two awaits it is one step: that is its user lock. */
class Mirror implements MmuIntervalNotifierOps {
  readonly name = 'mirror'
  /** Frame that the device uses, -1 for none. */
  pfn = -1
  isRemoved = false
  private readonly world: World

  constructor(world: World) {
    this.world = world
  }

  invalidate(_range: MmuNotifierRange, seq: number, sub: MmuIntervalNotifier): boolean {
    if (this.isRemoved) throw new KernelBug('invalidate runs after remove returned', 'I5')
    mmuIntervalSetSeq(sub, seq)
    this.pfn = -1
    return true
  }

  /** Reads the page table and keeps what it says, by the protocol. */
  async fill(sub: MmuIntervalNotifier): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const seq = await mmuIntervalReadBegin(sub)
      const pte = await this.world.mm.readPteUnlocked(this.world.ram)
      await this.world.kernel.sched.yieldNow()
      if (mmuIntervalReadRetry(sub, seq)) continue
      this.pfn = pteValid(pte) ? ptePfn(pte) : -1
      return
    }
  }

  /** What it keeps is what the page table says, when no invalidation is under way. */
  settle(): void {
    const pte = this.world.mm.pageTable.read(this.world.ram)
    if (this.pfn !== -1 && (!pteValid(pte) || ptePfn(pte) !== this.pfn)) {
      throw new KernelBug(`the device uses frame ${this.pfn}, which the mm no longer maps`, 'I1')
    }
  }
}

interface Inserted {
  readonly mirror: Mirror
  readonly sub: MmuIntervalNotifier
}

async function insert(world: World): Promise<Inserted> {
  const mirror = new Mirror(world)
  return { mirror, sub: await mmuIntervalNotifierInsert(mirror, world.mm, start(world), PAGE_SIZE) }
}

const start = (world: World): Hva => hva(world.ram)

const dontneed = ({ mm, ram }: World): Promise<void> => mm.madvise(ram, PAGE_SIZE, 'dontneed')

async function remove({ mirror, sub }: Inserted): Promise<void> {
  await mmuIntervalNotifierRemove(sub)
  mirror.isRemoved = true
}

export const intervalScenarios: readonly Scenario[] = [
  defineScenario<Inserted>({
    name: 'interval-read-vs-dontneed',
    what: 'read_begin and read_retry of a device, while the page goes and comes back',
    invariants: ['I1', 'I5', 'I8'],
    world: NO_VM,
    async setup(world) {
      await world.thread.store64(world.ram, 1n)
      return await insert(world)
    },
    tasks: {
      device: (_world, { mirror, sub }) => mirror.fill(sub),
      host: async (world) => {
        await dontneed(world)
        await world.thread.store64(world.ram, 2n)
      },
    },
    async end(_world, inserted) {
      inserted.mirror.settle()
      await remove(inserted)
    },
  }),
  defineScenario<Inserted>({
    name: 'interval-remove-vs-dontneed',
    what: 'an interval notifier is removed while two invalidations hit it',
    invariants: ['I5', 'I6', 'I8'],
    world: NO_VM,
    async setup(world) {
      await world.thread.store64(world.ram, 1n)
      return await insert(world)
    },
    tasks: {
      remove: (_world, inserted) => remove(inserted),
      host0: dontneed,
      host1: dontneed,
    },
  }),
  defineScenario<{ inserted: Inserted | null }>({
    name: 'interval-insert-vs-dontneed',
    what: 'an interval notifier is inserted, and fills its device, while the page goes',
    invariants: ['I1', 'I5', 'I8'],
    world: NO_VM,
    async setup(world) {
      await world.thread.store64(world.ram, 1n)
      return { inserted: null }
    },
    tasks: {
      device: async (world, state) => {
        const inserted = await insert(world)
        state.inserted = inserted
        await inserted.mirror.fill(inserted.sub)
      },
      host: dontneed,
    },
    async end(_world, { inserted }) {
      inserted!.mirror.settle()
      await remove(inserted!)
    },
  }),
]
