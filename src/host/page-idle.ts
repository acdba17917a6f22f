/**
 * Who used a page, asked without disturbing anybody (Linux v6.12 mm/page_idle.c, mm/damon/paddr.c, fs/proc: clear_refs 1).
 *
 * ```
 *  set idle, look again                     DAMON's question
 *  rmap lock R, page-table lock             rmap lock R, page-table lock
 *    clear A, no flush                        A set? else
 *    clear_young callout: no flush            test_young callout: changes nothing
 * ```
 *
 * R1 A mark that was found is kept for reclaim: the page counts as referenced.
 * R2 Without a flush a TLB may go on using the page unseen: an idle answer may be a little old, a busy one is true.
 */
import { PAGE_SIZE } from '../base/index.ts'
import type { Hva, Pfn } from '../base/index.ts'
import { mmuNotifierClearYoung, mmuNotifierTestYoung } from '../notifier/index.ts'
import type { Kernel } from './kernel.ts'
import type { Mm } from './mm.ts'
import { PG_IDLE, PG_REFERENCED } from './page.ts'
import { pmdAddrEnd } from './page-table.ts'
import { pteMkold, ptePresent, pteYoung } from './pte.ts'
import { rmapWalk, slotThatMaps, splitIfHuge } from './rmap.ts'
import { splitHugePmd } from './split-huge-pmd.ts'
import type { Vma } from './vma.ts'

/** Forgets every mark of use of a mapped page and calls it idle (Linux: writing the page_idle bitmap). */
export async function setPageIdle(kernel: Kernel, pfn: Pfn): Promise<void> {
  await clearPteRefs(kernel, pfn)
  kernel.pages.set(pfn, PG_IDLE)
}

/** Has nobody used the page since `setPageIdle`, neither host nor client? */
export async function isPageIdle(kernel: Kernel, pfn: Pfn): Promise<boolean> {
  if (!kernel.pages.test(pfn, PG_IDLE)) return false
  await clearPteRefs(kernel, pfn)
  return kernel.pages.test(pfn, PG_IDLE)
}

async function clearPteRefs(kernel: Kernel, pfn: Pfn): Promise<void> {
  const { pages } = kernel
  if (pages.refs(pfn) === 0) return
  pages.get(pfn)
  const lock = pages.lockOf(pfn)
  await lock.lock()
  await rmapWalk(kernel, pfn, async (vma, hva) => {
    if (await clearYoungOne(vma, hva, pfn)) {
      pages.clear(pfn, PG_IDLE)
      pages.set(pfn, PG_REFERENCED)
    }
    return true
  })
  lock.unlock()
  kernel.allocator.put(pfn)
}

async function clearYoungOne(vma: Vma, hva: Hva, pfn: Pfn): Promise<boolean> {
  const { mm } = vma
  await splitIfHuge(vma, hva, pfn)
  await mm.pageTableLock.lock()
  const slot = slotThatMaps(vma, hva, pfn)
  let young = false
  if (slot !== -1) {
    const pte = mm.kernel.memory.readLow(slot)
    young = pteYoung(pte)
    if (young) mm.kernel.memory.writePte(slot, pteMkold(pte), 0)
    if (await mmuNotifierClearYoung(mm, hva, (hva + PAGE_SIZE) as Hva)) young = true
  }
  mm.pageTableLock.unlock()
  return young
}

/** Was the page used since its marks were last cleared? Changes nothing (Linux: damon_folio_young). */
export async function isPageYoung(kernel: Kernel, pfn: Pfn): Promise<boolean> {
  const { pages } = kernel
  if (pages.refs(pfn) === 0) return false
  pages.get(pfn)
  const lock = pages.lockOf(pfn)
  await lock.lock()
  let young = pages.test(pfn, PG_REFERENCED)
  await rmapWalk(kernel, pfn, async (vma, hva) => {
    young ||= await testYoungOne(vma, hva, pfn)
    return !young
  })
  lock.unlock()
  kernel.allocator.put(pfn)
  return young
}

async function testYoungOne(vma: Vma, hva: Hva, pfn: Pfn): Promise<boolean> {
  const { mm } = vma
  await splitIfHuge(vma, hva, pfn)
  await mm.pageTableLock.lock()
  const slot = slotThatMaps(vma, hva, pfn)
  const young = slot !== -1 && (pteYoung(mm.kernel.memory.readLow(slot)) || (await mmuNotifierTestYoung(mm, hva)))
  mm.pageTableLock.unlock()
  return young
}

/** Makes every page of the mm old for the host, no callout (Linux: writing 1 to /proc/pid/clear_refs). */
export async function clearReferences(mm: Mm): Promise<void> {
  await mm.mmapLock.downRead()
  for (const vma of mm.vmas.all()) {
    const table = mm.pageTable
    for (let hva = table.nextPopulated(vma.start, vma.end); hva < vma.end;) {
      const stop = pmdAddrEnd(hva, vma.end)
      await splitHugePmd(mm, hva)
      await mm.pageTableLock.lock()
      for (; hva < stop; hva += PAGE_SIZE) {
        const slot = table.slot(hva)
        const pte = table.read(hva)
        if (slot !== -1 && ptePresent(pte) && pteYoung(pte)) mm.kernel.memory.writePte(slot, pteMkold(pte), 0)
      }
      mm.pageTableLock.unlock()
      hva = table.nextPopulated(stop, vma.end)
    }
  }
  mm.flushTlbRange(0, mm.taskSize)
  mm.mmapLock.upRead()
}
