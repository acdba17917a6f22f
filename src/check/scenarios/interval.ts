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
  mmuNotifierRange,
} from '../../notifier/index.ts'
import type { Hook, MmuIntervalNotifier, MmuIntervalNotifierOps, MmuNotifierRange } from '../../notifier/index.ts'
import { Mutex, lockClass } from '../../sched/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import type { World, WorldOptions } from '../world.ts'

const NO_VM: WorldOptions = { pages: 1, vm: null }
const TRIES = 4

/** A device that keeps one translation. Between two awaits it is one step: that is its user lock. */
class Mirror implements MmuIntervalNotifierOps {
  readonly name = 'mirror'
  /** Frame that the device uses, -1 for none. */
  pfn = -1
  isRemoved = false
  protected readonly world: World

  constructor(world: World) {
    this.world = world
  }

  invalidate(_range: MmuNotifierRange, seq: number, sub: MmuIntervalNotifier): Hook<boolean> {
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

const deviceLock = lockClass({ name: 'device', type: 'mutex', protects: 'the translation of a device' })

/** A device whose user lock is held while it works, so that an invalidation may have to wait for it. */
class BusyMirror extends Mirror {
  private readonly lock: Mutex

  constructor(world: World) {
    super(world)
    this.lock = new Mutex(world.kernel.sched, deviceLock)
  }

  override async invalidate(range: MmuNotifierRange, seq: number, sub: MmuIntervalNotifier): Promise<boolean> {
    if (range.blockable) await this.lock.lock()
    else if (!this.lock.tryLock()) return false
    mmuIntervalSetSeq(sub, seq)
    this.pfn = -1
    this.lock.unlock()
    return true
  }

  override async fill(sub: MmuIntervalNotifier): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const seq = await mmuIntervalReadBegin(sub)
      const pte = await this.world.mm.readPteUnlocked(this.world.ram)
      await this.lock.lock()
      const stale = mmuIntervalReadRetry(sub, seq)
      await this.world.kernel.sched.yieldNow()
      if (!stale) this.pfn = pteValid(pte) ? ptePfn(pte) : -1
      this.lock.unlock()
      if (!stale) return
    }
  }
}

interface Inserted {
  readonly mirror: Mirror
  readonly sub: MmuIntervalNotifier
}

async function insert(world: World, mirror: Mirror = new Mirror(world)): Promise<Inserted> {
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
  defineScenario<Inserted>({
    name: 'interval-would-block',
    what: 'an invalidation that may not block meets a device that is busy, and one that may',
    invariants: ['I1', 'I6', 'I8', 'I13'],
    world: NO_VM,
    async setup(world) {
      await world.thread.store64(world.ram, 1n)
      return await insert(world, new BusyMirror(world))
    },
    tasks: {
      device: (_world, { mirror, sub }) => mirror.fill(sub),
      nonblocking: async ({ mm, ram }) => {
        const range = mmuNotifierRange(mm, hva(ram), hva(ram + PAGE_SIZE), 'CLEAR', { blockable: false })
        if ((await mm.invalidateRangeStart(range)) === 0) await mm.invalidateRangeEnd(range)
      },
      host: dontneed,
    },
    async end(_world, inserted) {
      inserted.mirror.settle()
      await remove(inserted)
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
