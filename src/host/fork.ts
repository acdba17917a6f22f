/**
 * fork: a copy of an address space that shares its pages until somebody writes (Linux v6.12 kernel/fork.c: dup_mmap,
 * mm/memory.c: copy_page_range).
 *
 * ```
 * parent's mmap lock W, child's mmap lock W
 *   for each VMA   child's VMA joins the rmap
 *     private:     range start (PROTECTION_PAGE, the parent's VMA)
 *                  parent's and child's page-table locks: parent's PTE made read-only, copied
 *                  range end
 *     shared:      nothing, except anonymous pages: the child faults for itself
 *   host TLB flush of the parent, once, after the last range end
 * ```
 *
 * R1 Callouts go to the parent's clients only: the child has none.
 * R2 When fork returns, no thread and no client of the parent can write a shared page without a fault.
 * R3 When it fails (ENOMEM), the child is torn down again, and the parent is as before but for lost write rights, which
 *    the next stores get back.
 */
import { PAGE_SIZE } from '../base/index.ts'
import type { Hpa } from '../base/index.ts'
import { anonVmaFork } from './anon-vma.ts'
import { copyHugePmd } from './huge-memory.ts'
import type { Mm } from './mm.ts'
import { PG_ANON_EXCLUSIVE } from './page.ts'
import { pmdAddrEnd, pmdAlloc, pteAlloc } from './page-table.ts'
import { migrationEntryWait } from './migrate.ts'
import {
  isMigrationEntry,
  isSwapEntry,
  pteMkold,
  pteNone,
  ptePfn,
  ptePresent,
  pteSpecial,
  pteWrite,
  pteWrprotect,
  swapOffset,
} from './pte.ts'
import { VM_MERGEABLE, Vma, vmaLink } from './vma.ts'
import type { Hva } from '../base/index.ts'

/**
 * @returns the child, with one user, the caller
 * @throws KernelError ENOMEM
 */
export async function fork(parent: Mm, name: string = `${parent.name}/child`): Promise<Mm> {
  const { kernel } = parent
  const child = await kernel.createMm(name, parent)
  await parent.mmapLock.downWrite()
  await child.mmapLock.downWrite()
  let failure: unknown = null
  try {
    for (const vma of parent.vmas.all()) await dupVma(child, vma)
  } catch (error) {
    failure = error
  }
  parent.flushTlbRange(0, parent.taskSize)
  if (failure === null && kernel.trace.on) kernel.trace.emit({ name: 'mm_fork', mm: parent.id, child: child.id })
  child.mmapLock.upWrite()
  parent.mmapLock.upWrite()
  if (failure === null) return child
  await child.mmput()
  throw failure
}

async function dupVma(child: Mm, vma: Vma): Promise<void> {
  const { start, end, prot, flags, shared, file, pgoff } = vma
  const copy = new Vma(child, { start, end, prot, flags, shared, file, pgoff })
  await anonVmaFork(copy, vma)
  await vmaLink(copy)
  if ((flags & VM_MERGEABLE) !== 0) child.kernel.ksm.enter(child)
  // A shared mapping, and a private one that never had a page of its own, is filled by the child's own faults.
  if (vma.shared || vma.anonVma === null) return
  const range = vma.mm.range(start, end, 'PROTECTION_PAGE')
  await vma.mm.invalidateRangeStart(range)
  try {
    await copyPageRange(copy, vma)
  } finally {
    await vma.mm.invalidateRangeEnd(range)
  }
}

async function copyPageRange(copy: Vma, vma: Vma): Promise<void> {
  const table = vma.mm.pageTable
  let hva = table.nextPopulated(vma.start, vma.end)
  while (hva < vma.end) {
    const stop = pmdAddrEnd(hva, vma.end)
    if (table.hugePmd(hva) !== 0 && (await copyHuge(copy, vma, hva as Hva))) {
      hva = table.nextPopulated(stop, vma.end)
      continue
    }
    await pteAlloc(copy.mm, hva as Hva)
    await vma.mm.pageTableLock.lock()
    await copy.mm.pageTableLock.lock()
    hva = copyPteRange(copy, vma, hva, stop)
    copy.mm.pageTableLock.unlock()
    vma.mm.pageTableLock.unlock()
    const pte = hva < stop ? table.read(hva) : 0
    if (isMigrationEntry(pte)) await migrationEntryWait(vma.mm, hva as Hva, pte)
    if (hva === stop) hva = table.nextPopulated(hva, vma.end)
  }
}

/** @returns false when the mapping is not huge any more */
async function copyHuge(copy: Vma, vma: Vma, base: Hva): Promise<boolean> {
  const { allocator, memory } = vma.mm.kernel
  await pmdAlloc(copy.mm, base)
  const deposit = await allocator.allocPages(0, 'table', copy.mm.id)
  memory.zeroFrame(deposit)
  await vma.mm.pageTableLock.lock()
  await copy.mm.pageTableLock.lock()
  const huge = vma.mm.pageTable.hugePmd(base) !== 0
  if (huge) copyHugePmd(copy.mm, vma.mm, base, deposit)
  copy.mm.pageTableLock.unlock()
  vma.mm.pageTableLock.unlock()
  if (!huge) allocator.put(deposit)
  return huge
}

/** Under both page-table locks. @returns where it stopped: `end`, or at a page under migration, to be waited for */
function copyPteRange(copy: Vma, vma: Vma, start: number, end: number): number {
  const { memory } = vma.mm.kernel
  const from = vma.mm.pageTable.slot(start)
  const to = copy.mm.pageTable.slot(start)
  if (from === -1 || to === -1) return end
  for (let hva = start; hva < end; hva += PAGE_SIZE) {
    const offset = ((hva - start) / PAGE_SIZE) * 8
    const pte = memory.readLow((from + offset) as Hpa)
    if (pteNone(pte)) continue
    if (isMigrationEntry(pte)) return hva
    copyOnePte(copy, vma, hva, (from + offset) as Hpa, (to + offset) as Hpa)
  }
  return end
}

function copyOnePte(copy: Vma, vma: Vma, hva: number, from: Hpa, to: Hpa): void {
  const { memory, pages, swap } = vma.mm.kernel
  let pte = memory.readLow(from)
  if (isSwapEntry(pte)) {
    swap.duplicate(swapOffset(pte))
    copy.mm.swapEntries++
    copy.mm.setPte(hva, to, pte)
    return
  }
  if (!ptePresent(pte)) return
  if (!pteSpecial(pte)) {
    const pfn = ptePfn(pte)
    pages.get(pfn)
    pages.addRmap(pfn)
    pages.clear(pfn, PG_ANON_EXCLUSIVE)
    copy.mm.rss++
  }
  if (pteWrite(pte)) {
    // Read and cleared in one step: a store that the hardware makes meanwhile is in the dirty bit.
    pte = pteWrprotect(vma.mm.clearPte(hva, from))
    vma.mm.setPte(hva, from, pte)
  }
  copy.mm.setPte(hva, to, pteMkold(pte))
}
