/** mremap-late-flush: a page moves, and is taken away at its new address while a TLB knows the old one. */
import { KernelBug, PAGE_SIZE } from '../../base/index.ts'
import { Mm, truncateFile } from '../../host/index.ts'
import type { Mapping, MremapOptions } from '../../host/index.ts'
import type { MmuNotifierRange } from '../../notifier/index.ts'
import type { Task } from '../../sched/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'

import type { Exhibit } from './exhibit.ts'
import { withMm } from './parts.ts'

/** The flush of the old address waits until all tables have been moved, and their locks are gone. */
class FlushesLate extends Mm {
  private mover: Task | null = null
  private owed: { start: number; end: number } | null = null

  override async mremap(
    start: number,
    oldLength: number,
    newLength: number,
    options?: MremapOptions,
  ): Promise<Mapping> {
    this.mover = this.sched.current
    const mapping = await super.mremap(start, oldLength, newLength, options)
    this.mover = null
    return mapping
  }

  override flushTlbRange(start: number, end: number): void {
    if (this.sched.current === this.mover) this.owed = { start, end }
    else super.flushTlbRange(start, end)
  }

  override async invalidateRangeEnd(range: MmuNotifierRange): Promise<void> {
    const { owed } = this
    if (this.sched.current === this.mover && owed !== null) {
      if (this.sched.contended) await this.sched.point(this.pageTable, 'r', 'moved, not flushed')
      super.flushTlbRange(owed.start, owed.end)
      this.owed = null
    }
    await super.invalidateRangeEnd(range)
  }
}

/** Where the page goes. */
const TARGET = 0x10_0000

/** Shared memory moves, and its file is made empty at the same time; a host thread has the old address in its TLB. */
export const mremapAgainstTruncate: Scenario = defineScenario({
  name: 'mremap-against-truncate',
  what: 'a shared page moves to another address while its file is truncated; a host thread has used the old address',
  invariants: ['I1', 'I2', 'I7'],
  world: { pages: 1, shared: true, vm: null, kernel: { frames: 64 } },
  async setup({ mm, ram, thread }) {
    await thread.store64(ram, 1n)
    const file = mm.vmas.lookup(ram)?.file
    if (file === null || file === undefined) throw new KernelBug('this world has no file behind its memory')
    return file
  },
  tasks: {
    mremap: async ({ mm, ram }) => void (await mm.mremap(ram, PAGE_SIZE, PAGE_SIZE, { to: TARGET })),
    truncate: (_, file) => truncateFile(file, 0),
  },
})

export const mremapLateFlush: Exhibit = {
  name: 'mremap-late-flush',
  rank: 19,
  family: 'flush',
  fix: {
    commit: 'eb66ae030829',
    subject: 'mremap: properly flush TLB before releasing the page',
    version: 'v4.19',
  },
  story: [
    'CVE-2018-18281. mremap moves the PTEs of a table under the page-table lock, drops the lock, and flushes the old addresses when all',
    'is moved. In between a truncation finds the page at its new address: it clears that PTE, flushes that address, and frees the',
    'page. A thread that has the old address in its TLB goes on writing to it, whoever owns it by then. The repair flushes before the',
    'lock is dropped.',
  ],
  correct: [
    'for (; old_addr < old_end; old_addr += PAGE_SIZE) { /* move one PTE */ }',
    'if (force_flush) flush_tlb_range(vma, old_end - len, old_end);',
    'spin_unlock(old_ptl);',
  ],
  historical: [
    'for (; old_addr < old_end; old_addr += PAGE_SIZE) { /* move one PTE */ }',
    'spin_unlock(old_ptl);',
    '...',
    'if (need_flush) flush_tlb_range(vma, old_end - len, old_addr);',
  ],
  breaks: 'I2',
  schedules: 110,
  shortest: { preemptions: 1, steps: 30 },
  scenario: mremapAgainstTruncate,
  bug: withMm(FlushesLate),
}
