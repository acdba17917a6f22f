/** flush-after-free: the TLB hears of it when the frame may be somebody else's. */
import { PAGE_SIZE } from '../../base/index.ts'
import { Mm, MmuGather } from '../../host/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Exhibit } from './exhibit.ts'
import { withMm } from './parts.ts'

class FreesFirst extends MmuGather {
  private frees = false

  override flushTlbOnly(): void {
    if (!this.frees) super.flushTlbOnly()
  }

  override flushMmu(): void {
    this.frees = true
    super.flushMmu()
    this.frees = false
    super.flushTlbOnly()
  }
}

class FreesFirstMm extends Mm {
  override newGather(): MmuGather {
    return new FreesFirst(this)
  }
}

export const flushAfterFree: Exhibit = {
  name: 'flush-after-free',
  rank: 19,
  family: 'flush',
  fix: null,
  story: [
    'mremap-late-flush in its simplest form: the gather gives its batch of frames back, and flushes then. For that moment the TLB of a',
    "host thread names a frame that may be anybody else's. (A relative: no kernel is known to have had it.)",
  ],
  correct: ['tlb_flush_mmu_tlbonly(tlb);', 'tlb_flush_mmu_free(tlb);'],
  historical: ['tlb_flush_mmu_free(tlb);', 'tlb_flush_mmu_tlbonly(tlb);'],
  breaks: 'I2',
  schedules: 5,
  shortest: { preemptions: 0, steps: 10 },
  scenario: defineScenario({
    name: 'munmap-against-host-thread',
    what: 'a page is unmapped that a host thread has in its TLB',
    invariants: ['I2'],
    world: { pages: 1, vm: null, kernel: { frames: 64 } },
    setup: ({ thread, ram }) => thread.store64(ram, 1n),
    tasks: { munmap: ({ mm, ram }) => mm.munmap(ram, PAGE_SIZE) },
  }),
  bug: withMm(FreesFirstMm),
}
