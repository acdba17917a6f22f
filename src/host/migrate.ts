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
import type { Hva, Pfn } from '../base/index.ts'
import type { Mm } from './mm.ts'
import { swapOffset } from './pte.ts'

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
