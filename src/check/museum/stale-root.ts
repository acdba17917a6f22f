/** stale-root: a fault maps into a table that has been thrown away. */
import { PageFaults, Vm } from '../../mmu/index.ts'
import type { PageFault, StaleReason } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import { runGuest } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

class NoRootCheck extends PageFaults {
  protected override stale(fault: PageFault): StaleReason | null {
    return this.vm.invalidation.retry(fault.seq, fault.frame)
  }
}

class NoRootCheckVm extends Vm {
  protected override createFaults(): PageFaults {
    return new NoRootCheck(this)
  }
}

export const staleRoot: Exhibit = {
  name: 'stale-root',
  rank: 14,
  family: 'tables',
  fix: {
    commit: 'a955cad84cda',
    subject: 'KVM: x86/mmu: Retry page fault if root is invalidated by memslot update',
    version: 'v5.16',
  },
  story: [
    'A vCPU loads its root and faults. Meanwhile all tables are invalidated and freed, the root among them. The fault takes mmu_lock,',
    'does not look at its root again, and maps into the memory of a freed table. The repair compares the root under the lock;',
    'it led to two more bugs: roots without a shadow page (18c841e1f411), and a sequence cut to 32 bits (ba6e3fe25543).',
  ],
  correct: [
    'if (is_obsolete_root(vcpu, vcpu->arch.mmu->root.hpa)) return true;',
    'return mmu_invalidate_retry_gfn(kvm, fault->mmu_seq, fault->gfn);',
  ],
  historical: ['return mmu_invalidate_retry_gfn(kvm, fault->mmu_seq, fault->gfn);'],
  breaks: 'I2',
  schedules: 30,
  shortest: { preemptions: 1, steps: 30 },
  leadsTo: 'seq-truncated',
  scenario: defineScenario({
    name: 'zap-all-against-fault',
    what: 'all tables of a VM are thrown away while a vCPU faults',
    invariants: ['I2', 'I10'],
    world: { pages: 1, kernel: { frames: 96 } },
    setup: ({ thread, ram }) => thread.store64(ram, 1n),
    tasks: {
      zap: ({ vm }) => vm.zapAllTables('memslot'),
      vcpu0: (world) => runGuest(world, [{ load: 0 }, { load: 0 }]),
    },
  }),
  bug: { vm: NoRootCheckVm },
}
