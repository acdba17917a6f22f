/**
 * The page cache: finding and filling the pages of a file (Linux v6.12 mm/filemap.c, mm/shmem.c), and read and write
 * system calls on files.
 *
 * R1 A page enters the cache locked and not up to date; whoever finds it waits for its lock.
 * R2 After the lock is taken the page must still be the file's and inside its size: else it was truncated meanwhile.
 * R3 A page of a memory file is dirty from birth: nothing but the page holds its content.
 */
import { KernelBug, KernelError, PAGE_SIZE, hex } from '../base/index.ts'
import type { Hpa, Pfn } from '../base/index.ts'
import type { AddressSpace } from './address-space.ts'
import type { Kernel } from './kernel.ts'
import { PG_DIRTY, PG_REFERENCED, PG_SWAPBACKED, PG_UPTODATE, PG_WRITEBACK } from './page.ts'
import { pageMkclean } from './rmap.ts'
import { getSwapPage } from './swap-fault.ts'

/**
 * The page of a file, locked and with a reference; reads it in when it is not there.
 * Called without page locks and page-table locks.
 * @returns -1 when the index is beyond the end
 * @throws KernelError ENOMEM
 */
export async function filemapGetPage(file: AddressSpace, index: number): Promise<Pfn | -1> {
  const { pages, allocator } = file.kernel
  while (index < file.sizeInPages) {
    const place = file.pages.get(index)
    if (place === undefined) {
      const made = await addPage(file, index)
      if (made !== -1) return made
      continue
    }
    if (place < 0) {
      await shmemSwapIn(file, index, -place)
      continue
    }
    const pfn = place as Pfn
    pages.get(pfn)
    const lock = pages.lockOf(pfn)
    await lock.lock()
    if (file.pages.get(index) === pfn && index < file.sizeInPages) return pfn
    lock.unlock()
    allocator.put(pfn)
  }
  return -1
}

/** Puts a new page in the cache and fills it. @returns -1 when somebody else was faster or the file shrank */
async function addPage(file: AddressSpace, index: number): Promise<Pfn | -1> {
  const { pages, allocator, lru, memory } = file.kernel
  const pfn = await allocator.allocPages(0, 'file', 0)
  if (file.pages.has(index) || index >= file.sizeInPages) {
    allocator.put(pfn)
    return -1
  }
  pages.lockOf(pfn).tryLock()
  insertPage(file, index, pfn)
  lru.add(pfn, 'inactive')
  pages.get(pfn)
  const block = file.blocks.get(index)
  if (block === undefined) memory.zeroFrame(pfn)
  else await file.kernel.disk.readPage(block, pfn)
  pages.set(pfn, file.storage === 'memory' ? PG_UPTODATE | PG_DIRTY | PG_SWAPBACKED : PG_UPTODATE)
  return pfn
}

/** The cache takes over one reference to the page. One step. */
export function insertPage(file: AddressSpace, index: number, pfn: Pfn): void {
  const { pages } = file.kernel
  file.pages.set(index, pfn)
  pages.mapping[pfn] = file
  pages.index[pfn] = index
}

/** The page leaves the cache; the caller holds its lock and drops the cache's reference. One step. */
export function deletePage(file: AddressSpace, pfn: Pfn): void {
  const { pages } = file.kernel
  file.pages.delete(pages.index[pfn] as number)
  pages.mapping[pfn] = null
}

/** Brings a page of a memory file back from swap (Linux: shmem_swapin_folio). */
async function shmemSwapIn(file: AddressSpace, index: number, slot: number): Promise<void> {
  const { pages, swap, allocator } = file.kernel
  const pfn = await getSwapPage(file.kernel, slot, () => file.pages.get(index) === -slot, 0)
  if (pfn === -1) return
  const lock = pages.lockOf(pfn)
  // The page is locked here; its slot must still be the file's, and nobody but us may know the page.
  if (file.pages.get(index) === -slot && index < file.sizeInPages) {
    insertPage(file, index, pfn)
    pages.setKind(pfn, 'file')
    swap.remove(pfn)
    swap.free(slot)
    pages.set(pfn, PG_DIRTY | PG_SWAPBACKED)
  }
  lock.unlock()
  allocator.put(pfn)
}

/**
 * Reads bytes of a file (Linux: pread). Short at the end of the file.
 * @throws KernelError ENOMEM
 */
export async function readFile(file: AddressSpace, offset: number, length: number): Promise<Uint8Array> {
  checkOffset(file, offset)
  const end = Math.min(offset + length, file.size)
  const bytes = new Uint8Array(Math.max(end - offset, 0))
  for (let at = offset; at < end; at = Math.floor(at / PAGE_SIZE) * PAGE_SIZE + PAGE_SIZE) {
    const pfn = await filemapGetPage(file, Math.floor(at / PAGE_SIZE))
    if (pfn === -1) return bytes.slice(0, at - offset)
    const within = at % PAGE_SIZE
    const count = Math.min(PAGE_SIZE - within, end - at)
    bytes.set(file.kernel.memory.readBytes((pfn * PAGE_SIZE + within) as Hpa, count), at - offset)
    file.kernel.pages.set(pfn, PG_REFERENCED)
    file.kernel.pages.lockOf(pfn).unlock()
    file.kernel.allocator.put(pfn)
  }
  return bytes
}

/**
 * Writes bytes to a file (Linux: pwrite); grows it when they go beyond the end. Mappings show them at once.
 * @throws KernelError ENOMEM
 */
export async function writeFile(file: AddressSpace, offset: number, bytes: Uint8Array): Promise<void> {
  checkOffset(file, offset)
  await file.inodeLock.lock()
  try {
    const end = offset + bytes.length
    for (let at = offset; at < end; at = Math.floor(at / PAGE_SIZE) * PAGE_SIZE + PAGE_SIZE) {
      const count = Math.min(PAGE_SIZE - (at % PAGE_SIZE), end - at)
      await writePiece(file, at, bytes.subarray(at - offset, at - offset + count))
    }
  } finally {
    file.inodeLock.unlock()
  }
}

/** Bytes within one page. Under the inode lock. */
async function writePiece(file: AddressSpace, at: number, piece: Uint8Array): Promise<void> {
  const { memory, pages, allocator, trace } = file.kernel
  if (file.size < at + piece.length) file.size = at + piece.length
  const pfn = await filemapGetPage(file, Math.floor(at / PAGE_SIZE))
  if (pfn === -1) throw new KernelBug(`${file.name} shrank under its inode lock`)
  memory.writeBytes((pfn * PAGE_SIZE + (at % PAGE_SIZE)) as Hpa, piece)
  pages.set(pfn, PG_DIRTY)
  if (trace.on) trace.emit({ name: 'file_write', file: file.id, offset: at, bytes: hexBytes(piece) })
  pages.lockOf(pfn).unlock()
  allocator.put(pfn)
}

const hexBytes = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('')

function checkOffset(file: AddressSpace, offset: number): void {
  if (Number.isInteger(offset) && offset >= 0) return
  throw new KernelError('EINVAL', `${file.name}: offset ${hex(offset)}: expected 0 or more`)
}

/**
 * Writes a dirty page of a disk file to its block. The page is locked, and no PTE may dirty it unnoticed.
 * @returns false when the disk is full or fails; the page stays dirty
 */
export async function writeBackPage(kernel: Kernel, pfn: Pfn): Promise<boolean> {
  const { pages, disk } = kernel
  const file = pages.mapping[pfn] as AddressSpace | null
  if (file === null) return true
  const index = pages.index[pfn] as number
  const block = file.blocks.get(index) ?? disk.allocate()
  if (block === -1) return false
  file.blocks.set(index, block)
  pages.clear(pfn, PG_DIRTY)
  pages.set(pfn, PG_WRITEBACK)
  await disk.writePage(block, pfn)
  pages.clear(pfn, PG_WRITEBACK)
  return true
}

/**
 * Writes every dirty page of a disk file (Linux: fsync). Mappings become read-only first, so that later stores are
 * noticed. Nothing to do for a memory file.
 * @throws KernelError ENOSPC
 */
export async function fsync(file: AddressSpace): Promise<void> {
  if (file.storage === 'memory') return
  const { kernel } = file
  const { pages, allocator } = kernel
  for (const index of Array.from(file.pages.keys())) {
    const pfn = file.lookup(index)
    if (pfn === -1) continue
    pages.get(pfn)
    const lock = pages.lockOf(pfn)
    await lock.lock()
    let written = true
    // A PTE of a disk file is writable only while its page is dirty: a clean page has nothing to protect.
    if (file.lookup(index) === pfn && pages.test(pfn, PG_DIRTY)) {
      await pageMkclean(kernel, pfn)
      written = await writeBackPage(kernel, pfn)
    }
    lock.unlock()
    allocator.put(pfn)
    if (!written)
      throw new KernelError('ENOSPC', `fsync of ${file.name}: the disk of ${kernel.disk.blocks} blocks is full`)
  }
}
