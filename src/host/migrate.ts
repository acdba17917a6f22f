/**
 * Moving a page to another frame (Linux v6.12 mm/migrate.c).
 *
 * ```
 *  page lock
 *  rmap lock R   for each PTE: range start (CLEAR), clear, flush, migration entry, range end
 *  copy
 *  rmap lock R   for each entry: set the PTE to the new frame; no callout, since nothing was present
 *  old frame freed
 * ```
 *
 * R1 A fault on a migration entry waits for the page lock, which is held until the entries are gone.
 * R2 Nothing is moved while anybody else holds a reference to the page.
 */
import { PAGE_SIZE } from '../base/index.ts'
import type { Hpa, Hva, Pfn } from '../base/index.ts'
import type { AddressSpace } from './address-space.ts'
import type { Kernel } from './kernel.ts'
import type { Mm } from './mm.ts'
import {
  PG_ANON,
  PG_ANON_EXCLUSIVE,
  PG_DIRTY,
  PG_KSM,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PG_UPTODATE,
} from './page.ts'
import {
  SWP_MIGRATION_READ,
  SWP_MIGRATION_WRITE,
  isMigrationEntry,
  mkPte,
  pteDirty,
  pteMkwrite,
  pteWrite,
  swapEntry,
  swapOffset,
  swapType,
} from './pte.ts'
import { rmapWalk, slotThatMaps, splitIfHuge } from './rmap.ts'
import type { Vma } from './vma.ts'

/** Flags that describe the content and go with it. */
const CONTENT_FLAGS: number = PG_ANON | PG_ANON_EXCLUSIVE | PG_DIRTY | PG_REFERENCED | PG_SWAPBACKED | PG_UPTODATE

/**
 * Moves a mapped page to a frame of its own choosing (Linux: migrate_pages for one page, as compaction calls it).
 * @returns the new frame, or -1 when the page is busy, pinned, shared by KSM, in the swap cache, or memory is short
 */
export async function migratePage(kernel: Kernel, pfn: Pfn): Promise<Pfn | -1> {
  const { pages, lru, allocator } = kernel
  if (pages.test(pfn, PG_KSM) || !lru.isolate(pfn)) return -1
  const to = allocator.tryAllocPages(0, pages.kindOf(pfn), pages.owner[pfn] as number)
  const lock = pages.lockOf(pfn)
  let moved = false
  if (to !== -1 && lock.tryLock()) {
    moved = await moveLocked(kernel, pfn, to)
    lock.unlock()
  }
  lru.endIsolation(pfn)
  if (!moved) {
    lru.add(pfn, 'inactive')
    if (to !== -1) allocator.put(to)
  }
  kernel.reclaim.isolationEnded()
  allocator.put(pfn)
  return moved ? to : -1
}

/** Both frames are the caller's; the old one is locked and isolated. */
async function moveLocked(kernel: Kernel, pfn: Pfn, to: Pfn): Promise<boolean> {
  const { pages, memory, lru, trace, allocator } = kernel
  if (pages.test(pfn, PG_SWAPCACHE) || pages.maps(pfn) === 0) return false
  await rmapWalk(kernel, pfn, async (vma, hva) => {
    await setMigrationEntry(vma, hva, pfn)
    return true
  })
  const file = pages.test(pfn, PG_ANON) ? null : (pages.mapping[pfn] as AddressSpace | null)
  // Reclaim's reference and, for a file page, the cache's: one more, and somebody uses the frame.
  const free = pages.maps(pfn) === 0 && pages.refs(pfn) === (file === null ? 1 : 2)
  const target = free ? to : pfn
  if (free) {
    pages.lockOf(to).tryLock()
    memory.copyFrame(to, pfn)
    pages.set(to, (pages.flags[pfn] as number) & CONTENT_FLAGS)
    pages.mapping[to] = pages.mapping[pfn] ?? null
    pages.index[to] = pages.index[pfn] as number
    if (file !== null) {
      file.pages.set(pages.index[pfn] as number, to)
      pages.get(to)
      pages.mapping[pfn] = null
      allocator.put(pfn)
    }
    if (trace.on) trace.emit({ name: 'migrate_page', from: pfn, to })
  }
  await rmapWalk(kernel, target, async (vma, hva) => {
    await removeMigrationEntry(vma, hva, pfn, target)
    return true
  })
  if (!free) return false
  lru.add(to, 'inactive')
  pages.lockOf(to).unlock()
  // The allocation's reference: the PTEs and the cache have theirs.
  allocator.put(to)
  return true
}

/** Linux: try_to_migrate_one. */
async function setMigrationEntry(vma: Vma, hva: Hva, pfn: Pfn): Promise<void> {
  const { mm } = vma
  const { pages, allocator } = mm.kernel
  await splitIfHuge(vma, hva, pfn)
  const range = mm.range(hva, hva + PAGE_SIZE, 'CLEAR')
  await mm.invalidateRangeStart(range)
  await mm.pageTableLock.lock()
  const slot = slotThatMaps(vma, hva, pfn)
  if (slot !== -1) {
    const pte = mm.ptepClearFlush(hva, slot)
    if (pteDirty(pte)) pages.set(pfn, PG_DIRTY)
    mm.setPte(hva, slot, swapEntry(pteWrite(pte) ? SWP_MIGRATION_WRITE : SWP_MIGRATION_READ, pfn))
    pages.removeRmap(pfn)
    mm.rss--
    allocator.put(pfn)
  }
  mm.pageTableLock.unlock()
  await mm.invalidateRangeEnd(range)
}

/** Turns the entry for `pfn` into a PTE of `target`, with the rights that the VMA has by now (Linux: remove_migration_pte). */
async function removeMigrationEntry(vma: Vma, hva: Hva, pfn: Pfn, target: Pfn): Promise<void> {
  const { mm } = vma
  const { pages } = mm.kernel
  await mm.pageTableLock.lock()
  const entry = mm.pageTable.read(hva)
  if (isMigrationEntry(entry) && swapOffset(entry) === pfn) {
    const pte = mkPte(target, vma.prot)
    const writable = swapType(entry) === SWP_MIGRATION_WRITE && vma.writable
    pages.get(target)
    pages.addRmap(target)
    mm.rss++
    mm.setPte(hva, mm.pageTable.slot(hva) as Hpa, writable ? pteMkwrite(pte) : pte)
  }
  mm.pageTableLock.unlock()
}

/** Waits until the migration that `entry` stands for is over, or the entry is gone. */
export async function migrationEntryWait(mm: Mm, hva: Hva, entry: number): Promise<void> {
  const { pages, allocator } = mm.kernel
  const pfn = swapOffset(entry) as Pfn
  await mm.pageTableLock.lock()
  const same = mm.pageTable.read(hva) === entry
  if (same) pages.get(pfn)
  mm.pageTableLock.unlock()
  if (!same) return
  const lock = pages.lockOf(pfn)
  await lock.lock()
  lock.unlock()
  allocator.put(pfn)
}
