/** Ageing: what is asked too late, and what is asked of too few. */
import { KernelBug, PAGE_SIZE, hva } from '../../base/index.ts'
import type { Hva } from '../../base/index.ts'
import { PTE_A, PTE_D } from '../../hardware/index.ts'
import { KvmMmuNotifier, Sptes, Vm } from '../../mmu/index.ts'
import { mmuNotifierClearFlushYoung } from '../../notifier/index.ts'
import type { NotifierMm } from '../../notifier/index.ts'
import { defineScenario } from '../scenario.ts'
import { guestLoad, runGuest } from '../world.ts'
import type { World } from '../world.ts'
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
    'A guest uses a page: the accessed bit is in the spte. Reclaim opens its window, whose start zaps the spte, and asks "was it used?"',
    'in there, under the page-table lock. The bit went with the spte, the answer is "old", and the hottest page of all goes to swap. The',
    'repair does not ask there at all: that was asked before the window, and what is used since then is known by what the zap hands to',
    'the page. Here the zap hands nothing over, as on arm64 in those days, so that the bit is lost in the moment that made the question',
    'useless.',
  ],
  correct: [
    'mmu_notifier_invalidate_range_start(&range); /* kvm_set_pfn_accessed() */',
    'pteval = ptep_clear_flush(vma, address, pvmw.pte);',
  ],
  historical: [
    'mmu_notifier_invalidate_range_start(&range); /* the bit is gone */',
    'if (!(flags & TTU_IGNORE_ACCESS) &&',
    '    ptep_clear_flush_young_notify(vma, address, pvmw.pte))',
    '        ret = false; /* never */',
    'pteval = ptep_clear_flush(vma, address, pvmw.pte);',
  ],
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

/** clear_flush_young as it was until 2014: an address, and no end. */
class AsksOnePage extends KvmMmuNotifier {
  override async clearFlushYoung(mm: NotifierMm, start: Hva): Promise<boolean> {
    return super.clearFlushYoung(mm, start, hva(start + PAGE_SIZE))
  }
}

class AsksOnePageVm extends Vm {
  protected override createNotifier(): KvmMmuNotifier {
    return new AsksOnePage(this)
  }
}

/** Asks about both pages, of which the guest has used the second. */
async function ageBoth({ mm, ram }: World): Promise<void> {
  if (await mmuNotifierClearFlushYoung(mm, hva(ram), hva(ram + 2 * PAGE_SIZE))) return
  throw new KernelBug('two pages are called old, and a guest has used the second', 'I4')
}

export const agesFirstPageOnly: Exhibit = {
  name: 'ages-first-page-only',
  rank: 20,
  family: 'bookkeeping',
  fix: { commit: '57128468080a', subject: 'kvm: Fix page ageing bugs', version: 'v3.18' },
  story: [
    'The host has a huge page where the guest has many small ones, each with an spte of its own. Ageing gave the hook one address, not',
    'a range: it looked at the first of the small ones, found it unused, and the huge page was called old whatever the guest did with',
    'the rest. The repair gives the hook a start and an end. (The hash is from memory; the patch was read in a mail of 2014.)',
  ],
  correct: [
    'young |= ptep_clear_flush_young(...);',
    'young |= mmu_notifier_clear_flush_young(mm, address, address + PMD_SIZE);',
  ],
  historical: ['young |= ptep_clear_flush_young(...);', 'young |= mmu_notifier_clear_flush_young(mm, address);'],
  breaks: 'I4',
  schedules: 5,
  shortest: { preemptions: 0, steps: 25 },
  leadsTo: 'invalidate-page-after-unlock',
  scenario: defineScenario({
    name: 'ageing-of-two-pages',
    what: 'the host asks whether two pages were used; a guest uses the second',
    invariants: ['I4'],
    world: { pages: 2, kernel: { frames: 64 } },
    async setup(world) {
      for (const page of [0, 1]) await guestLoad(world, page)
      world.vcpu.exitGuest()
      await mmuNotifierClearFlushYoung(world.mm, hva(world.ram), hva(world.ram + 2 * PAGE_SIZE))
    },
    tasks: {
      async vcpu0(world) {
        await runGuest(world, [{ load: 1 }])
        await ageBoth(world)
      },
    },
  }),
  bug: { vm: AsksOnePageVm },
}
