/** The dirty log: what is protected, flushed and harvested in which order. */
import { KVM_MEM_LOG_DIRTY_PAGES, DirtyLog, TlbFlush, Vm } from '../../mmu/index.ts'
import type { Memslot } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import { guestStore, runGuest } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

class NoFlush extends TlbFlush {
  override async remoteGfns(): Promise<void> {}
}

class NoFlushVm extends Vm {
  protected override createFlush(): TlbFlush {
    return new NoFlush(this)
  }
}

class ProtectsFirst extends DirtyLog {
  protected override async harvest(slot: Memslot): Promise<Uint32Array> {
    const { vm } = this
    await vm.mmuLock.lock()
    vm.sptes.writeProtectGfns(slot, slot.baseGfn, slot.endGfn, false)
    vm.mmuLock.unlock()
    await vm.flush.remoteAll()
    await vm.sched.yieldNow()
    const bits = slot.memory.dirty!.slice()
    slot.memory.dirty!.fill(0)
    return bits
  }
}

class ProtectsFirstVm extends Vm {
  protected override createDirtyLog(): DirtyLog {
    return new ProtectsFirst(this)
  }
}

const shared = {
  rank: 22,
  family: 'flush',
  breaks: 'I3',
  scenario: defineScenario({
    name: 'harvest-against-stores',
    what: 'the dirty log is read while a vCPU stores',
    invariants: ['I3'],
    world: { pages: 1, slotFlags: KVM_MEM_LOG_DIRTY_PAGES, kernel: { frames: 96 } },
    setup: (world) => guestStore(world, 0, 1n),
    tasks: {
      harvest: async ({ vm }) => void (await vm.getDirtyLog(0)),
      vcpu0: (world) =>
        runGuest(world, [
          { store: 0, value: 2n },
          { store: 0, value: 3n },
          { store: 0, value: 4n },
          { store: 0, value: 5n },
          { store: 0, value: 6n },
          { store: 0, value: 7n },
        ]),
    },
  }),
} as const

export const dirtyLogFamily: readonly Exhibit[] = [
  {
    ...shared,
    name: 'protect-without-flush',
    fix: null,
    story: [
      'The pages are write-protected, and no TLB hears of it: a vCPU stores on through what it remembers, no bit is set, and live',
      'migration leaves the page behind. (A relative: no kernel is known to have had it.)',
    ],
    correct: [
      'flush = slot_handle_level_4k(kvm, memslot, slot_rmap_write_protect);',
      'if (flush) kvm_flush_remote_tlbs_memslot(kvm, memslot);',
    ],
    historical: ['slot_handle_level_4k(kvm, memslot, slot_rmap_write_protect);'],
    breaks: 'I1',
    schedules: 5,
    shortest: { preemptions: 0, steps: 10 },
    bug: { vm: NoFlushVm },
  },
  {
    ...shared,
    name: 'protect-before-harvest',
    fix: null,
    story: [
      'Protect, flush, then take the bits: a store in between faults, sets its bit and makes the page writable again; then the bit is',
      'taken, and the stores that follow set none. Bit and right must go in one step.',
      '(A relative: no kernel is known to have had it.)',
    ],
    correct: [
      'mask = xchg(&dirty_bitmap[i], 0);',
      'kvm_mmu_write_protect_pt_masked(kvm, memslot, offset, mask);',
      'kvm_flush_remote_tlbs(kvm);',
    ],
    historical: [
      'kvm_mmu_slot_remove_write_access(kvm, slot);',
      'kvm_flush_remote_tlbs(kvm);',
      'mask = xchg(&dirty_bitmap[i], 0);',
    ],
    schedules: 15,
    shortest: { preemptions: 2, steps: 35 },
    bug: { vm: ProtectsFirstVm },
  },
]
