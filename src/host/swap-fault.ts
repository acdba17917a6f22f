/**
 * Faults on swap entries (Linux v6.12 mm/memory.c: do_swap_page, mm/swap_state.c: read_swap_cache_async).
 *
 * R1 Nothing was present, so no callout is due.
 * R2 Two faults on one slot meet in the swap cache: the first puts the page there locked, the other waits for the lock.
 * R3 Under the page lock the page must still be the slot's, and under the page-table lock the PTE must still be the entry.
 */
import type { Hpa, Hva, Pfn } from '../base/index.ts'
import { anonVmaPrepare } from './anon-vma.ts'
import type { Kernel } from './kernel.ts'
import { PG_ANON, PG_ANON_EXCLUSIVE, PG_DIRTY, PG_SWAPBACKED, PG_SWAPCACHE, PG_UPTODATE } from './page.ts'
import { mkPte, pteMkdirty, pteMkwrite, swapOffset } from './pte.ts'
import type { Vma } from './vma.ts'

/**
 * The page of a slot, in the swap cache, locked and with a reference; reads it in when it is not there.
 * @param stillWanted whether the reader still names the slot; asked after every wait
 * @returns -1 when it no longer does, or the page went away: look again
 * @throws KernelError ENOMEM, EIO
 */
export async function getSwapPage(
  kernel: Kernel,
  slot: number,
  stillWanted: () => boolean,
  owner: number,
): Promise<Pfn | -1> {
  const { pages, swap, allocator } = kernel
  const found = swap.lookup(slot)
  if (found !== -1) {
    pages.get(found)
    const lock = pages.lockOf(found)
    await lock.lock()
    const current = pages.test(found, PG_SWAPCACHE | PG_UPTODATE) && pages.private[found] === slot
    if (current && stillWanted()) return found
    lock.unlock()
    allocator.put(found)
    return -1
  }
  const pfn = await allocator.allocPages(0, 'anon', owner)
  if (!stillWanted() || swap.lookup(slot) !== -1) {
    allocator.put(pfn)
    return -1
  }
  const lock = pages.lockOf(pfn)
  lock.tryLock()
  swap.insert(slot, pfn)
  pages.set(pfn, PG_SWAPBACKED)
  try {
    await swap.device.readPage(slot, pfn)
  } catch (error) {
    swap.remove(pfn)
    allocator.put(pfn)
    lock.unlock()
    allocator.put(pfn)
    throw error
  }
  pages.set(pfn, PG_UPTODATE)
  kernel.lru.add(pfn, 'inactive')
  if (kernel.trace.on) kernel.trace.emit({ name: 'swap_read', pfn, slot })
  if (stillWanted()) return pfn
  lock.unlock()
  dropSwapPage(kernel, pfn)
  return -1
}

/** Drops our reference, and the page with its slot if nobody needs it any more. */
function dropSwapPage(kernel: Kernel, pfn: Pfn): void {
  kernel.swap.tryToFreeCache(pfn)
  kernel.allocator.put(pfn)
}

/** Brings the page of a swap entry back. */
export async function doSwapPage(vma: Vma, hva: Hva, entry: number, write: boolean): Promise<void> {
  const { mm } = vma
  const { kernel } = mm
  const slot = swapOffset(entry)
  anonVmaPrepare(vma)
  const pfn = await getSwapPage(kernel, slot, () => mm.pageTable.read(hva) === entry, mm.id)
  if (pfn === -1) return
  await mm.pageTableLock.lock()
  const same = mm.pageTable.read(hva) === entry
  if (same) mapSwapPage(vma, hva, pfn, slot, write)
  mm.pageTableLock.unlock()
  kernel.pages.lockOf(pfn).unlock()
  if (same) kernel.allocator.put(pfn)
  else dropSwapPage(kernel, pfn)
}

/** Under the page lock and the page-table lock. */
function mapSwapPage(vma: Vma, hva: Hva, pfn: Pfn, slot: number, write: boolean): void {
  const { mm } = vma
  const { pages, swap, allocator } = mm.kernel
  const shared = pages.maps(pfn) > 0 || swap.count(slot) > 1
  pages.get(pfn)
  pages.addRmap(pfn)
  mm.rss++
  if (!pages.test(pfn, PG_ANON)) {
    pages.set(pfn, PG_ANON)
    pages.index[pfn] = vma.indexOf(hva)
    // Other sharers may be any VMA of the family: the root's set has them all.
    pages.mapping[pfn] = shared ? (vma.anonVma?.root ?? null) : vma.anonVma
  }
  let pte = mkPte(pfn, vma.prot)
  swap.free(slot)
  mm.swapEntries--
  // Nobody else: no PTE, no entry, and no other reference than the PTE's, the cache's and ours.
  const exclusive = !shared && pages.refs(pfn) === 3
  if (exclusive) {
    pages.mapping[pfn] = vma.anonVma
    pages.set(pfn, PG_ANON_EXCLUSIVE)
    if (write && vma.writable) {
      // The slot's copy is out of date from now on.
      if (pages.test(pfn, PG_SWAPCACHE)) {
        swap.remove(pfn)
        allocator.put(pfn)
      }
      pages.set(pfn, PG_DIRTY)
      pte = pteMkwrite(pteMkdirty(pte))
    }
  }
  mm.setPte(hva, mm.pageTable.slot(hva) as Hpa, pte)
}
