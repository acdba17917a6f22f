/**
 * mremap: moving, growing and shrinking a mapping (Linux v6.12 mm/mremap.c).
 *
 * ```
 * mmap lock W   what is mapped at the target is unmapped, with its own callouts
 *               the target's VMA joins the rmap
 *               range start (UNMAP, the old range only)
 *               per 2 MiB: rmap locks, page-table lock; PTEs cleared here and set there; host flush; unlock
 *               range end
 *               the old VMA goes; it maps nothing any more
 * ```
 *
 * R1 No page is copied or freed: each shows at the new address what it showed at the old.
 * R2 The flush comes before the locks are dropped: else a page could be freed through its new address while a stale
 *    translation of the old one still writes it.
 * R3 An rmap walk sees a page at one of the two places, never at none: the move excludes walks.
 */
import { KernelError, PAGE_SIZE, hex } from '../base/index.ts'
import type { Hpa, Hva } from '../base/index.ts'
import { anonVmaClone } from './anon-vma.ts'
import { splitHugePmd } from './split-huge-pmd.ts'
import type { Mm } from './mm.ts'
import { munmapLocked } from './munmap.ts'
import { PMD_SIZE, TASK_SIZE, pmdAddrEnd, pteAlloc } from './page-table.ts'
import { pteNone } from './pte.ts'
import { MMAP_BASE, MMAP_MIN_ADDR } from './mmap.ts'
import type { Mapping } from './mmap.ts'
import { Vma, mergeRange, splitRange, vmaLink } from './vma.ts'

export interface MremapOptions {
  /** The mapping may move (MREMAP_MAYMOVE). Default true. */
  readonly mayMove?: boolean
  /** MREMAP_FIXED: move to exactly this address, in place of what is mapped there. */
  readonly to?: number
}

/**
 * Resizes [start, start + oldLength) to `newLength` bytes, moving it if need be.
 * @throws KernelError EINVAL for a bad range or an overlap with the target; EFAULT where the old range is not one mapping;
 *   ENOMEM when it may not move and cannot grow, or memory runs out
 */
export async function mremap(
  mm: Mm,
  start: number,
  oldLength: number,
  newLength: number,
  options: MremapOptions = {},
): Promise<Mapping> {
  const oldEnd = mm.checkRange('mremap', start, oldLength)
  const length = mm.checkRange('mremap', start, newLength) - start
  const { to, mayMove = true } = options
  if (to !== undefined) checkTarget(mm, start, oldEnd, to, length)
  await mm.mmapLock.downWrite()
  try {
    checkSource(mm, start, oldEnd)
    if (to !== undefined) {
      await munmapLocked(mm, to, to + length)
      // The target may have been part of the source's VMA.
      checkSource(mm, start, oldEnd)
    }
    const kept = Math.min(oldEnd - start, length)
    if (start + kept < oldEnd) await munmapLocked(mm, start + kept, oldEnd)
    if (to === undefined && length === kept) return { start: start as Hva, length }
    if (to === undefined && (await growInPlace(mm, start, start + kept, length))) return { start: start as Hva, length }
    if (!mayMove && to === undefined) throw new KernelError('ENOMEM', `mremap: no room to grow at ${hex(start)}`)
    const target = to ?? mm.vmas.highestGap(length, MMAP_MIN_ADDR, MMAP_BASE)
    if (target === -1) throw new KernelError('ENOMEM', `mremap: no free range of ${length} bytes`)
    await moveVma(mm, start, kept, target, length)
    return { start: target as Hva, length }
  } finally {
    mm.mmapLock.upWrite()
  }
}

function checkTarget(mm: Mm, start: number, end: number, to: number, length: number): void {
  mm.checkRange('mremap', to, length)
  if (to < MMAP_MIN_ADDR) throw new KernelError('EINVAL', `mremap: target ${hex(to)} is below ${hex(MMAP_MIN_ADDR)}`)
  if (to < end && to + length > start) throw new KernelError('EINVAL', `mremap: target ${hex(to)} overlaps the source`)
}

/** One VMA must contain the source. */
function checkSource(mm: Mm, start: number, end: number): void {
  const vma = mm.vmas.lookup(start)
  if (vma === null || vma.end < end) {
    throw new KernelError('EFAULT', `mremap: [${hex(start)}-${hex(end)}] is not part of one mapping`)
  }
}

/** Extends the VMA that ends at `end` into the free range behind it. */
async function growInPlace(mm: Mm, start: number, end: number, length: number): Promise<boolean> {
  const vma = mm.vmas.lookup(start)
  const newEnd = start + length
  if (vma === null || vma.end !== end || newEnd > TASK_SIZE || !mm.vmas.isFree(end, newEnd)) return false
  const { prot, flags, shared, file } = vma
  await linkNew(new Vma(mm, { start: end, end: newEnd, prot, flags, shared, file, pgoff: vma.indexOf(end) }), vma)
  await mergeRange(mm, end, newEnd)
  return true
}

async function linkNew(vma: Vma, from: Vma): Promise<void> {
  await anonVmaClone(vma, from)
  vma.anonVma = from.anonVma
  await vmaLink(vma)
  const { mm, file, shared } = vma
  const { trace } = mm.kernel
  if (!trace.on) return
  const offset = file === null ? 0 : vma.pgoff * PAGE_SIZE
  const range = { mm: mm.id, start: vma.start, end: vma.end }
  trace.emit({ name: 'mm_mmap', ...range, file: file?.id ?? -1, offset, shared, prot: vma.protText })
}

async function moveVma(mm: Mm, start: number, kept: number, target: number, length: number): Promise<void> {
  const { trace } = mm.kernel
  const [vma] = await splitRange(mm, start, start + kept)
  if (vma === undefined) return
  const { prot, flags, shared, file, pgoff } = vma
  const moved = new Vma(mm, { start: target, end: target + length, prot, flags, shared, file, pgoff })
  await linkNew(moved, vma)
  const event = { mm: mm.id, operation: 'mremap', start, end: start + kept } as const
  if (trace.on) trace.emit({ name: 'mm_range_begin', ...event })
  try {
    await movePageTables(vma, moved, kept)
  } catch (error) {
    // No memory for a table: back to where everything was.
    await movePageTables(moved, vma, kept)
    await munmapLocked(mm, target, target + length)
    throw error
  }
  if (trace.on) trace.emit({ name: 'mm_range_end', ...event })
  await munmapLocked(mm, start, start + kept)
  await mergeRange(mm, target, target + length)
}

async function movePageTables(from: Vma, to: Vma, length: number): Promise<void> {
  const { mm } = from
  const table = mm.pageTable
  const end = from.start + length
  const range = mm.range(from.start, end, 'UNMAP')
  await mm.invalidateRangeStart(range)
  try {
    for (let hva = table.nextPopulated(from.start, end); hva < end;) {
      await splitHugePmd(mm, hva)
      const target = to.start + (hva - from.start)
      const stop = Math.min(pmdAddrEnd(hva, end), hva + PMD_SIZE - (target % PMD_SIZE))
      await pteAlloc(mm, target as Hva)
      await movePtes(from, hva, stop, target)
      hva = table.nextPopulated(stop, end)
    }
  } finally {
    await mm.invalidateRangeEnd(range)
  }
}

async function movePtes(from: Vma, start: number, end: number, target: number): Promise<void> {
  const { mm } = from
  const { trace } = mm.kernel
  await mm.kernel.takeRmapLocks(from)
  await mm.pageTableLock.lock()
  for (let hva = start; hva < end; hva += PAGE_SIZE) {
    if (pteNone(mm.pageTable.read(hva))) continue
    const pte = mm.clearPte(hva, mm.pageTable.slot(hva) as Hpa)
    const to = target + (hva - start)
    mm.setPte(to, mm.pageTable.slot(to) as Hpa, pte)
  }
  mm.flushTlbRange(start, end)
  if (trace.on) trace.emit({ name: 'mm_mremap', mm: mm.id, start, to: target, length: end - start })
  mm.pageTableLock.unlock()
  mm.kernel.dropRmapLocks(from)
}

/** Excludes every rmap walk that may come to the pages of a VMA (Linux: take_rmap_locks). */
export async function takeRmapLocks({ anonVma, file }: Vma): Promise<void> {
  if (file !== null) await file.iMmapLock.downWrite()
  if (anonVma !== null) await anonVma.lock.downWrite()
}

export function dropRmapLocks({ anonVma, file }: Vma): void {
  if (anonVma !== null) anonVma.lock.upWrite()
  if (file !== null) file.iMmapLock.upWrite()
}
