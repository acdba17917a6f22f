/**
 * madvise (Linux v6.12 mm/madvise.c).
 *
 * | advice | callouts | effect |
 * |---|---|---|
 * | dontneed | CLEAR around the zap | private pages are gone: zeroes, or the file; file pages come back from the cache |
 * | free | CLEAR | private anonymous pages become clean and old: reclaim may drop them until they are written again |
 * | remove | those of hole punching | shared file memory reads as zero |
 * | cold | none | pages become old and inactive |
 * | pageout | those of reclaim | pages are swapped out or dropped |
 * | populateRead, populateWrite | those of faults | pages are faulted in |
 * | hugepage, nohugepage | none | whether faults may map 2 MiB at once |
 * | collapse | CLEAR, 2 MiB | private anonymous memory becomes huge, see huge-memory.ts |
 * | mergeable, unmergeable | those of KSM | see ksm.ts |
 *
 * R1 The mmap lock is held for reading (for writing where a VMA's flags change), so faults elsewhere go on.
 * R2 A hole ends in ENOMEM, but the mapped parts are advised all the same.
 */
import { KernelError, PAGE_SIZE, hex } from '../base/index.ts'
import type { Hpa, Hva, Pfn } from '../base/index.ts'
import { madviseCollapse } from './huge-memory.ts'
import { splitHugePmd } from './split-huge-pmd.ts'
import { madviseMergeable, madviseUnmergeable } from './ksm.ts'
import { checkAccess, handleMmFault } from './memory.ts'
import type { Mm } from './mm.ts'
import type { MmuGather } from './mmu-gather.ts'
import { PG_ANON, PG_DIRTY, PG_KSM, PG_REFERENCED, PG_SWAPBACKED, PG_SWAPCACHE } from './page.ts'
import { pmdAddrEnd } from './page-table.ts'
import {
  isSwapEntry,
  pteDirty,
  pteMkclean,
  pteMkold,
  pteNone,
  ptePfn,
  ptePresent,
  pteSpecial,
  pteWrite,
  swapOffset,
} from './pte.ts'
import { punchHole } from './truncate.ts'
import { VM_HUGEPAGE, mergeRange, splitRange } from './vma.ts'
import type { Vma } from './vma.ts'
import { zapPageRange } from './zap.ts'

export type Advice =
  | 'cold'
  | 'collapse'
  | 'dontneed'
  | 'free'
  | 'hugepage'
  | 'mergeable'
  | 'nohugepage'
  | 'pageout'
  | 'populateRead'
  | 'populateWrite'
  | 'remove'
  | 'unmergeable'

type Advise = (vma: Vma, start: number, end: number) => Promise<void>

const ADVICE: Readonly<Partial<Record<Advice, Advise>>> = {
  cold: adviseCold,
  dontneed: adviseDontneed,
  free: adviseFree,
  pageout: advisePageout,
  populateRead: (vma, start, end) => populate(vma, start, end, false),
  populateWrite: (vma, start, end) => populate(vma, start, end, true),
}

/**
 * Advises on whole pages of [start, start + length).
 * @param length bytes, rounded up to pages; 0 does nothing
 * @throws KernelError EINVAL for an unknown advice, a bad range, or a VMA that the advice does not fit; ENOMEM for a hole
 */
export async function madvise(mm: Mm, start: number, length: number, advice: Advice): Promise<void> {
  if (length === 0) return
  const end = mm.checkRange('madvise', start, length)
  if (advice === 'mergeable') return await madviseMergeable(mm, start, end)
  if (advice === 'unmergeable') return await madviseUnmergeable(mm, start, end)
  if (advice === 'collapse') return await madviseCollapse(mm, start, end)
  if (advice === 'hugepage' || advice === 'nohugepage') return await adviseHuge(mm, start, end, advice === 'hugepage')
  if (advice === 'remove') return await adviseRemove(mm, start, end)
  const advise = ADVICE[advice]
  if (advise === undefined) throw new KernelError('EINVAL', `madvise: unknown advice '${advice as string}'`)
  await mm.mmapLock.downRead()
  try {
    for (const vma of mm.vmas.overlapping(start, end)) {
      await advise(vma, Math.max(start, vma.start), Math.min(end, vma.end))
    }
    checkNoHole(mm, start, end)
  } finally {
    mm.mmapLock.upRead()
  }
}

function checkNoHole(mm: Mm, start: number, end: number): void {
  if (!mm.vmas.covers(start, end)) {
    throw new KernelError('ENOMEM', `madvise: [${hex(start)}-${hex(end)}] is not mapped everywhere`)
  }
}

async function adviseDontneed(vma: Vma, start: number, end: number): Promise<void> {
  const { mm } = vma
  const { trace } = mm.kernel
  if (trace.on) trace.emit({ name: 'mm_range_begin', mm: mm.id, operation: 'madvise_dontneed', start, end })
  await zapPageRange(vma, start, end, 'CLEAR')
  if (trace.on) trace.emit({ name: 'mm_range_end', mm: mm.id, operation: 'madvise_dontneed', start, end })
}

async function adviseFree(vma: Vma, start: number, end: number): Promise<void> {
  const { mm } = vma
  const { trace } = mm.kernel
  if (vma.file !== null) {
    throw new KernelError('EINVAL', `madvise free: ${vma.describe()} is not private anonymous memory`)
  }
  if (trace.on) trace.emit({ name: 'mm_range_begin', mm: mm.id, operation: 'madvise_free', start, end })
  const range = mm.range(start, end, 'CLEAR')
  const gather = mm.newGather()
  const table = mm.pageTable
  await mm.invalidateRangeStart(range)
  for (let hva = table.nextPopulated(start, end); hva < end; hva = table.nextPopulated(pmdAddrEnd(hva, end), end)) {
    await splitHugePmd(mm, hva)
    await mm.pageTableLock.lock()
    freePteRange(gather, vma, hva, pmdAddrEnd(hva, end))
    mm.pageTableLock.unlock()
  }
  await mm.invalidateRangeEnd(range)
  gather.finish()
  if (trace.on) trace.emit({ name: 'mm_range_end', mm: mm.id, operation: 'madvise_free', start, end })
}

/** Under the page-table lock (Linux: madvise_free_pte_range). */
function freePteRange(gather: MmuGather, vma: Vma, start: number, end: number): void {
  const { mm } = vma
  const { memory, swap } = mm.kernel
  const first = mm.pageTable.slot(start)
  if (first === -1) return
  for (let hva = start; hva < end; hva += PAGE_SIZE) {
    const slot = (first + ((hva - start) / PAGE_SIZE) * 8) as Hpa
    const pte = memory.readLow(slot)
    if (pteNone(pte)) continue
    if (isSwapEntry(pte)) {
      // Nobody needs the content: the next access finds zeroes.
      mm.clearPte(hva, slot)
      mm.swapEntries--
      swap.free(swapOffset(pte))
    } else if (ptePresent(pte) && !pteSpecial(pte)) {
      lazyFree(gather, vma, hva, slot)
    }
  }
}

/** Marks one page as droppable, if nobody else sees it. */
function lazyFree(gather: MmuGather, vma: Vma, hva: number, slot: Hpa): void {
  const { mm } = vma
  const { memory, pages, swap, lru } = mm.kernel
  const pte = memory.readLow(slot)
  const pfn = ptePfn(pte)
  if (!pages.test(pfn, PG_ANON) || pages.test(pfn, PG_KSM) || pages.maps(pfn) !== 1 || pages.isLocked(pfn)) return
  if (pages.test(pfn, PG_SWAPCACHE)) swap.tryToFreeCache(pfn)
  if (pages.test(pfn, PG_SWAPCACHE)) return
  pages.clear(pfn, PG_DIRTY | PG_SWAPBACKED | PG_REFERENCED)
  mm.setPte(hva, slot, pteMkold(pteMkclean(mm.clearPte(hva, slot))))
  gather.note(hva, hva + PAGE_SIZE)
  if (!lru.has(pfn)) return
  lru.remove(pfn)
  lru.add(pfn, 'inactive')
}

/** Pages of a range that reclaim could take: private to this mm's mapping. */
async function collectPages(vma: Vma, start: number, end: number, take: (pfn: Pfn, hva: Hva) => void): Promise<void> {
  const { mm } = vma
  const table = mm.pageTable
  for (let hva = table.nextPopulated(start, end); hva < end; hva = table.nextPopulated(pmdAddrEnd(hva, end), end)) {
    await splitHugePmd(mm, hva)
    await mm.pageTableLock.lock()
    for (let at = hva; at < pmdAddrEnd(hva, end); at += PAGE_SIZE) {
      const pte = table.read(at)
      if (ptePresent(pte) && !pteSpecial(pte) && mm.kernel.pages.maps(ptePfn(pte)) === 1) take(ptePfn(pte), at as Hva)
    }
    mm.pageTableLock.unlock()
  }
}

/** Old and inactive, but still mapped; the clients keep their translations (Linux: madvise_cold). */
async function adviseCold(vma: Vma, start: number, end: number): Promise<void> {
  const { mm } = vma
  const { memory, lru, pages } = mm.kernel
  await collectPages(vma, start, end, (pfn, hva) => {
    const slot = mm.pageTable.slot(hva) as Hpa
    memory.writePte(slot, pteMkold(memory.readLow(slot)), 0)
    pages.clear(pfn, PG_REFERENCED)
    if (!lru.has(pfn)) return
    lru.remove(pfn)
    lru.add(pfn, 'inactive')
  })
  mm.flushTlbRange(start, end)
}

/** Out to swap or dropped, now (Linux: madvise_pageout). Without swap, private memory stays as it is. */
async function advisePageout(vma: Vma, start: number, end: number): Promise<void> {
  const { mm } = vma
  const { lru, reclaim, trace } = mm.kernel
  const isolated: Pfn[] = []
  await collectPages(vma, start, end, (pfn) => {
    if (lru.isolate(pfn)) isolated.push(pfn)
  })
  if (trace.on) trace.emit({ name: 'mm_range_begin', mm: mm.id, operation: 'madvise_pageout', start, end })
  for (const pfn of isolated) await reclaim.reclaimIsolated(pfn)
  if (trace.on) trace.emit({ name: 'mm_range_end', mm: mm.id, operation: 'madvise_pageout', start, end })
}

/** Faults the whole range in. */
async function populate(vma: Vma, start: number, end: number, write: boolean): Promise<void> {
  const { mm } = vma
  for (let hva = start; hva < end; hva += PAGE_SIZE) {
    checkAccess(vma, hva, write, 'madvise populate')
    for (;;) {
      const pte = mm.pageTable.read(hva)
      if (ptePresent(pte) && (!write || (pteWrite(pte) && pteDirty(pte)))) break
      await handleMmFault(vma, hva as Hva, write)
    }
  }
}

/** Whether faults may map 2 MiB at once from now on. What is mapped stays as it is (Linux: hugepage_madvise). */
async function adviseHuge(mm: Mm, start: number, end: number, huge: boolean): Promise<void> {
  await mm.mmapLock.downWrite()
  try {
    for (const vma of await splitRange(mm, start, end)) {
      vma.flags = huge ? vma.flags | VM_HUGEPAGE : vma.flags & ~VM_HUGEPAGE
    }
    await mergeRange(mm, start, end)
    checkNoHole(mm, start, end)
  } finally {
    mm.mmapLock.upWrite()
  }
}

/** Punches the file behind shared mappings (Linux: madvise_remove). Not under the mmap lock. */
async function adviseRemove(mm: Mm, start: number, end: number): Promise<void> {
  const holes: { readonly vma: Vma; readonly offset: number; readonly length: number }[] = []
  await mm.mmapLock.downRead()
  try {
    checkNoHole(mm, start, end)
    for (const vma of mm.vmas.overlapping(start, end)) {
      if (vma.file === null || !vma.shared || !vma.writable) {
        throw new KernelError('EINVAL', `madvise remove: ${vma.describe()} is not writable shared file memory`)
      }
      const from = Math.max(start, vma.start)
      holes.push({ vma, offset: vma.indexOf(from) * PAGE_SIZE, length: Math.min(end, vma.end) - from })
    }
    for (const { vma } of holes) vma.file?.get()
  } finally {
    mm.mmapLock.upRead()
  }
  for (const { vma, offset, length } of holes) {
    if (vma.file === null) continue
    await punchHole(vma.file, offset, length)
    await vma.file.put()
  }
}
