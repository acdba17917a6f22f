/** invalidate-page-after-unlock: the client hears of the page when everybody else may have done so. */
import { PAGE_SIZE, hva as toHva } from '../../base/index.ts'
import type { Hva, Pfn } from '../../base/index.ts'
import { Kernel, slotThatMaps, unmapPte } from '../../host/index.ts'
import type { Vma } from '../../host/index.ts'
import { KvmMmuNotifier, Vm } from '../../mmu/index.ts'
import { mmuNotifierInvalidatePage, mmuNotifierRange } from '../../notifier/index.ts'
import type { NotifierMm } from '../../notifier/index.ts'
import { defineScenario } from '../scenario.ts'
import { guestStore, runGuest } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

/** try_to_unmap_one of v3.7: no window; one callout, when the page-table lock has been dropped. */
class CallsLate extends Kernel {
  override async tryToUnmapOne(vma: Vma, hva: Hva, pfn: Pfn): Promise<boolean> {
    const { mm } = vma
    await mm.pageTableLock.lock()
    const slot = slotThatMaps(vma, hva, pfn)
    const unmapped = slot === -1 || unmapPte(vma, hva, slot, pfn)
    mm.pageTableLock.unlock()
    await mmuNotifierInvalidatePage(mm, hva)
    return unmapped
  }
}

/** kvm_mmu_notifier_invalidate_page: zaps and flushes under mmu_lock. */
class PageHook extends KvmMmuNotifier {
  async invalidatePage(mm: NotifierMm, address: Hva): Promise<void> {
    const range = mmuNotifierRange(mm, address, toHva(address + PAGE_SIZE), 'CLEAR')
    await this.invalidateRangeStart(range)
    await this.invalidateRangeEnd(range)
  }
}

class PageHookVm extends Vm {
  protected override createNotifier(): KvmMmuNotifier {
    return new PageHook(this)
  }
}

export const invalidatePageAfterUnlock: Exhibit = {
  name: 'invalidate-page-after-unlock',
  rank: 20,
  family: 'order',
  fix: { commit: '369ea8242c0f', subject: 'mm/rmap: update to new mmu_notifier semantic v2', version: 'v4.14' },
  story: [
    'Until 2017 reclaim cleared the PTE under the page-table lock, dropped the lock, and called invalidate_page then, since the hook',
    'may sleep. In between a host thread faults the page in again, in another frame, and stores; the guest still reads the old one.',
    'The repair opens a window around the whole. It led to the next bug: inside the window it was too late to ask for young.',
  ],
  correct: [
    'mmu_notifier_invalidate_range_start(mm, start, end);',
    'pte = ptep_clear_flush(vma, address, ptep);',
    'pte_unmap_unlock(ptep, ptl);',
    'mmu_notifier_invalidate_range_end(mm, start, end);',
  ],
  historical: [
    'pte = ptep_clear_flush(vma, address, ptep);',
    'pte_unmap_unlock(ptep, ptl);',
    'mmu_notifier_invalidate_page(mm, address);',
  ],
  breaks: 'I1',
  schedules: 5,
  shortest: { preemptions: 0, steps: 10 },
  cleanWithin: 1,
  leadsTo: 'young-asked-too-late',
  scenario: defineScenario({
    name: 'pageout-against-host-and-guest',
    what: 'a page is swapped out while a host thread stores to it and a guest reads it',
    invariants: ['I1', 'I2', 'I7'],
    world: { pages: 1, kernel: { frames: 96, swapPages: 8 } },
    setup: (world) => guestStore(world, 0, 1n),
    tasks: {
      pageout: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'pageout'),
      thread: ({ thread, ram }) => thread.store64(ram, 2n),
      vcpu0: (world) => runGuest(world, [{ load: 0 }]),
    },
  }),
  bug: { kernel: CallsLate, vm: PageHookVm },
}
