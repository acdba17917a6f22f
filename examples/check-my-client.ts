/**
 * Checking a client of one's own: a device that caches one frame of an mm, with a mistake that no quiet test shows, and
 * the same device repaired.
 *
 *  device                               host
 *  looks the page up: frame A
 *                                       DONTNEED: start: nothing cached yet; frame A freed; end
 *  caches frame A                       <- nobody will tell it again
 */
import { fileURLToPath } from 'node:url'
import {
  KernelBug,
  PAGE_SIZE,
  defineScenario,
  explore,
  mmuNotifierRegister,
  mmuNotifierUnregister,
  pteValid,
  ptePfn,
} from 'umbra'
import type { MmuNotifier, MmuNotifierOps, Scenario, World } from 'umbra'

class Device implements MmuNotifierOps {
  cached = -1
  protected invalidations = 0
  protected readonly world: World

  constructor(world: World) {
    this.world = world
  }

  invalidateRangeStart(): void {
    this.invalidations++
    this.cached = -1
  }

  async fill(): Promise<void> {
    const pte = await this.lookUp()
    this.cached = pteValid(pte) ? ptePfn(pte) : -1
  }

  /** The mistake is not here: a lookup takes time, and pages may go meanwhile. */
  protected async lookUp(): Promise<number> {
    const pte = await this.world.mm.readPteUnlocked(this.world.ram)
    const { sched } = this.world.kernel
    if (sched.contended) await sched.point(this, 'w', 'the page is looked up, not yet cached')
    return pte
  }
}

/** Caches only what was looked up while nothing was being invalidated: neither a start nor an end came in between. */
class RepairedDevice extends Device {
  private open = 0

  override invalidateRangeStart(): void {
    this.open++
    super.invalidateRangeStart()
  }

  invalidateRangeEnd(): void {
    this.invalidations++
    this.open--
  }

  override async fill(): Promise<void> {
    const before = this.invalidations
    const pte = await this.lookUp()
    if (this.open === 0 && this.invalidations === before) this.cached = pteValid(pte) ? ptePfn(pte) : -1
  }
}

const scenarioOf = (name: string, device: typeof Device): Scenario =>
  defineScenario<{ device: Device; notifier: MmuNotifier }>({
    name,
    what: 'a device caches a page that the host takes away',
    invariants: ['I2'],
    world: { vm: null, pages: 1 },
    async setup(world) {
      await world.thread.store64(world.ram, 1n)
      const made = new device(world)
      return { device: made, notifier: await mmuNotifierRegister(made, world.mm) }
    },
    tasks: {
      device: (_world, state) => state.device.fill(),
      host: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
    },
    async end({ kernel, mm }, state) {
      const { cached } = state.device
      if (cached !== -1 && kernel.pages.kindOf(cached as never) === 'free') {
        throw new KernelBug(`the device still uses frame ${cached}, which is free`, 'I2')
      }
      await mmuNotifierUnregister(state.notifier, mm)
    },
  })

/** What `umbra check build/examples/check-my-client.js` explores: it finds the mistake, and proves the repaired device. */
export const mine: readonly Scenario[] = [scenarioOf('device', Device), scenarioOf('repaired-device', RepairedDevice)]

// Run by itself, and not loaded by `umbra check`: hunt from the program.
const isMain = process.argv[1] === fileURLToPath(import.meta.url)
for (const scenario of isMain ? mine : []) {
  const report = await explore(scenario, { schedules: 200, preemptions: 2 })
  console.log(`${scenario.name}: ${report.verdict}`)
  if (report.counterexample !== null) console.log(`  ${report.counterexample.run.schedule}`)
}
