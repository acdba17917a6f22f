/** Where the window stands: behind the change, before it, or nowhere. */
import { Mm } from '../../host/index.ts'
import type { MmuNotifierRange } from '../../notifier/index.ts'
import { PAGE_SIZE } from '../../base/index.ts'
import type { Hpa, Hva } from '../../base/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { guestStore, runGuest } from '../world.ts'
import type { World } from '../world.ts'
import { dontneedAgainstWarmTlb } from './retry-scenarios.ts'
import type { Exhibit } from './exhibit.ts'
import type { Mutation } from './mutation.ts'
import { withMm } from './parts.ts'

class ClearsBeforeStart extends Mm {
  override async invalidateRangeStart(): Promise<number> {
    return 0
  }

  override async invalidateRangeEnd(range: MmuNotifierRange): Promise<void> {
    if (this.sched.contended) await this.sched.point(this.pageTable, 'r', 'PTE cleared, nobody told')
    await super.invalidateRangeStart(range)
    await super.invalidateRangeEnd(range)
  }
}

class EndsBeforeClear extends Mm {
  override async invalidateRangeStart(range: MmuNotifierRange): Promise<number> {
    const result = await super.invalidateRangeStart(range)
    if (result === 0) await super.invalidateRangeEnd(range)
    return result
  }

  override async invalidateRangeEnd(): Promise<void> {}
}

class NoWindow extends Mm {
  override async invalidateRangeStart(): Promise<number> {
    return 0
  }

  override async invalidateRangeEnd(): Promise<void> {}

  override async setPteAtNotify(hva: Hva, pte: number): Promise<void> {
    this.setPte(hva, this.pageTable.slot(hva) as Hpa, pte)
  }
}

const khugepaged = {
  commit: 'f268f6cf875f',
  subject: 'mm/khugepaged: invoke MMU notifiers in shmem/file collapse paths',
  version: 'v6.1',
}
const correct = [
  'mmu_notifier_invalidate_range_start(&range);',
  'pte = ptep_clear_flush(vma, address, ptep);',
  'mmu_notifier_invalidate_range_end(&range);',
]

/** One operation of the host against a guest that has its page in spte and TLB. */
function operationAgainstGuest(name: string, operation: (world: World) => Promise<unknown>): Scenario {
  return defineScenario({
    name: `${name}-against-guest`,
    what: `${name} of a page that a guest has in spte and TLB`,
    invariants: ['I1', 'I2', 'I9'],
    world: { pages: 1, kernel: { frames: 96, swapPages: 8 } },
    setup: (world) => guestStore(world, 0, 1n),
    tasks: {
      host: async (world) => void (await operation(world)),
      vcpu0: (world) => runGuest(world, [{ load: 0 }, { load: 0 }]),
    },
  })
}

const OPERATIONS: readonly (readonly [string, Exhibit['breaks'], (world: World) => Promise<unknown>])[] = [
  ['munmap', 'I1', ({ mm, ram }) => mm.munmap(ram, PAGE_SIZE)],
  ['mprotect', 'I9', ({ mm, ram }) => mm.mprotect(ram, PAGE_SIZE, 'r')],
  ['swap-out', 'I1', ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'pageout')],
]

export const windowFamily: readonly Exhibit[] = [
  {
    family: 'order',
    fix: null,
    name: 'clear-before-start',
    rank: 17,
    story: [
      'The PTE is cleared first, and the clients hear of it then. For that time a guest uses a page that its host no longer maps; as long as',
      'the host still holds the frame nothing worse happens, which is why only a check of states finds it.',
      '(A relative: no kernel is known to have had it.)',
    ],
    correct,
    historical: [correct[1]!, correct[0]!, correct[2]!],
    breaks: 'I1',
    schedules: 200,
    shortest: { preemptions: 1, steps: 10 },
    scenario: dontneedAgainstWarmTlb,
    bug: withMm(ClearsBeforeStart),
  },
  {
    family: 'order',
    fix: null,
    name: 'end-before-clear',
    rank: 17,
    story: [
      'The window is closed before the PTE is cleared: a fault that comes in between finds the page, nobody stops it, and it maps',
      'what is gone a moment later. (A relative: no kernel is known to have had it.)',
    ],
    correct,
    historical: [correct[0]!, correct[2]!, correct[1]!],
    breaks: 'I1',
    schedules: 50,
    shortest: { preemptions: 1, steps: 75 },
    scenario: dontneedAgainstWarmTlb,
    bug: withMm(EndsBeforeClear),
  },
  ...OPERATIONS.map(([operation, breaks, body]): Exhibit => ({
    family: 'order',
    fix: khugepaged,
    name: `missing-notifier-${operation}`,
    rank: 17,
    story: [
      'khugepaged collapsed small pages of a file: it cleared present PTEs and freed frames without a word to the clients, whose guests',
      `went on with the freed frames. The same left out of ${operation}. The repair puts the pair around the change.`,
    ],
    correct,
    historical: [correct[1]!],
    breaks,
    schedules: 5,
    shortest: { preemptions: 0, steps: 10 },
    scenario: operationAgainstGuest(operation, body),
    bug: withMm(NoWindow),
  })),
]

/** The three for every operation that opens a window. */
export const windowMutants: readonly Mutation[] = [
  { family: 'window', name: 'missing-notifier', parts: withMm(NoWindow) },
  { family: 'window', name: 'clear-before-start', parts: withMm(ClearsBeforeStart) },
  { family: 'window', name: 'end-before-clear', parts: withMm(EndsBeforeClear) },
]
