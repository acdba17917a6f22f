/** Zapping a VM's ranges one after the other, mmu_lock given up in between: who flushes, and before what. */
import { PAGE_SIZE } from '../../base/index.ts'
import type { ZapCause } from '../../base/index.ts'
import { KvmMmuNotifier, Vm } from '../../mmu/index.ts'
import type { Memslot } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { FIRST_GFN, guestStore, runGuest } from '../world.ts'
import type { World } from '../world.ts'
import { withParts } from './exhibit.ts'
import type { Exhibit } from './exhibit.ts'

/** zap_all as for the TDP MMU: range after range (there roots, here memslots), mmu_lock given up where others want it. */
class YieldsVm extends Vm {
  override async zapAll(cause: ZapCause): Promise<void> {
    await this.mmuLock.lock()
    this.invalidation.bumpSeq()
    let flush = false
    for (const slot of this.memslots.active.byGfn) flush = await this.zapGfnRange(slot, cause, flush)
    await this.flushZapped(flush)
    this.mmuLock.unlock()
  }

  /** @param flush one is due already @returns whether one is due */
  protected async zapGfnRange(slot: Memslot, cause: ZapCause, flush: boolean): Promise<boolean> {
    // Nobody yields before he has made some progress.
    const isDue = slot === this.memslots.active.byGfn[0] ? flush : await this.yieldIfNeeded(flush)
    return this.sptes.zapGfns(slot, slot.baseGfn, slot.endGfn, cause) > 0 || isDue
  }

  /** tdp_mmu_iter_cond_resched: what is due is flushed first. */
  protected async yieldIfNeeded(flush: boolean): Promise<boolean> {
    if (this.sched.choose(2, 'need_resched') === 0) return flush
    if (flush) await this.flush.remoteAll()
    this.mmuLock.unlock()
    await this.sched.yieldNow()
    await this.mmuLock.lock()
    return false
  }

  protected async flushZapped(flush: boolean): Promise<void> {
    if (flush) await this.flush.remoteAll()
  }
}

/** Each range knows of its own flush alone when it yields; the caller joins them. */
class DropsFlushVm extends YieldsVm {
  protected override async zapGfnRange(slot: Memslot, cause: ZapCause, flush: boolean): Promise<boolean> {
    return (await super.zapGfnRange(slot, cause, false)) || flush
  }
}

class IgnoresResultVm extends YieldsVm {
  protected override async flushZapped(): Promise<void> {}
}

/** The lock is given up first. */
class UnlocksFirst extends KvmMmuNotifier {
  protected override async flushZapped(first: number, count: number): Promise<void> {
    const { vm } = this
    vm.mmuLock.unlock()
    await vm.sched.yieldNow()
    await super.flushZapped(first, count)
    await vm.mmuLock.lock()
  }
}

class UnlocksFirstVm extends Vm {
  protected override createNotifier(): KvmMmuNotifier {
    return new UnlocksFirst(this)
  }
}

/** Two memslots of a page each; the guest uses the first. */
async function twoSlots(world: World): Promise<void> {
  const { vm, ram } = world
  const gpa = FIRST_GFN * PAGE_SIZE
  await vm.setMemslot({ id: 0, gpa: 0, length: 0, hva: 0 })
  await vm.setMemslot({ id: 0, gpa, length: PAGE_SIZE, hva: ram })
  await vm.setMemslot({ id: 1, gpa: gpa + PAGE_SIZE, length: PAGE_SIZE, hva: ram + PAGE_SIZE })
  await guestStore(world, 0, 1n)
}

const zapAgainstDontneed: Scenario = defineScenario({
  name: 'zap-all-against-dontneed',
  what: 'all ranges of a VM are zapped, mmuLock given up in between, while the host takes a page away that a guest uses',
  invariants: ['I1', 'I2'],
  world: { pages: 2, kernel: { frames: 64 } },
  setup: twoSlots,
  tasks: {
    zap: ({ vm }) => vm.zapAll('memslot'),
    dontneed: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
    vcpu0: (world) => runGuest(world, []),
  },
})

const zapWithYields = withParts(zapAgainstDontneed, { vm: YieldsVm })

export const yieldFamily: readonly Exhibit[] = [
  {
    name: 'yield-drops-flush',
    rank: 18,
    family: 'flush',
    fix: {
      commit: 'a835429cda91',
      subject: 'KVM: x86/mmu: Ensure TLBs are flushed when yielding during GFN range zap',
      version: 'v5.12',
    },
    story: [
      'Zapping takes long, so mmu_lock is given up where others want it, and what is due is flushed before. With several roots the walk of',
      'the second did not know that a flush was due for the first: it yielded without. In between the host takes the page away; its hook',
      'finds no spte any more, has nothing to flush, and the frame is freed, while a vCPU has it in its TLB. Here the roots are memslots.',
      'The repair hands the flag down: a flush that is due is due wherever the lock is given up.',
    ],
    correct: ['for_each_tdp_mmu_root(kvm, root)', '    flush = zap_gfn_range(kvm, root, start, end, true, flush);'],
    historical: ['for_each_tdp_mmu_root(kvm, root)', '    flush |= zap_gfn_range(kvm, root, start, end, true);'],
    breaks: 'I1',
    schedules: 60,
    shortest: { preemptions: 1, steps: 25 },
    cleanWithin: 1,
    scenario: zapWithYields,
    bug: withParts(zapAgainstDontneed, { vm: DropsFlushVm }),
  },
  {
    name: 'ignore-flush-result',
    rank: 18,
    family: 'flush',
    fix: {
      commit: '048f49809c52',
      subject: 'KVM: x86/mmu: Ensure TLBs are flushed for TDP MMU during NX zapping',
      version: 'v5.12',
    },
    story: [
      'The zap flushes by itself only where it gives mmu_lock up; else it answers that a flush is due, and the caller has to make it. The',
      'caller that splits huge pages did not look at the answer: it released the lock, and the vCPUs kept what was zapped.',
      'The repair looks.',
    ],
    correct: [
      'flush |= kvm_tdp_mmu_zap_sp(kvm, sp);',
      '...',
      'kvm_mmu_remote_flush_or_zap(kvm, &invalid_list, flush);',
    ],
    historical: [
      'kvm_tdp_mmu_zap_gfn_range(kvm, sp->gfn, end);',
      '...',
      'kvm_mmu_commit_zap_page(kvm, &invalid_list);',
    ],
    breaks: 'I1',
    schedules: 60,
    shortest: { preemptions: 1, steps: 25 },
    cleanWithin: 1,
    scenario: zapWithYields,
    bug: withParts(zapAgainstDontneed, { vm: IgnoresResultVm }),
  },
  {
    name: 'unlock-before-flush',
    rank: 18,
    family: 'flush',
    fix: null,
    story: [
      'The hook zaps, gives mmu_lock up, and flushes then. To its own caller that is as good; but another operation on the same page comes',
      'in between, finds no spte, has nothing to flush, and frees the frame. A flush that is due is made before anybody can see that the',
      'spte is gone. (A relative: no kernel is known to have had it.)',
    ],
    correct: ['if (flush) kvm_flush_remote_tlbs(kvm);', 'write_unlock(&kvm->mmu_lock);'],
    historical: ['write_unlock(&kvm->mmu_lock);', 'if (flush) kvm_flush_remote_tlbs(kvm);'],
    breaks: 'I2',
    schedules: 10,
    shortest: { preemptions: 1, steps: 40 },
    scenario: defineScenario({
      name: 'dontneed-twice',
      what: 'two threads of the host take one page away, which a guest uses',
      invariants: ['I1', 'I2'],
      world: { pages: 1, kernel: { frames: 48 } },
      setup: (world) => guestStore(world, 0, 1n),
      tasks: {
        first: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
        second: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
        vcpu0: (world) => runGuest(world, []),
      },
    }),
    bug: { vm: UnlocksFirstVm },
  },
]
