/** Flushes that are lost on the way, or stand behind the freeing. */
import { PAGE_SIZE } from '../../base/index.ts'
import { Mm, MmuGather } from '../../host/index.ts'
import { KvmMmuNotifier, Vm } from '../../mmu/index.ts'
import type { Memslot } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import { FIRST_GFN, guestStore, runGuest } from '../world.ts'
import type { Exhibit } from './exhibit.ts'
import { withMm } from './parts.ts'

/** The flush that the first slot is owed is forgotten when the second one needs none. */
class LosesFlush extends KvmMmuNotifier {
  private owed = false

  protected override zapSlotRange(slot: Memslot, first: number, end: number): number {
    const zapped = super.zapSlotRange(slot, first, end)
    this.owed = zapped > 0
    return zapped
  }

  protected override async flushZapped(first: number, count: number): Promise<void> {
    if (this.owed) await super.flushZapped(first, count)
  }
}

class LosesFlushVm extends Vm {
  protected override createNotifier(): KvmMmuNotifier {
    return new LosesFlush(this)
  }
}

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

const twoSlots = defineScenario({
  name: 'unmap-of-two-slots',
  what: 'a range of two memslots is taken away; the guest has used the first',
  invariants: ['I1', 'I2'],
  world: { pages: 2, kernel: { frames: 96 } },
  async setup(world) {
    const { vm, ram } = world
    await vm.setMemslot({ id: 0, gpa: 0, length: 0, hva: 0 })
    const gpa = FIRST_GFN * PAGE_SIZE
    await vm.setMemslot({ id: 0, gpa, length: PAGE_SIZE, hva: ram })
    await vm.setMemslot({ id: 1, gpa: gpa + PAGE_SIZE, length: PAGE_SIZE, hva: ram + PAGE_SIZE })
    await guestStore(world, 0, 1n)
  },
  tasks: {
    dontneed: ({ mm, ram }) => mm.madvise(ram, 2 * PAGE_SIZE, 'dontneed'),
    vcpu0: (world) => runGuest(world, [{ load: 0 }, { load: 0 }]),
  },
})

export const yieldDropsFlush: Exhibit = {
  name: 'yield-drops-flush',
  rank: 18,
  family: 'flush',
  fix: {
    commit: 'a835429cda91',
    subject: 'KVM: x86/mmu: Ensure TLBs are flushed when yielding during GFN range zap',
    version: 'v5.12',
  },
  story: [
    'The zap of one part of a range says "a flush is due"; the zap of the next part needs none, and its answer takes the place of the',
    'first. The hook returns without a flush, the frame is freed, and a vCPU still has it in its TLB. In Linux the parts were roots,',
    'and the flag was lost when the walk yielded; here they are memslots. The repair: OR the flags, never assign.',
  ],
  correct: ['flush |= zap_gfn_range(kvm, root, start, end, flush);'],
  historical: ['flush = zap_gfn_range(kvm, root, start, end);'],
  breaks: 'I1',
  schedules: 5,
  shortest: { preemptions: 0, steps: 20 },
  scenario: twoSlots,
  bug: { vm: LosesFlushVm },
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
