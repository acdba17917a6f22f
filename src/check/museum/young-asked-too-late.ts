/** young-asked-too-late: the accessed bit goes with the spte, and the page is called old. */
import { PAGE_SIZE, hva } from '../../base/index.ts'
import { PTE_A, PTE_D } from '../../hardware/index.ts'
import { Sptes, Vm } from '../../mmu/index.ts'
import { mmuNotifierClearFlushYoung } from '../../notifier/index.ts'
import { defineScenario } from '../scenario.ts'
import { guestLoad, runGuest } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

/** Hands over D, not A. */
class LosesYoung extends Sptes {
  protected override handOver(low: number, pfn: number, pages: number): void {
    if ((low & PTE_D) !== 0) super.handOver(low & ~PTE_A, pfn, pages)
  }
}

class LosesYoungVm extends Vm {
  protected override createSptes(): Sptes {
    return new LosesYoung(this)
  }
}

export const youngAskedTooLate: Exhibit = {
  name: 'young-asked-too-late',
  rank: 20,
  family: 'bookkeeping',
  fix: {
    commit: '013339df116c',
    subject: 'mm/rmap: always do TTU_IGNORE_ACCESS',
    version: 'v5.10',
  },
  story: [
    'A guest uses a page: the accessed bit is in the spte. Reclaim opens its window, which zaps the spte, and asks "was it used?" then.',
    'The bit went with the spte, the answer is "old", and the hottest page of all goes to swap. Two things repair it: ask before',
    'zapping, and let the zap carry the bit to the page. Here the second is left out.',
  ],
  correct: ['if (is_accessed_spte(old_spte))', '    kvm_set_pfn_accessed(spte_to_pfn(old_spte));'],
  historical: ['/* nothing */'],
  breaks: 'I4',
  schedules: 30,
  shortest: { preemptions: 1, steps: 30 },
  scenario: defineScenario({
    name: 'reclaim-against-use',
    what: 'reclaim looks for pages to swap out; a guest uses them',
    invariants: ['I4'],
    world: { pages: 1, kernel: { frames: 96, swapPages: 8 } },
    async setup(world) {
      const { mm, ram, thread, vcpu } = world
      await thread.store64(ram, 1n)
      await guestLoad(world, 0)
      vcpu.exitGuest()
      await mm.madvise(ram, PAGE_SIZE, 'cold')
      await mmuNotifierClearFlushYoung(mm, hva(ram), hva(ram + PAGE_SIZE))
    },
    tasks: {
      reclaim: async ({ kernel }) => void (await kernel.reclaimPages(1)),
      vcpu0: (world) => runGuest(world, [{ load: 0 }]),
    },
  }),
  bug: { vm: LosesYoungVm },
}
