/**
 * How KSM changes one PTE: write protection, replacement, and giving a shared page up (Linux v6.12 mm/ksm.c, with the
 * change_pte of v3.7).
 *
 * ```
 *  write protect                              replace
 *  page lock, range start                     page lock, range start
 *  page-table lock                            page-table lock; PTE still the same?
 *    clear PTE, flush host                      clear PTE, flush host
 *    other references than the PTEs? restore    change_pte, set PTE of the shared page
 *    change_pte, set PTE read-only, clean       rmap removed, old page put
 *  unlock, range end                          unlock, range end
 * ```
 *
 * R1 Contents are compared after the write protection: from then on nobody can change them.
 * R2 A page that anybody but its PTEs refers to (a client, a pin) is not merged.
 */
import type { Hpa, Hva, Pfn } from '../base/index.ts'
import { splitHugePmd } from './split-huge-pmd.ts'
import type { Kernel } from './kernel.ts'
import { handleMmFault } from './memory.ts'
import { PG_ANON, PG_ANON_EXCLUSIVE, PG_DIRTY, PG_ISOLATED, PG_KSM, PG_SWAPCACHE } from './page.ts'
import {
  mkPte,
  pteDirty,
  pteMkclean,
  pteMkyoung,
  ptePfn,
  ptePresent,
  pteSpecial,
  pteWrite,
  pteWrprotect,
} from './pte.ts'
import { slotThatMaps } from './rmap.ts'
import type { Vma } from './vma.ts'

/** A shared page. `mapping` of the page is this object for as long as the page is the one meant. */
export class StableNode {
  readonly pfn: Pfn

  constructor(pfn: Pfn) {
    this.pfn = pfn
  }
}

/** May the page behind this PTE be merged? */
export function isMergeable(kernel: Kernel, pte: number): boolean {
  if (!ptePresent(pte) || pteSpecial(pte)) return false
  return kernel.pages.test(ptePfn(pte), PG_ANON) && !kernel.pages.test(ptePfn(pte), PG_KSM)
}

/**
 * Turns the PTE at `hva` to a shared page of equal content (Linux: try_to_merge_one_page).
 * Under the mmap lock for reading. The page lock is taken by trying.
 * @param shared null makes the page itself the shared one
 */
export async function mergePage(vma: Vma, hva: Hva, pfn: Pfn, shared: Pfn | null): Promise<boolean> {
  const { pages, memory } = vma.mm.kernel
  const lock = pages.lockOf(pfn)
  if (!pages.test(pfn, PG_ANON) || pages.test(pfn, PG_KSM) || !lock.tryLock()) return false
  let merged = false
  await splitHugePmd(vma.mm, hva)
  const pte = await writeProtectPage(vma, hva, pfn)
  if (pte !== 0) {
    if (shared === null) merged = makeStable(vma.mm.kernel, pfn)
    else if (memory.framesEqual(pfn, shared)) merged = await replacePage(vma, hva, pfn, shared, pte)
  }
  lock.unlock()
  return merged
}

/** Under the page lock. @returns the PTE that was set, or 0 when the page must not be merged */
async function writeProtectPage(vma: Vma, hva: Hva, pfn: Pfn): Promise<number> {
  const { mm } = vma
  const range = await mm.openNotifyWindow(hva)
  await mm.pageTableLock.lock()
  const slot = slotThatMaps(vma, hva, pfn)
  const pte = slot === -1 ? 0 : await writeProtectPte(vma, hva, slot, pfn)
  mm.pageTableLock.unlock()
  if (range !== null) await mm.invalidateRangeEnd(range)
  return pte
}

/** Under the page-table lock. */
async function writeProtectPte(vma: Vma, hva: Hva, slot: Hpa, pfn: Pfn): Promise<number> {
  const { mm } = vma
  const { pages, memory } = mm.kernel
  const found = memory.readLow(slot)
  if (!pteWrite(found) && !pteDirty(found) && !pages.test(pfn, PG_ANON_EXCLUSIVE)) return found
  const old = mm.ptepClearFlush(hva, slot)
  // PTEs, the swap cache and the scan's own: anybody else may be reading or writing the page.
  const known = pages.maps(pfn) + 1 + (pages.test(pfn, PG_SWAPCACHE) ? 1 : 0)
  if (pages.refs(pfn) !== known) {
    mm.setPte(hva, slot, old)
    return 0
  }
  if (pteDirty(old)) pages.set(pfn, PG_DIRTY)
  pages.clear(pfn, PG_ANON_EXCLUSIVE)
  const pte = pteMkyoung(pteMkclean(pteWrprotect(old)))
  await mm.setPteAtNotify(hva, pte)
  return pte
}

/** The write-protected page becomes a shared one. Under its lock. One step. */
function makeStable(kernel: Kernel, pfn: Pfn): boolean {
  const { pages, lru, swap } = kernel
  if (pages.test(pfn, PG_ISOLATED)) return false
  if (pages.test(pfn, PG_SWAPCACHE)) {
    swap.freeCacheLocked(pfn)
    if (pages.test(pfn, PG_SWAPCACHE)) return false
  }
  lru.remove(pfn)
  pages.set(pfn, PG_KSM | PG_DIRTY)
  pages.mapping[pfn] = new StableNode(pfn)
  return true
}

/** Under the page lock of `pfn`, whose content equals that of `shared`. */
async function replacePage(vma: Vma, hva: Hva, pfn: Pfn, shared: Pfn, expected: number): Promise<boolean> {
  const { mm } = vma
  const { pages, swap, allocator } = mm.kernel
  const range = await mm.openNotifyWindow(hva)
  await mm.pageTableLock.lock()
  const same = mm.pageTable.read(hva) === expected
  if (same) {
    pages.get(shared)
    pages.addRmap(shared)
    mm.ptepClearFlush(hva, mm.pageTable.slot(hva) as Hpa)
    await mm.setPteAtNotify(hva, mkPte(shared, vma.prot))
    pages.removeRmap(pfn)
    if (pages.maps(pfn) === 0) swap.freeCacheLocked(pfn)
    allocator.put(pfn)
  }
  mm.pageTableLock.unlock()
  if (range !== null) await mm.invalidateRangeEnd(range)
  return same
}

/** Gives the VMA a page of its own where it maps a shared one (Linux: break_ksm). Under the mmap lock. */
export async function breakKsm(vma: Vma, hva: Hva): Promise<void> {
  const { mm } = vma
  const { pages, trace } = mm.kernel
  for (;;) {
    const pte = mm.pageTable.read(hva)
    if (!ptePresent(pte) || pteSpecial(pte) || !pages.test(ptePfn(pte), PG_KSM)) return
    await handleMmFault(vma, hva, true)
    if (trace.on) trace.emit({ name: 'ksm_unmerge', mm: mm.id, hva, pfn: ptePfn(pte) })
  }
}
