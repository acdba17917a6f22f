/**
 * The OOM reaper: takes the private memory of a dying mm without waiting for anybody (Linux v6.12 mm/oom_kill.c).
 *
 * ```
 * mmap lock R by trying
 *   per private VMA   range start (CLEAR, non-blockable); refused: skip this VMA, try again later
 *                     PTEs cleared, range end, host flush, frames freed
 * ```
 *
 * R1 No callout here may block: a client that would has to refuse, and every client that began is ended again.
 * R2 Shared file memory stays: it is not the victim's alone.
 */
import type { Mm } from './mm.ts'
import type { Vma } from './vma.ts'
import { unmapPageRange } from './zap.ts'

/** Attempts before the reaper gives up, and virtual nanoseconds between them. */
const ATTEMPTS = 10
const PAUSE = 100_000_000

/**
 * Frees what a victim has in private memory. Its loads then see zeroes or fail: it must not run again.
 * @returns true when every private VMA was reaped
 */
export async function oomReapMm(mm: Mm): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (attempt > 0) await mm.sched.sleep(PAUSE)
    if (!mm.mmapLock.tryDownRead()) continue
    const done = await oomReapOnce(mm)
    mm.mmapLock.upRead()
    if (done) return true
  }
  return false
}

/** One attempt, under the mmap lock for reading. */
async function oomReapOnce(mm: Mm): Promise<boolean> {
  let done = true
  for (const vma of mm.vmas.all()) {
    if (!vma.shared && !(await reapVma(vma))) done = false
  }
  return done
}

async function reapVma(vma: Vma): Promise<boolean> {
  const { mm, start, end } = vma
  const { trace } = mm.kernel
  const range = mm.range(start, end, 'CLEAR', { blockable: false })
  if ((await mm.invalidateRangeStart(range)) !== 0) return false
  if (trace.on) trace.emit({ name: 'mm_range_begin', mm: mm.id, operation: 'oom_reap', start, end })
  const gather = mm.newGather()
  await unmapPageRange(gather, vma, start, end)
  await mm.invalidateRangeEnd(range)
  gather.finish()
  if (trace.on) trace.emit({ name: 'mm_range_end', mm: mm.id, operation: 'oom_reap', start, end })
  return true
}
