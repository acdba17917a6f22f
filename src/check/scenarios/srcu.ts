/** SRCU alone: three implementations, readers that hold on to what an updater replaces and frees. */
import { KernelBug } from '../../base/index.ts'
import { createSrcu } from '../../notifier/index.ts'
import type { Srcu, SrcuKind } from '../../notifier/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario, ScenarioSpec } from '../scenario.ts'
import type { World } from '../world.ts'

/** A published object, by number; freed ones are marked. */
class Published {
  current = 0
  readonly freed: boolean[] = []
  readonly srcu: Srcu

  constructor(srcu: Srcu) {
    this.srcu = srcu
  }

  /** Replaces the object. @returns the old one */
  replace(): number {
    return this.current++
  }

  check(object: number): void {
    if (this.freed[object] === true) throw new KernelBug(`a reader uses object ${object}, which was freed`, 'I5')
  }
}

async function read({ kernel }: World, shared: Published): Promise<void> {
  const idx = await shared.srcu.readLock()
  const object = shared.current
  await kernel.sched.yieldNow()
  shared.check(object)
  await shared.srcu.readUnlock(idx)
}

async function update(shared: Published, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const old = shared.replace()
    await shared.srcu.synchronize()
    shared.freed[old] = true
  }
}

function scenario(kind: SrcuKind, name: string, what: string, tasks: ScenarioSpec<Published>['tasks']): Scenario {
  return defineScenario<Published>({
    name: `srcu-${kind}-${name}`,
    what: `SRCU alone (${kind}): ${what}`,
    invariants: ['I5', 'I8'],
    world: { vm: null, pages: 1 },
    setup: ({ kernel, parts }) =>
      Promise.resolve(new Published((parts.createSrcu ?? createSrcu)(kind, kernel.sched, { name: 'srcu' }))),
    tasks,
    async end(_world, { srcu }) {
      await srcu.barrier()
      if (!(await srcu.cleanup())) throw new KernelBug('the domain is not idle at the end', 'I6')
    },
  })
}

/** The section begins in one task and ends in another, wherever that runs. */
function crossing(kind: SrcuKind): Scenario {
  return scenario(kind, 'cross-task', 'a section that another task ends', {
    begin: async (world, shared) => {
      const idx = await shared.srcu.downRead()
      const object = shared.current
      const ender = world.kernel.spawn('ender', async () => {
        shared.check(object)
        await shared.srcu.upRead(idx)
      })
      await world.kernel.sched.join(ender)
    },
    updater: (_world, shared) => update(shared, 1),
  })
}

export const srcuScenarios: readonly Scenario[] = (['tiny', 'classic', 'counted'] as const).flatMap((kind) => [
  scenario(kind, 'synchronize', 'two readers, two grace periods', {
    reader0: read,
    reader1: read,
    updater: (_world, shared) => update(shared, 2),
  }),
  scenario(kind, 'two-updaters', 'a reader, and two updaters at once', {
    reader: read,
    updater0: (_world, shared) => update(shared, 1),
    updater1: (_world, shared) => update(shared, 1),
  }),
  crossing(kind),
  scenario(kind, 'call', 'call_srcu and barrier against two readers', {
    reader0: read,
    reader1: read,
    updater: async (_world, shared) => {
      const old = shared.replace()
      shared.srcu.call(() => {
        shared.freed[old] = true
      })
      await shared.srcu.barrier()
      if (shared.freed[old] !== true) throw new KernelBug('barrier returned before the callback ran', 'I5')
    },
  }),
])
