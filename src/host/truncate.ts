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
  if (!Number.isInteger(size) || size < 0) {
    throw new KernelError('EINVAL', `${file.name}: size ${size}: expected 0 or more`)
  }
  await file.inodeLock.lock()
  try {
    const shrinks = size < file.size
    file.size = size
    if (shrinks) await shrink(file, size)
    const { trace } = file.kernel
    if (trace.on) trace.emit({ name: 'file_truncate', file: file.id, size })
  } finally {
    file.inodeLock.unlock()
  }
}

async function shrink(file: AddressSpace, size: number): Promise<void> {
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
  await file.inodeLock.lock()
  try {
    await unmapMappingPages(file, first, last, false)
    await truncateInodePages(file, first, last)
  } finally {
    file.inodeLock.unlock()
  }
}

/** From this step on the file shows zeroes in [start, end): nothing maps what was there. */
function noteHole(file: AddressSpace, start: number, end: number): void {
  const { trace } = file.kernel
  if (trace.on) trace.emit({ name: 'file_punch_hole', file: file.id, start, end })
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
  noteHole(file, size, (index + 1) * PAGE_SIZE)
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
  // A page that a fault adds from now on, where there was neither page nor block, is zero: it may stay.
  const indexes = new Set([...file.pages.keys(), ...file.blocks.keys()])
  for (const index of indexes) {
    if (index >= first && index < last) await truncatePage(file, index)
  }
}

async function truncatePage(file: AddressSpace, index: number): Promise<void> {
  const { pages, allocator, swap } = file.kernel
  for (;;) {
    const place = file.pages.get(index)
    if (place === undefined || place < 0) {
      file.pages.delete(index)
      if (place !== undefined) swap.free(-place)
      forgetBlock(file, index)
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
      forgetBlock(file, index)
    }
    lock.unlock()
    allocator.put(pfn)
    if (!current) continue
    allocator.put(pfn)
    return
  }
}

/** The last of a page's content goes: from this step on the file shows zeroes there, and nothing maps what was there. */
function forgetBlock(file: AddressSpace, index: number): void {
  const block = file.blocks.get(index)
  file.blocks.delete(index)
  if (block !== undefined) file.kernel.disk.release(block)
  noteHole(file, index * PAGE_SIZE, (index + 1) * PAGE_SIZE)
}
