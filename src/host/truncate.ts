/**
 * Truncation and hole punching (Linux v6.12 mm/truncate.c, mm/memory.c: unmap_mapping_range).
 *
 * ```
 *  size is set
 *  i_mmap lock R    for each VMA: range start, PTEs cleared (private copies too), range end, flush, free
 *  page locks       each page leaves the cache; one that was mapped again is unmapped again
 *  i_mmap lock R    once more: private copies made meanwhile go as well
 * ```
 *
 * R1 No mmap lock: an mm whose file shrinks learns of it through the rmap alone.
 * R2 After truncation no mapping shows anything beyond the new end; after a punched hole shared mappings show zeroes, and
 *    private copies stay.
 */
import { KernelError, PAGE_SIZE } from '../base/index.ts'
import type { Hpa, Pfn } from '../base/index.ts'
import type { AddressSpace } from './address-space.ts'
import { deletePage, filemapGetPage } from './filemap.ts'
import { PG_DIRTY, PG_UPTODATE } from './page.ts'
import type { Vma } from './vma.ts'
import { zapPageRange } from './zap.ts'

/**
 * Cuts or grows a file (Linux: ftruncate).
 * @param size bytes
 * @throws KernelError EINVAL, ENOMEM
 */
export async function truncateFile(file: AddressSpace, size: number): Promise<void> {
  if (!Number.isInteger(size) || size < 0)
    throw new KernelError('EINVAL', `${file.name}: size ${size}: expected 0 or more`)
  const shrinks = size < file.size
  const { trace } = file.kernel
  file.size = size
  if (trace.on) trace.emit({ name: 'file_truncate', file: file.id, size })
  if (!shrinks) return
  const first = Math.ceil(size / PAGE_SIZE)
  await unmapMappingPages(file, first, Infinity, true)
  await truncateInodePages(file, first, Infinity)
  await unmapMappingPages(file, first, Infinity, true)
  if (size % PAGE_SIZE !== 0) await zeroTail(file, size)
}

/**
 * Gives the pages of [offset, offset + length) back; the file reads as zero there (Linux: fallocate PUNCH_HOLE, MADV_REMOVE).
 * @param offset bytes, a multiple of the page size, as is `length`
 * @throws KernelError EINVAL
 */
export async function punchHole(file: AddressSpace, offset: number, length: number): Promise<void> {
  const aligned = Number.isInteger(offset / PAGE_SIZE) && Number.isInteger(length / PAGE_SIZE)
  if (!aligned || offset < 0 || length <= 0) {
    throw new KernelError('EINVAL', `${file.name}: hole of ${length} bytes at ${offset}: expected whole pages`)
  }
  const first = offset / PAGE_SIZE
  const last = first + length / PAGE_SIZE
  await unmapMappingPages(file, first, last, false)
  await truncateInodePages(file, first, last)
  const { trace } = file.kernel
  if (trace.on) trace.emit({ name: 'file_punch_hole', file: file.id, start: offset, end: offset + length })
}

/** The bytes after the new end within its page: a later growth must show zeroes. */
async function zeroTail(file: AddressSpace, size: number): Promise<void> {
  const index = Math.floor(size / PAGE_SIZE)
  if (!file.pages.has(index) && !file.blocks.has(index)) return
  const pfn = await filemapGetPage(file, index)
  if (pfn === -1) return
  const { memory, pages, allocator } = file.kernel
  const within = size % PAGE_SIZE
  memory.writeBytes((pfn * PAGE_SIZE + within) as Hpa, new Uint8Array(PAGE_SIZE - within))
  pages.set(pfn, PG_DIRTY)
  pages.lockOf(pfn).unlock()
  allocator.put(pfn)
}

/**
 * Unmaps pages [first, last) of a file from every VMA.
 * @param evenCows private copies go too
 */
export async function unmapMappingPages(
  file: AddressSpace,
  first: number,
  last: number,
  evenCows: boolean,
): Promise<void> {
  if (file.iMmap.size === 0) return
  await file.iMmapLock.downRead()
  for (const vma of file.iMmap) await unmapFromVma(vma, first, last, evenCows)
  file.iMmapLock.upRead()
}

async function unmapFromVma(vma: Vma, first: number, last: number, evenCows: boolean): Promise<void> {
  const start = vma.start + Math.max(first - vma.pgoff, 0) * PAGE_SIZE
  const end = Math.min(vma.start + (last - vma.pgoff) * PAGE_SIZE, vma.end)
  if (start >= end) return
  const { mm } = vma
  const { trace } = mm.kernel
  const operation = last === Infinity ? 'truncate' : 'punch_hole'
  if (trace.on) trace.emit({ name: 'mm_range_begin', mm: mm.id, operation, start, end })
  await zapPageRange(vma, start, end, 'CLEAR', { keepCows: !evenCows })
  if (trace.on) trace.emit({ name: 'mm_range_end', mm: mm.id, operation, start, end })
}

/** Takes pages [first, last) out of the page cache, with their swap slots and blocks (Linux: truncate_inode_pages_range). */
export async function truncateInodePages(file: AddressSpace, first: number, last: number): Promise<void> {
  for (const index of Array.from(file.pages.keys())) {
    if (index >= first && index < last) await truncatePage(file, index)
  }
  for (const [index, block] of Array.from(file.blocks)) {
    if (index < first || index >= last || file.pages.has(index)) continue
    file.blocks.delete(index)
    file.kernel.disk.release(block)
  }
}

async function truncatePage(file: AddressSpace, index: number): Promise<void> {
  const { pages, allocator, swap } = file.kernel
  for (;;) {
    const place = file.pages.get(index)
    if (place === undefined) return
    if (place < 0) {
      file.pages.delete(index)
      swap.free(-place)
      return
    }
    const pfn = place as Pfn
    pages.get(pfn)
    const lock = pages.lockOf(pfn)
    await lock.lock()
    const current = file.pages.get(index) === pfn
    if (current) {
      if (pages.maps(pfn) > 0) await unmapMappingPages(file, index, index + 1, false)
      pages.clear(pfn, PG_DIRTY | PG_UPTODATE)
      deletePage(file, pfn)
    }
    lock.unlock()
    allocator.put(pfn)
    if (!current) continue
    allocator.put(pfn)
    return
  }
}
