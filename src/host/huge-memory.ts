/**
 * Huge anonymous pages: 2 MiB mapped by one leaf of the middle table (Linux v6.12 mm/huge_memory.c, mm/khugepaged.c).
 *
 * The 512 frames of a huge mapping are ordinary pages side by side, each with its own counts: only the mapping is huge.
 * Whoever needs a PTE of its own - reclaim, KSM, migration, an operation on a part - splits the mapping first.
 *
 * ```
 *  split                                   collapse
 *  range start (CLEAR, 2 MiB)              mmap lock W, anon_vma lock W
 *  page-table lock                         range start (CLEAR, 2 MiB)
 *    clear the entry, flush host           page-table lock: unlink the table, flush host; unlock
 *    link the deposited table, filled      range end at once: the mmap lock keeps faults out
 *  unlock                                  copy, set the huge entry; old pages put
 *  range end
 * ```
 *
 * R1 A table is deposited with every huge mapping, so that a split cannot fail.
 * R2 A huge mapping lies wholly inside one VMA: an edge that would cut it splits it.
 * R3 Only a fault on an empty middle entry and a collapse make one; the first holds the mmap lock for reading and the
 *    second for writing, and no rmap walk is under way at a collapse.
 */
import { KernelError, PAGE_SIZE, hex } from '../base/index.ts'
import type { Hva, Pfn } from '../base/index.ts'
import { anonVmaPrepare } from './anon-vma.ts'
import type { Mm } from './mm.ts'
import type { MmuGather } from './mmu-gather.ts'
import { PG_ANON, PG_ANON_EXCLUSIVE, PG_DIRTY, PG_KSM, PG_SWAPCACHE } from './page.ts'
import { PMD_SIZE, pmdAlloc } from './page-table.ts'
import {
  mkPte,
  pteDirty,
  pteMkdirty,
  pteMkold,
  pteMkwrite,
  pteMkyoung,
  pteNone,
  ptePfn,
  ptePresent,
  pteSpecial,
  pteWrite,
  pteWrprotect,
  pteYoung,
} from './pte.ts'
import { newAnonPage } from './rmap.ts'
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, splitHugePmd } from './split-huge-pmd.ts'
import { VM_HUGEPAGE } from './vma.ts'
import type { Vma } from './vma.ts'

const baseOf = (hva: number): Hva => (hva - (hva % PMD_SIZE)) as Hva

/** Does the VMA want huge pages, and hold the whole 2 MiB around `hva`? */
function fits(vma: Vma, hva: number): boolean {
  const base = baseOf(hva)
  return vma.file === null && !vma.shared && base >= vma.start && base + PMD_SIZE <= vma.end
}

/**
 * First touch of a range that may be huge (Linux: do_huge_pmd_anonymous_page).
 * @returns false when it has to be small: no room for it, a table is there already, or no 512 frames side by side
 */
export async function doHugeAnonymousPage(vma: Vma, hva: number, write: boolean): Promise<boolean> {
  const { mm } = vma
  const { allocator, memory } = mm.kernel
  const base = baseOf(hva)
  if ((vma.flags & VM_HUGEPAGE) === 0 || !fits(vma, hva) || mm.pageTable.leafTable(base) !== -1) return false
  await pmdAlloc(mm, base)
  anonVmaPrepare(vma)
  const head = allocator.tryAllocPages(HPAGE_PMD_ORDER, 'anon', mm.id)
  if (head === -1) return false
  const deposit = allocator.tryAllocPages(0, 'table', mm.id)
  if (deposit === -1) {
    allocator.freePages(head, HPAGE_PMD_ORDER)
    return false
  }
  for (let page = 0; page < HPAGE_PMD_NR; page++) memory.zeroFrame((head + page) as Pfn)
  memory.zeroFrame(deposit)
  await mm.pageTableLock.lock()
  const empty = mm.pageTable.isPmdNone(base)
  if (empty) {
    allocator.splitPages(head, HPAGE_PMD_ORDER)
    const pte = mkPte(head, vma.prot)
    mapHuge(vma, base, head, vma.writable ? pteMkwrite(write ? pteMkdirty(pte) : pte) : pte, deposit)
    const { trace } = mm.kernel
    if (trace.on) trace.emit({ name: 'mm_huge_page', mm: mm.id, hva: base, what: 'fault' })
  }
  mm.pageTableLock.unlock()
  if (empty) return true
  allocator.freePages(head, HPAGE_PMD_ORDER)
  allocator.put(deposit)
  return false
}

/** Under the page-table lock; the frames are fresh and their references become the mapping's. */
function mapHuge(vma: Vma, base: Hva, head: Pfn, pmd: number, deposit: Pfn): void {
  for (let page = 0; page < HPAGE_PMD_NR; page++) newAnonPage(vma, base + page * PAGE_SIZE, (head + page) as Pfn)
  vma.mm.deposit(base, deposit)
  vma.mm.setPmd(base, pmd)
}

/** A fault on a huge mapping: marks it used, gives back the right to write, or splits it for a copy. */
export async function doHugeFault(vma: Vma, hva: Hva, write: boolean): Promise<void> {
  const { mm } = vma
  const base = baseOf(hva)
  await mm.pageTableLock.lock()
  const pmd = mm.pageTable.hugePmd(base)
  let split = false
  if (pmd !== 0) {
    if (!write) {
      if (!pteYoung(pmd)) mm.setPmd(base, pteMkyoung(pmd))
    } else if (pteWrite(pmd) || canReuse(mm, ptePfn(pmd))) {
      mm.setPmd(base, pteMkwrite(pteMkdirty(pteMkyoung(pmd))))
    } else {
      split = true
    }
  }
  mm.pageTableLock.unlock()
  if (split) await splitHugePmd(mm, hva)
}

/** Is this mapping the only owner of all its pages? */
function canReuse(mm: Mm, head: Pfn): boolean {
  const { pages } = mm.kernel
  for (let page = 0; page < HPAGE_PMD_NR; page++) {
    const pfn = (head + page) as Pfn
    if (!pages.test(pfn, PG_ANON_EXCLUSIVE) && pages.refs(pfn) !== 1) return false
  }
  for (let page = 0; page < HPAGE_PMD_NR; page++) pages.set((head + page) as Pfn, PG_ANON_EXCLUSIVE)
  return true
}

/** Clears a whole huge mapping into the gather. Under the page-table lock (Linux: zap_huge_pmd). */
export function zapHugePmd(gather: MmuGather, mm: Mm, base: Hva): void {
  const { pages } = mm.kernel
  const pmd = mm.clearPmd(base)
  gather.removeTable(mm.takeDeposit(base), base, base + PMD_SIZE)
  for (let page = 0; page < HPAGE_PMD_NR; page++) {
    const pfn = (ptePfn(pmd) + page) as Pfn
    pages.removeRmap(pfn)
    mm.rss--
    gather.removePage(pfn)
  }
}

/**
 * Copies a huge mapping for a child, read-only on both sides (Linux: copy_huge_pmd). Under both page-table locks.
 * @param deposit a zeroed table for the child
 */
export function copyHugePmd(child: Mm, parent: Mm, base: Hva, deposit: Pfn): void {
  const { pages } = parent.kernel
  const pmd = pteWrprotect(parent.clearPmd(base))
  for (let page = 0; page < HPAGE_PMD_NR; page++) {
    const pfn = (ptePfn(pmd) + page) as Pfn
    pages.get(pfn)
    pages.addRmap(pfn)
    pages.clear(pfn, PG_ANON_EXCLUSIVE)
    child.rss++
  }
  parent.setPmd(base, pmd)
  child.deposit(base, deposit)
  child.setPmd(base, pteMkold(pmd))
}

/**
 * MADV_COLLAPSE: makes every aligned 2 MiB of the range huge, where its pages are this mm's alone.
 * @throws KernelError EINVAL when the range holds no such 2 MiB of private anonymous memory; ENOMEM without 512 free
 *   frames side by side; EAGAIN when a page is shared, held or in swap
 */
export async function madviseCollapse(mm: Mm, start: number, end: number): Promise<void> {
  await mm.mmapLock.downWrite()
  try {
    let seen = 0
    for (let base = Math.ceil(start / PMD_SIZE) * PMD_SIZE; base + PMD_SIZE <= end; base += PMD_SIZE) {
      const vma = mm.vmas.lookup(base)
      if (vma === null || !fits(vma, base)) {
        throw new KernelError('EINVAL', `madvise collapse: no private anonymous memory of 2 MiB at ${hex(base)}`)
      }
      seen++
      if (mm.pageTable.hugePmd(base) === 0) await collapseHugePage(vma, base as Hva)
    }
    if (seen === 0) throw new KernelError('EINVAL', `madvise collapse: [${hex(start)}-${hex(end)}] holds no 2 MiB`)
  } finally {
    mm.mmapLock.upWrite()
  }
}

/** Linux: collapse_huge_page. Under the mmap lock for writing. */
async function collapseHugePage(vma: Vma, base: Hva): Promise<void> {
  const { mm } = vma
  const { allocator, memory } = mm.kernel
  const { lock } = anonVmaPrepare(vma)
  const head = await allocator.allocPages(HPAGE_PMD_ORDER, 'anon', mm.id)
  await pmdAlloc(mm, base)
  let table = mm.pageTable.leafTable(base)
  const deposit = table === -1 ? await allocator.allocPages(0, 'table', mm.id) : table
  await lock.downWrite()
  const range = mm.range(base, base + PMD_SIZE, 'CLEAR')
  await mm.invalidateRangeStart(range)
  await mm.pageTableLock.lock()
  table = mm.pageTable.leafTable(base)
  if (table !== -1) mm.pageTable.unlinkLeaf(base)
  mm.flushTlbRange(base, base + PMD_SIZE)
  mm.pageTableLock.unlock()
  await mm.invalidateRangeEnd(range)
  // Nobody can reach the table any more: faults wait for the mmap lock, rmap walks for the anon_vma lock.
  const ptes = Array.from({ length: HPAGE_PMD_NR }, (_, i) =>
    table === -1 ? 0 : memory.readLow((table * PAGE_SIZE + i * 8) as never),
  )
  await mm.pageTableLock.lock()
  const possible = ptes.every((pte) => isCollapsible(mm, pte))
  if (possible) replaceByHuge(vma, base, head, ptes, deposit)
  else if (table !== -1) mm.pageTable.linkLeaf(base, table)
  mm.pageTableLock.unlock()
  lock.upWrite()
  const { trace } = mm.kernel
  if (possible && trace.on) trace.emit({ name: 'mm_huge_page', mm: mm.id, hva: base, what: 'collapse' })
  if (possible) return
  allocator.freePages(head, HPAGE_PMD_ORDER)
  if (table === -1) allocator.put(deposit)
  throw new KernelError('EAGAIN', `madvise collapse: a page of the 2 MiB at ${hex(base)} is shared, held or in swap`)
}

/** This mm's own, and nobody works on it; or nothing. */
function isCollapsible(mm: Mm, pte: number): boolean {
  if (pteNone(pte)) return true
  if (!ptePresent(pte)) return false
  if (pteSpecial(pte)) return true
  const { pages } = mm.kernel
  const pfn = ptePfn(pte)
  const shared = pages.refs(pfn) !== 1 || pages.isLocked(pfn)
  return pages.test(pfn, PG_ANON) && !pages.test(pfn, PG_KSM) && !pages.test(pfn, PG_SWAPCACHE) && !shared
}

/** Copies what the PTEs name side by side and maps it; the old pages go. One step, under the page-table lock. */
function replaceByHuge(vma: Vma, base: Hva, head: Pfn, ptes: readonly number[], deposit: Pfn): void {
  const { mm } = vma
  const { allocator, memory, pages, trace } = mm.kernel
  allocator.splitPages(head, HPAGE_PMD_ORDER)
  ptes.forEach((pte, page) => {
    const to = (head + page) as Pfn
    const hva = base + page * PAGE_SIZE
    if (pteNone(pte) || pteSpecial(pte)) {
      memory.zeroFrame(to)
      return
    }
    const from = ptePfn(pte)
    memory.copyFrame(to, from)
    if (trace.on) trace.emit({ name: 'clear_pte', mm: mm.id, hva, pfn: from, writable: pteWrite(pte) })
    if (pteDirty(pte) || pages.test(from, PG_DIRTY)) pages.set(to, PG_DIRTY)
    pages.removeRmap(from)
    mm.rss--
    allocator.put(from)
  })
  memory.zeroFrame(deposit)
  const pte = mkPte(head, vma.prot)
  mapHuge(vma, base, head, vma.writable ? pteMkwrite(pteMkdirty(pte)) : pte, deposit)
}
