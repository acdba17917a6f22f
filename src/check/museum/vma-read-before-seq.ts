/** vma-read-before-seq: the sequence is read after what it should protect. */
import { PageFaults, Vm } from '../../mmu/index.ts'
import type { FaultedPage, Memslot, PageFault } from '../../mmu/index.ts'
import { dontneedAgainstFault } from './retry-scenarios.ts'
import type { Exhibit } from './exhibit.ts'

class LateSnapshot extends PageFaults {
  protected override async faultInPage(fault: PageFault, slot: Memslot): Promise<FaultedPage> {
    const page = await super.faultInPage(fault, slot)
    await this.snapshotSeq(fault)
    return page
  }
}

class LateSnapshotVm extends Vm {
  protected override createFaults(): PageFaults {
    return new LateSnapshot(this)
  }
}

export const vmaReadBeforeSeq: Exhibit = {
  name: 'vma-read-before-seq',
  rank: 16,
  family: 'retry',
  fix: {
    commit: '2ed90cb0938a',
    subject: 'KVM: RISC-V: Retry fault if vma_lookup() results become invalid',
    version: 'v6.4',
  },
  story: [
    'A fault looks the address up, drops the mmap lock, and reads the sequence then. A whole invalidation fits in between: the',
    'sequence is the new one, nothing differs under mmu_lock, and the fault maps what it looked up before. The repair moves',
    'one line: the sequence is read while the lookup is still protected.',
  ],
  correct: ['mmu_seq = kvm->mmu_invalidate_seq;', 'mmap_read_unlock(current->mm);'],
  historical: ['mmap_read_unlock(current->mm);', 'mmu_seq = kvm->mmu_invalidate_seq;'],
  breaks: 'I1',
  schedules: 350,
  shortest: { preemptions: 1, steps: 55 },
  scenario: dontneedAgainstFault,
  bug: { vm: LateSnapshotVm },
}
