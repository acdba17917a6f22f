/**
 * Write faults on present pages: reuse or copy (Linux v6.12 mm/memory.c: do_wp_page, wp_page_copy; v3.7 set_pte_at_notify).
 *
 * ```
 *  bracketed (v3.7)                     unbracketed (the seed's commit)
 *  copy the page                        copy the page
 *  range start: clients zap
 *  lock; PTE still the same?            lock; PTE still the same?
 *  clear PTE, flush host TLB            clear PTE, flush host TLB
 *  change_pte (finds nothing)           change_pte: clients turn to the new page
 *  set PTE                              set PTE
 *  unlock                               unlock
 *  range end
 *  put the old page                     put the old page
 * ```
 *
 * R1 The copy is made before the window; the page cannot change meanwhile, since every PTE of it is read-only and the
 *    reference held here keeps others from reusing it.
 * R2 A client learns of the new page before any host thread can write it (change_pte before set PTE).
 * R3 Where only the right to write grows on the same page, no callout is due.
 */
import type { Hpa, Hva, Pfn } from '../base/index.ts'
import { anonVmaPrepare } from './anon-vma.ts'
import type { Kernel } from './kernel.ts'
import { PG_ANON, PG_ANON_EXCLUSIVE, PG_DIRTY, PG_KSM, PG_SWAPCACHE } from './page.ts'
import { mkPte, pteMkdirty, pteMkwrite, pteMkyoung, ptePfn, pteSpecial } from './pte.ts'
import { newAnonPage } from './rmap.ts'
import { freePageAndSwapCache } from './swap.ts'
import type { Vma } from './vma.ts'

/**
 * A store hit the present, read-only `pte`. Called under the page-table lock, which it drops.
 * @throws KernelError ENOMEM
 */
export async function doWpPage(vma: Vma, hva: Hva, pte: number): Promise<void> {
  const { mm } = vma
  const { pages } = mm.kernel
  const pfn = ptePfn(pte)
  if (pteSpecial(pte)) {
    mm.pageTableLock.unlock()
    await wpPageCopy(vma, hva, pte, null)
    return
  }
  if (vma.shared) {
    await wpPageShared(vma, hva, pte)
    return
  }
  if (pages.test(pfn, PG_ANON) && (pages.test(pfn, PG_ANON_EXCLUSIVE) || wpCanReuse(vma, pfn))) {
    pages.set(pfn, PG_ANON_EXCLUSIVE)
    makeWritable(vma, hva, pte)
    mm.pageTableLock.unlock()
    const { trace } = mm.kernel
    if (trace.on) trace.emit({ name: 'cow_reuse', mm: mm.id, hva, pfn })
    return
  }
  pages.get(pfn)
  mm.pageTableLock.unlock()
  await wpPageCopy(vma, hva, pte, pfn)
}

/** The right to write grows; the page stays. Under the page-table lock. */
function makeWritable(vma: Vma, hva: Hva, pte: number): void {
  const slot = vma.mm.pageTable.slot(hva) as Hpa
  vma.mm.setPte(hva, slot, pteMkwrite(pteMkdirty(pteMkyoung(pte))))
}

/** Is this PTE the only owner of an anonymous page (Linux: wp_can_reuse_anon_folio)? One step. */
function wpCanReuse(vma: Vma, pfn: Pfn): boolean {
  const { pages, swap } = vma.mm.kernel
  if (pages.test(pfn, PG_KSM)) return false
  const inCache = pages.test(pfn, PG_SWAPCACHE)
  if (pages.refs(pfn) > (inCache ? 2 : 1)) return false
  const lock = pages.lockOf(pfn)
  if (!lock.tryLock()) return false
  if (inCache) swap.freeCacheLocked(pfn)
  const alone = pages.refs(pfn) === 1
  // From now on only this VMA can map it: its own anon_vma finds it.
  if (alone) pages.mapping[pfn] = vma.anonVma
  lock.unlock()
  return alone
}

/** First store through a shared mapping since the page was clean. Drops the page-table lock. */
async function wpPageShared(vma: Vma, hva: Hva, pte: number): Promise<void> {
  const { mm } = vma
  const { pages, allocator } = mm.kernel
  const pfn = ptePfn(pte)
  pages.get(pfn)
  mm.pageTableLock.unlock()
  const lock = pages.lockOf(pfn)
  await lock.lock()
  if (pages.mapping[pfn] === vma.file) {
    await mm.pageTableLock.lock()
    if (mm.pageTable.read(hva) === pte) {
      pages.set(pfn, PG_DIRTY)
      makeWritable(vma, hva, pte)
    }
    mm.pageTableLock.unlock()
  }
  lock.unlock()
  allocator.put(pfn)
}

/** Gives the VMA a page of its own. Holds a reference to `old`, which it drops; null stands for the zero page. */
async function wpPageCopy(vma: Vma, hva: Hva, expected: number, old: Pfn | null): Promise<void> {
  const { mm } = vma
  const { kernel } = mm
  const copy = await copyForWrite(vma, hva, old)
  const range = await mm.openNotifyWindow(hva)
  await mm.pageTableLock.lock()
  const same = mm.pageTable.read(hva) === expected
  if (same) {
    mm.ptepClearFlush(hva, mm.pageTable.slot(hva) as Hpa)
    newAnonPage(vma, hva, copy)
    const pte = mkPte(copy, vma.prot)
    // KSM gives up a shared page by a write fault of its own, also where the program may only read.
    await mm.setPteAtNotify(hva, vma.writable ? pteMkwrite(pteMkdirty(pte)) : pte)
    if (old !== null) {
      kernel.pages.removeRmap(old)
      mm.rss--
    }
    const { trace } = kernel
    if (trace.on) trace.emit({ name: 'cow_break', mm: mm.id, hva, from: old ?? kernel.zeroPfn, to: copy })
  }
  mm.pageTableLock.unlock()
  if (range !== null) await mm.invalidateRangeEnd(range)
  if (!same) kernel.allocator.put(copy)
  if (old === null) return
  if (same) freePageAndSwapCache(kernel, old)
  kernel.allocator.put(old)
}

/** A frame with the content of `old`. Drops the reference to `old` when there is no memory. */
async function copyForWrite(vma: Vma, hva: Hva, old: Pfn | null): Promise<Pfn> {
  const { kernel } = vma.mm
  anonVmaPrepare(vma)
  let copy: Pfn
  try {
    copy = await kernel.allocator.allocPages(0, 'anon', vma.mm.id)
  } catch (error) {
    if (old !== null) kernel.allocator.put(old)
    throw error
  }
  copyUserPage(kernel, copy, old)
  const { trace } = kernel
  if (trace.on) trace.emit({ name: 'cow_copy', mm: vma.mm.id, hva, from: old ?? kernel.zeroPfn, to: copy })
  return copy
}

/** Copies a page, or clears one for the zero page. */
export function copyUserPage(kernel: Kernel, to: Pfn, from: Pfn | null): void {
  if (from === null) kernel.memory.zeroFrame(to)
  else kernel.memory.copyFrame(to, from)
}
