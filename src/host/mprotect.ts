/**
 * mprotect (Linux v6.12 mm/mprotect.c).
 *
 * ```
 * mmap lock W   split at the edges, new protection into the VMA
 *               range start (PROTECTION_VMA): only when a populated table is met, at that place
 *               PTEs changed under the page-table lock
 *               range end
 *               host TLB flush
 *               VMAs merged where nothing tells them apart any more
 * ```
 *
 * R1 Rights that are taken away are gone from every client before the first PTE changes; rights that are given come with
 *    the next fault, except that an exclusive anonymous page becomes writable at once when it was dirty already.
 * R2 A range without a populated table costs no callout.
 */
import { KernelError, PAGE_SIZE, hex } from '../base/index.ts'
import type { Hpa, Hva } from '../base/index.ts'
import type { MmuNotifierRange } from '../notifier/index.ts'
import type { Mm } from './mm.ts'
import { parseProt } from './mmap.ts'
import type { Prot } from './mmap.ts'
import type { MmuGather } from './mmu-gather.ts'
import { PG_ANON, PG_ANON_EXCLUSIVE } from './page.ts'
import { PMD_SIZE, pmdAddrEnd } from './page-table.ts'
import { protText, pteDirty, pteMkwrite, pteModify, ptePfn, ptePresent, pteSoftDirty, pteSpecial } from './pte.ts'
import { mergeRange, splitRange } from './vma.ts'
import type { Vma } from './vma.ts'

/**
 * Changes the rights to whole pages of [start, start + length).
 * @param length bytes, rounded up to pages
 * @throws KernelError EINVAL; ENOMEM at the first hole, the pages before it being changed already
 */
export async function mprotect(mm: Mm, start: number, length: number, prot: Prot): Promise<void> {
  const end = mm.checkRange('mprotect', start, length)
  const bits = parseProt('mprotect', prot)
  await mm.mmapLock.downWrite()
  try {
    let at = start
    for (const vma of await splitRange(mm, start, end)) {
      if (vma.start > at) break
      at = vma.end
      if (vma.prot !== bits) await mprotectFixup(vma, bits)
    }
    // Beyond a hole too: what was split there for nothing is one again.
    await mergeRange(mm, start, end)
    const { trace } = mm.kernel
    if (trace.on) trace.emit({ name: 'mm_mprotect', mm: mm.id, start, end: at, prot: protText(bits) })
    if (at < end) throw new KernelError('ENOMEM', `mprotect: nothing is mapped at ${hex(at)}`)
  } finally {
    mm.mmapLock.upWrite()
  }
}

async function mprotectFixup(vma: Vma, prot: number): Promise<void> {
  const { mm } = vma
  const { trace } = mm.kernel
  const { start, end } = vma
  if (trace.on) trace.emit({ name: 'mm_range_begin', mm: mm.id, operation: 'mprotect', start, end })
  vma.prot = prot
  const gather = mm.newGather()
  await changeProtection(gather, vma, start, end)
  gather.finish()
  if (trace.on) trace.emit({ name: 'mm_range_end', mm: mm.id, operation: 'mprotect', start, end })
}

/** Gives the present PTEs of a range the protection of their VMA. */
async function changeProtection(gather: MmuGather, vma: Vma, start: number, end: number): Promise<void> {
  const { mm } = vma
  const table = mm.pageTable
  let range: MmuNotifierRange | null = null
  for (let hva = table.nextPopulated(start, end); hva < end; hva = table.nextPopulated(pmdAddrEnd(hva, end), end)) {
    if (range === null) {
      range = mm.range(start, end, 'PROTECTION_VMA')
      await mm.invalidateRangeStart(range)
    }
    // A huge mapping lies inside the VMA, and all of the VMA changes: it changes as one.
    await mm.pageTableLock.lock()
    if (mm.pageTable.hugePmd(hva) === 0) changePteRange(gather, vma, hva, pmdAddrEnd(hva, end))
    else changeHugePmd(gather, vma, hva as Hva)
    mm.pageTableLock.unlock()
  }
  if (range !== null) await mm.invalidateRangeEnd(range)
}

/** One leaf table's worth, under the page-table lock. */
function changePteRange(gather: MmuGather, vma: Vma, start: number, end: number): void {
  const { mm } = vma
  const { memory } = mm.kernel
  const first = mm.pageTable.slot(start)
  if (first === -1) return
  for (let hva = start; hva < end; hva += PAGE_SIZE) {
    const slot = (first + ((hva - start) / PAGE_SIZE) * 8) as Hpa
    if (!ptePresent(memory.readLow(slot))) continue
    const old = mm.clearPte(hva, slot)
    let pte = pteModify(old, vma.prot)
    if (canBeWritable(vma, pte)) pte = pteMkwrite(pte)
    mm.setPte(hva, slot, pte)
    gather.note(hva, hva + PAGE_SIZE)
  }
}

function changeHugePmd(gather: MmuGather, vma: Vma, base: Hva): void {
  const { mm } = vma
  const pmd = pteModify(mm.clearPmd(base), vma.prot)
  mm.setPmd(base, canBeWritable(vma, pmd) ? pteMkwrite(pmd) : pmd)
  gather.note(base, base + PMD_SIZE)
}

/** May a store go on without a fault (Linux: can_change_pte_writable)? */
function canBeWritable(vma: Vma, pte: number): boolean {
  const { pages } = vma.mm.kernel
  if (!vma.writable || pteSpecial(pte) || !pteDirty(pte) || !pteSoftDirty(pte)) return false
  return vma.shared || pages.test(ptePfn(pte), PG_ANON | PG_ANON_EXCLUSIVE)
}
