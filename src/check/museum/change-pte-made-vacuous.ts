/** change-pte-made-vacuous: the hook still runs, and never again has anything to do. */
import { KernelBug, PAGE_SIZE } from '../../base/index.ts'
import type { Hva } from '../../base/index.ts'
import { Mm } from '../../host/index.ts'
import type { MmuNotifierRange } from '../../notifier/index.ts'
import { defineScenario } from '../scenario.ts'
import { guestLoad, runGuest } from '../world.ts'
import type { World } from '../world.ts'
import type { Exhibit } from './exhibit.ts'
import { withMm } from './parts.ts'

/** Puts start and end around every change_pte: the start has dropped what change_pte would rewrite. */
class WrapsChangePte extends Mm {
  override async openNotifyWindow(hva: Hva): Promise<MmuNotifierRange> {
    const range = this.range(hva, hva + PAGE_SIZE, 'CLEAR')
    await this.invalidateRangeStart(range)
    return range
  }
}

/** What the VM has done before. */
interface Before {
  readonly faults: number
  readonly rewritten: number
}

/** The guest reads the page again, and has not faulted since. */
async function readsOn(world: World, before: Before): Promise<void> {
  await guestLoad(world, 0)
  world.vcpu.exitGuest()
  const { changePteRewritten, faults } = world.vm.stats
  if (faults === before.faults) return
  const rewrote = changePteRewritten - before.rewritten
  const what = `the guest faults on a page that was only replaced: change_pte rewrote ${rewrote} sptes`
  throw new KernelBug(what, 'I15')
}

export const changePteMadeVacuous: Exhibit = {
  name: 'change-pte-made-vacuous',
  rank: 11,
  family: 'order',
  fix: {
    commit: 'f3b65bbaed7c',
    subject: 'KVM: delete .change_pte MMU notifier callback',
    version: 'v6.10',
  },
  story: [
    'change_pte exists so that a guest goes on with a page that KSM or copy on write replaces: its sptes turn to the new frame, and it',
    'does not fault. The series that brought the global SRCU ends with 6bdb913f0a70 (v3.7), which puts a start and an end around the',
    'call, since the hooks of clients without change_pte may sleep. From then on the start drops the spte, and change_pte finds nothing',
    'to rewrite: always safe, always useless. It stood there dead for eleven years; no state is wrong. What breaks is a bound: a page',
    'that is only replaced costs its guest no fault. Linux removed the hook; here it is called without a window, which I7 allows.',
  ],
  correct: ['mmu_notifier_change_pte(mm, address, pte);', 'set_pte_at(mm, address, ptep, pte);'],
  historical: [
    'mmu_notifier_invalidate_range_start(mm, start, end); /* zaps the spte */',
    'mmu_notifier_change_pte(mm, address, pte);',
    'set_pte_at(mm, address, ptep, pte);',
    'mmu_notifier_invalidate_range_end(mm, start, end);',
  ],
  breaks: 'I15',
  schedules: 5,
  shortest: { preemptions: 0, steps: 65 },
  scenario: defineScenario({
    name: 'page-in-use-is-replaced',
    what: 'a host thread breaks copy on write of a page that a guest reads: the guest must not fault',
    invariants: ['I1', 'I7', 'I15'],
    world: { pages: 1, kernel: { frames: 96, changePte: 'unbracketed' } },
    async setup(world) {
      await world.thread.store64(world.ram, 1n)
      const child = await world.mm.fork('child')
      await guestLoad(world, 0)
      const { changePteRewritten, faults } = world.vm.stats
      return { child, faults, rewritten: changePteRewritten }
    },
    tasks: {
      cow: ({ thread, ram }) => thread.store64(ram, 2n),
      async vcpu0(world, before) {
        await runGuest(world, [{ load: 0 }])
        await readsOn(world, before)
      },
    },
    async end(world, before) {
      await readsOn(world, before)
      await before.child.exit()
    },
  }),
  bug: withMm(WrapsChangePte),
}
