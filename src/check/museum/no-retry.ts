/** The retry check taken apart: no check at all, the count alone, the sequence alone. */
import { Invalidation, Vm } from '../../mmu/index.ts'
import type { RetryReason } from '../../mmu/index.ts'
import { dontneedAgainstFault } from './retry-scenarios.ts'
import type { Exhibit } from './exhibit.ts'

class NoCheck extends Invalidation {
  override retry(): RetryReason | null {
    return null
  }
}

class NoCheckVm extends Vm {
  protected override createInvalidation(): Invalidation {
    return new NoCheck()
  }
}

class CountOnly extends Invalidation {
  override retry(_seq: number, frame: number): RetryReason | null {
    return this.covers(frame) ? 'in-progress' : null
  }
}

class CountOnlyVm extends Vm {
  protected override createInvalidation(): Invalidation {
    return new CountOnly()
  }
}

class SeqOnly extends Invalidation {
  override covers(): boolean {
    return false
  }
}

class SeqOnlyVm extends Vm {
  protected override createInvalidation(): Invalidation {
    return new SeqOnly()
  }
}

const shared = {
  rank: 15,
  family: 'retry',
  fix: null,
  correct: [
    'if (kvm->mmu_invalidate_in_progress) return 1;',
    'if (kvm->mmu_invalidate_seq != mmu_seq) return 1;',
    'return 0;',
  ],
  scenario: dontneedAgainstFault,
} as const

export const retryFamily: readonly Exhibit[] = [
  {
    ...shared,
    name: 'no-retry',
    story: [
      'A family of its own: the check that every client of the notifiers copies from KVM, with all of it left out. The fault maps',
      'what it looked up before the invalidation. (A relative: no kernel is known to have had it.)',
    ],
    historical: ['return 0;'],
    breaks: 'I10',
    schedules: 300,
    shortest: { preemptions: 2, steps: 35 },
    bug: { vm: NoCheckVm },
  },
  {
    ...shared,
    name: 'retry-count-only',
    story: [
      'The check looks for an invalidation that is open, and forgets one that has come and gone since the lookup.',
      '(A relative: no kernel is known to have had it.)',
    ],
    historical: ['if (kvm->mmu_invalidate_in_progress) return 1;', 'return 0;'],
    breaks: 'I1',
    schedules: 350,
    shortest: { preemptions: 1, steps: 55 },
    bug: { vm: CountOnlyVm },
  },
  {
    ...shared,
    name: 'retry-sequence-only',
    story: [
      'The check compares the sequence, and forgets an invalidation that is still open: its end has not raised it yet.',
      '(A relative: no kernel is known to have had it.)',
    ],
    historical: ['if (kvm->mmu_invalidate_seq != mmu_seq) return 1;', 'return 0;'],
    breaks: 'I10',
    schedules: 40,
    shortest: { preemptions: 1, steps: 35 },
    bug: { vm: SeqOnlyVm },
  },
]
