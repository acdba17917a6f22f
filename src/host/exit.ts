/**
 * The end of an address space (Linux v6.12 mm/mmap.c: exit_mmap).
 *
 * ```
 * release: every client's, then unlinked, then a grace period    nothing of the mm is freed before this is over
 * KSM forgets the mm
 * mmap lock R   range start (UNMAP, everything), PTEs cleared, range end
 * mmap lock W   VMAs leave tree and rmap, table pages unlinked
 *               host TLB flush, frames freed
 * ```
 *
 * R1 Release comes first; other callouts may still come through the rmap (reclaim, truncation) until the PTEs are gone.
 * R2 When it returns, the mm maps nothing and owns only its root table.
 */
import { mmuNotifierRelease } from '../notifier/index.ts'
import type { Mm } from './mm.ts'
import { TASK_SIZE } from './page-table.ts'
import { vmaUnlink } from './vma.ts'
import { freePgtables, unmapPageRange } from './zap.ts'

/** Preconditions: nobody uses the mm any more (`users` is 0). */
export async function exitMmap(mm: Mm): Promise<void> {
  const { trace } = mm.kernel
  if (trace.on) trace.emit({ name: 'mm_exit', mm: mm.id })
  await mmuNotifierRelease(mm)
  await mm.kernel.ksm.leave(mm)

  await mm.mmapLock.downRead()
  const vmas = mm.vmas.all()
  const start = vmas[0]?.start ?? 0
  const end = vmas.at(-1)?.end ?? 0
  if (trace.on) trace.emit({ name: 'mm_range_begin', mm: mm.id, operation: 'exit_mmap', start, end })
  const gather = mm.newGather()
  if (vmas.length > 0) {
    const range = mm.range(0, TASK_SIZE, 'UNMAP')
    await mm.invalidateRangeStart(range)
    for (const vma of vmas) await unmapPageRange(gather, vma, vma.start, vma.end)
    await mm.invalidateRangeEnd(range)
  }
  mm.mmapLock.upRead()

  await mm.mmapLock.downWrite()
  for (const vma of vmas) {
    mm.vmas.remove(vma)
    await vmaUnlink(vma)
  }
  await freePgtables(gather, mm, 0, TASK_SIZE, 0, TASK_SIZE)
  gather.finish()
  for (const vma of vmas) if (vma.file !== null) await vma.file.put()
  if (trace.on) trace.emit({ name: 'mm_range_end', mm: mm.id, operation: 'exit_mmap', start, end })
  mm.mmapLock.upWrite()
}
