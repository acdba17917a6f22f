/**
 * munmap (Linux v6.12 mm/vma.c: do_vmi_align_munmap, unmap_region).
 *
 * ```
 * mmap lock W   split the edges, take the VMAs out of the tree
 * mmap lock R   (downgraded: faults elsewhere go on, a new mapping has to wait)
 *               range start (UNMAP, the whole span)
 *               PTEs cleared under the page-table lock; a full gather is flushed and freed in here
 *               range end
 *               VMAs leave the rmap, table pages are unlinked
 *               host TLB flush, frames freed
 * ```
 *
 * R1 After munmap returned, no access to the range succeeds; what other VMAs show stays as it was.
 * R2 Frames are freed after the host flush, most of them after range end: a client may not count on a page's staying.
 */
import { PAGE_SIZE } from '../base/index.ts'
import { TASK_SIZE } from './page-table.ts'
import type { Mm } from './mm.ts'
import { splitRange, vmaUnlink } from './vma.ts'
import type { Vma } from './vma.ts'
import { freePgtables, unmapPageRange } from './zap.ts'

/**
 * Removes all mappings of whole pages in [start, start + length). A hole is not an error.
 * @param length bytes, rounded up to pages
 * @throws KernelError EINVAL
 */
export async function munmap(mm: Mm, start: number, length: number): Promise<void> {
  const end = mm.checkRange('munmap', start, length)
  await mm.mmapLock.downWrite()
  const vmas = await detachVmas(mm, start, end)
  mm.mmapLock.downgradeWrite()
  await unmapDetached(mm, vmas, start, end)
  mm.mmapLock.upRead()
}

/** The same under the mmap lock for writing, which stays held (Linux: MAP_FIXED's unmapping). */
export async function munmapLocked(mm: Mm, start: number, end: number): Promise<void> {
  await unmapDetached(mm, await detachVmas(mm, start, end), start, end)
}

/** Splits and takes the VMAs of the range out of the tree: no fault finds them any more. */
async function detachVmas(mm: Mm, start: number, end: number): Promise<Vma[]> {
  const vmas = await splitRange(mm, start, end)
  for (const vma of vmas) mm.vmas.remove(vma)
  return vmas
}

/** Tears down what the detached VMAs mapped. */
async function unmapDetached(mm: Mm, vmas: readonly Vma[], start: number, end: number): Promise<void> {
  const { trace } = mm.kernel
  const first = vmas[0]
  const last = vmas.at(-1)
  if (first !== undefined && last !== undefined) {
    if (trace.on) trace.emit({ name: 'mm_range_begin', mm: mm.id, operation: 'munmap', start, end })
    await unmapRegion(mm, vmas, first.start, last.end)
    if (trace.on) trace.emit({ name: 'mm_range_end', mm: mm.id, operation: 'munmap', start, end })
  }
  if (trace.on) trace.emit({ name: 'mm_munmap', mm: mm.id, start, end })
  for (const vma of vmas) if (vma.file !== null) await vma.file.put()
}

async function unmapRegion(mm: Mm, vmas: readonly Vma[], start: number, end: number): Promise<void> {
  const floor = mm.vmas.before(start)?.end ?? 0
  const ceiling = mm.vmas.find(end - PAGE_SIZE)?.start ?? TASK_SIZE
  const gather = mm.newGather()
  const range = mm.range(start, end, 'UNMAP')
  await mm.invalidateRangeStart(range)
  for (const vma of vmas) await unmapPageRange(gather, vma, vma.start, vma.end)
  await mm.invalidateRangeEnd(range)
  for (const vma of vmas) await vmaUnlink(vma)
  await freePgtables(gather, mm, start, end, floor, ceiling)
  gather.finish()
}
