/** seq-truncated: the sequence is compared in fewer bits than it has. */
import { Invalidation, Vm } from '../../mmu/index.ts'
import type { RetryReason } from '../../mmu/index.ts'
import { PAGE_SIZE } from '../../base/index.ts'
import { defineScenario } from '../scenario.ts'
import { runGuest } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

/** One bit stands for 32: what takes two invalidations here takes 2^32 there. */
class OneBit extends Invalidation {
  override retry(seq: number, frame: number): RetryReason | null {
    if (this.covers(frame)) return 'in-progress'
    return (this.seq & 1) === (seq & 1) ? null : 'sequence'
  }
}

class OneBitVm extends Vm {
  protected override createInvalidation(): Invalidation {
    return new OneBit()
  }
}

export const seqTruncated: Exhibit = {
  name: 'seq-truncated',
  rank: 14,
  family: 'retry',
  fix: {
    commit: 'ba6e3fe25543',
    subject: 'KVM: x86/mmu: Grab mmu_invalidate_seq in kvm_faultin_pfn()',
    version: 'v6.3',
  },
  story: [
    'The third life of stale-root: the snapshot of the sequence passed through an int. Cut to 32 bits it comes round again, and a',
    'fault that slept through 2^32 invalidations maps what it looked up before; extended by its sign it is never equal again after',
    '2^31, and the vCPU retries for ever. Here one bit stands for the 32. The repair keeps the sequence at its full width.',
  ],
  correct: ['unsigned long mmu_seq;'],
  historical: ['int mmu_seq;'],
  breaks: 'I1',
  schedules: 250,
  shortest: { preemptions: 1, steps: 95 },
  cleanWithin: 1,
  scenario: defineScenario({
    name: 'two-invalidations-against-fault',
    what: 'pages are taken away twice while a vCPU faults on one after the other',
    invariants: ['I1', 'I2', 'I10'],
    world: { pages: 6, kernel: { frames: 96 } },
    async setup({ thread, ram, pages }) {
      for (let page = 0; page < pages; page++) await thread.store64(ram + page * PAGE_SIZE, 1n)
    },
    tasks: {
      async dontneed({ mm, ram, pages }) {
        for (let round = 0; round < 2; round++) await mm.madvise(ram, pages * PAGE_SIZE, 'dontneed')
      },
      vcpu0: (world) =>
        runGuest(
          world,
          [0, 1, 2, 3, 4, 5].map((load) => ({ load })),
        ),
    },
  }),
  bug: { vm: OneBitVm },
}
