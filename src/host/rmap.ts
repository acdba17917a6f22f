/**
 * Reverse mapping: from a page to the PTEs that map it (Linux v6.12 mm/rmap.c).
 *
 * ```
 *  referenced                try to unmap                      write-protect for write-back
 *  rmap lock R               rmap lock R                       rmap lock R
 *    page-table lock           range start (CLEAR)               range start (PROTECTION_PAGE)
 *      clear A, flush host     page-table lock                   page-table lock
 *      clear_flush_young         clear PTE, flush host             clear PTE, flush host
 *    unlock                      swap entry, rmap, put             set it read-only and clean
 *                              unlock                            unlock
 *                              range end                         range end
 * ```
 *
 * R1 The caller holds the page lock and a reference; a walk holds the rmap lock for reading, no mmap lock.
 * R2 A PTE found without its lock is nothing: under the lock it must name the page.
 * R3 The dirty bit of a cleared PTE reaches the page before the page-table lock is dropped; a client's dirty state has
 *    reached it in range start (`Kernel.setPageDirty`).
 */
import { KernelBug, PAGE_SIZE } from '../base/index.ts'
import type { Hpa, Hva, Pfn } from '../base/index.ts'
import { mmuNotifierClearFlushYoung } from '../notifier/index.ts'
import type { AddressSpace } from './address-space.ts'
import type { AnonVma } from './anon-vma.ts'
import { splitHugePmd } from './split-huge-pmd.ts'
import type { Kernel } from './kernel.ts'
import {
  PG_ANON,
  PG_ANON_EXCLUSIVE,
  PG_DIRTY,
  PG_IDLE,
  PG_KSM,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PG_UPTODATE,
} from './page.ts'
import {
  pteDirty,
  pteMkclean,
  pteMkold,
  ptePfn,
  ptePresent,
  pteSpecial,
  pteWrprotect,
  pteYoung,
  swapEntry,
} from './pte.ts'
import type { Vma } from './vma.ts'

/** Called with each place that may map the page. @returns false to stop the walk */
export type RmapVisitor = (vma: Vma, hva: Hva) => Promise<boolean>

/** Makes a fresh frame the anonymous page of `hva`; its one reference becomes the PTE's. Under the page-table lock. */
export function newAnonPage(vma: Vma, hva: number, pfn: Pfn): void {
  const { pages, lru } = vma.mm.kernel
  if (vma.anonVma === null) throw new KernelBug(`${vma.describe()} maps an anonymous page without an anon_vma`)
  pages.mapping[pfn] = vma.anonVma
  pages.index[pfn] = vma.indexOf(hva)
  pages.set(pfn, PG_ANON | PG_SWAPBACKED | PG_ANON_EXCLUSIVE | PG_UPTODATE)
  pages.addRmap(pfn)
  vma.mm.rss++
  lru.add(pfn, 'active')
}

/** Visits every place that may map a page. */
export async function rmapWalk(kernel: Kernel, pfn: Pfn, visit: RmapVisitor): Promise<void> {
  const { pages } = kernel
  const mapping = pages.mapping[pfn] ?? null
  // Pages that KSM shares are neither aged nor moved.
  if (mapping === null || pages.test(pfn, PG_KSM)) return
  const index = pages.index[pfn] as number
  const anon = pages.test(pfn, PG_ANON)
  const lock = anon ? (mapping as AnonVma).lock : (mapping as AddressSpace).iMmapLock
  const vmas = anon ? (mapping as AnonVma).vmas : (mapping as AddressSpace).iMmap
  await lock.downRead()
  for (const vma of vmas) {
    const hva = vma.addressOf(index)
    if (hva !== -1 && !(await visit(vma, hva))) break
  }
  lock.upRead()
}

/** The slot at `hva` if its PTE names the page, else -1. Under the page-table lock. */
export function slotThatMaps(vma: Vma, hva: Hva, pfn: Pfn): Hpa | -1 {
  const { mm } = vma
  const slot = mm.pageTable.slot(hva)
  if (slot === -1) return -1
  const pte = mm.kernel.memory.readLow(slot)
  return ptePresent(pte) && !pteSpecial(pte) && ptePfn(pte) === pfn ? slot : -1
}

/** A page that is to be aged or unmapped for itself needs a PTE of its own. */
export async function splitIfHuge(vma: Vma, hva: Hva, pfn: Pfn): Promise<void> {
  const { pageTable } = vma.mm
  if (pageTable.hugePmd(hva) !== 0 && ptePfn(pageTable.read(hva)) === pfn) await splitHugePmd(vma.mm, hva)
}

/**
 * Was the page used since this was last asked, by the host or by a client? Clears the marks (Linux: folio_referenced).
 * @returns the number of PTEs through which it was used
 */
export async function pageReferenced(kernel: Kernel, pfn: Pfn): Promise<number> {
  let referenced = 0
  await rmapWalk(kernel, pfn, async (vma, hva) => {
    if (await pageReferencedOne(vma, hva, pfn)) referenced++
    return true
  })
  if (referenced > 0) kernel.pages.clear(pfn, PG_IDLE)
  return referenced
}

async function pageReferencedOne(vma: Vma, hva: Hva, pfn: Pfn): Promise<boolean> {
  const { mm } = vma
  await splitIfHuge(vma, hva, pfn)
  await mm.pageTableLock.lock()
  const slot = slotThatMaps(vma, hva, pfn)
  if (slot === -1) {
    mm.pageTableLock.unlock()
    return false
  }
  const pte = mm.kernel.memory.readLow(slot)
  let young = pteYoung(pte)
  if (young) {
    mm.kernel.memory.writePte(slot, pteMkold(pte), 0)
    mm.flushTlbRange(hva, hva + PAGE_SIZE)
  }
  if (await mmuNotifierClearFlushYoung(mm, hva, (hva + PAGE_SIZE) as Hva)) young = true
  mm.pageTableLock.unlock()
  return young
}

/**
 * Removes every PTE of a page; anonymous ones become swap entries. The page is locked.
 * @returns false when it is still mapped somewhere: a lazily freed page turned out to be written or in use
 */
export async function tryToUnmap(kernel: Kernel, pfn: Pfn): Promise<boolean> {
  await rmapWalk(kernel, pfn, (vma, hva) => kernel.tryToUnmapOne(vma, hva, pfn))
  return kernel.pages.maps(pfn) === 0
}

/** One place of `tryToUnmap`. @returns false when the page has to stay */
export async function tryToUnmapOne(vma: Vma, hva: Hva, pfn: Pfn): Promise<boolean> {
  const { mm } = vma
  await splitIfHuge(vma, hva, pfn)
  const range = mm.range(hva, hva + PAGE_SIZE, 'CLEAR')
  await mm.invalidateRangeStart(range)
  await mm.pageTableLock.lock()
  const slot = slotThatMaps(vma, hva, pfn)
  const unmapped = slot === -1 || unmapPte(vma, hva, slot, pfn)
  mm.pageTableLock.unlock()
  await mm.invalidateRangeEnd(range)
  return unmapped
}

/** Under the page-table lock. */
export function unmapPte(vma: Vma, hva: Hva, slot: Hpa, pfn: Pfn): boolean {
  const { mm } = vma
  const { pages, swap, trace, allocator } = mm.kernel
  const pte = mm.ptepClearFlush(hva, slot)
  if (pteDirty(pte)) pages.set(pfn, PG_DIRTY)
  if (pages.test(pfn, PG_ANON)) {
    if (!pages.test(pfn, PG_SWAPBACKED)) {
      // Lazily freed: discard it, unless it was written since or somebody works on it (one reference is reclaim's).
      if (pages.test(pfn, PG_DIRTY) || pages.refs(pfn) !== 1 + pages.maps(pfn)) {
        mm.setPte(hva, slot, pte)
        pages.set(pfn, PG_SWAPBACKED)
        return false
      }
    } else {
      if (!pages.test(pfn, PG_SWAPCACHE)) throw new KernelBug(`frame ${pfn} is unmapped for swap without a slot`)
      const swapSlot = pages.private[pfn] as number
      swap.duplicate(swapSlot)
      mm.setPte(hva, slot, swapEntry(0, swapSlot))
      mm.swapEntries++
      pages.clear(pfn, PG_ANON_EXCLUSIVE)
      if (trace.on) trace.emit({ name: 'swap_pte', mm: mm.id, hva, pfn, slot: swapSlot })
    }
  }
  pages.removeRmap(pfn)
  mm.rss--
  allocator.put(pfn)
  return true
}

/** Makes every PTE of a file page read-only and clean, so that the next store is noticed (Linux: folio_mkclean). */
export async function pageMkclean(kernel: Kernel, pfn: Pfn): Promise<void> {
  await rmapWalk(kernel, pfn, async (vma, hva) => {
    if (vma.shared) await pageMkcleanOne(vma, hva, pfn)
    return true
  })
}

async function pageMkcleanOne(vma: Vma, hva: Hva, pfn: Pfn): Promise<void> {
  const { mm } = vma
  const range = mm.range(hva, hva + PAGE_SIZE, 'PROTECTION_PAGE')
  await mm.invalidateRangeStart(range)
  await mm.pageTableLock.lock()
  const slot = slotThatMaps(vma, hva, pfn)
  if (slot !== -1) {
    const pte = mm.ptepClearFlush(hva, slot)
    if (pteDirty(pte)) mm.kernel.pages.set(pfn, PG_DIRTY)
    mm.setPte(hva, slot, pteMkclean(pteWrprotect(pte)))
  }
  mm.pageTableLock.unlock()
  await mm.invalidateRangeEnd(range)
}
