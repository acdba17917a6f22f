/**
 * Faults on file mappings (Linux v6.12 mm/memory.c: do_read_fault, do_cow_fault, do_shared_fault).
 *
 * R1 The page is locked while its PTE is set, so truncation, which locks it too, finds every mapping.
 * R2 A page of a disk file becomes writable only when a store is noted in its dirty flag; a page of a memory file always
 *    is dirty, so a writable mapping maps it writable at once.
 */
import { KernelError, hex } from '../base/index.ts'
import type { Hpa, Hva, Pfn } from '../base/index.ts'
import type { AddressSpace } from './address-space.ts'
import { anonVmaPrepare } from './anon-vma.ts'
import { filemapGetPage } from './filemap.ts'
import { PG_DIRTY } from './page.ts'
import { mkPte, pteMkdirty, pteMkwrite, pteNone } from './pte.ts'
import { newAnonPage } from './rmap.ts'
import type { Vma } from './vma.ts'

/** @throws KernelError EFAULT beyond the end of the file (Linux: SIGBUS), ENOMEM */
export async function doFileFault(vma: Vma, file: AddressSpace, hva: Hva, write: boolean): Promise<void> {
  const index = vma.indexOf(hva)
  if (write && !vma.shared) await doCowFault(vma, file, hva, index)
  else await doReadOrSharedFault(vma, file, hva, index, write)
}

async function getPage(vma: Vma, file: AddressSpace, hva: Hva, index: number): Promise<Pfn> {
  const pfn = await filemapGetPage(file, index)
  if (pfn !== -1) return pfn
  throw new KernelError(
    'EFAULT',
    `access at ${hex(hva)} in ${vma.describe()}, beyond the ${file.size} bytes of the file`,
  )
}

async function doReadOrSharedFault(
  vma: Vma,
  file: AddressSpace,
  hva: Hva,
  index: number,
  write: boolean,
): Promise<void> {
  const { mm } = vma
  const { pages, allocator } = mm.kernel
  const pfn = await getPage(vma, file, hva, index)
  if (write) pages.set(pfn, PG_DIRTY)
  await mm.pageTableLock.lock()
  if (pteNone(mm.pageTable.read(hva))) {
    let pte = mkPte(pfn, vma.prot)
    if (vma.shared && vma.writable && (write || file.storage === 'memory')) pte = pteMkwrite(pte)
    if (write) pte = pteMkdirty(pte)
    pages.get(pfn)
    pages.addRmap(pfn)
    mm.rss++
    mm.setPte(hva, mm.pageTable.slot(hva) as Hpa, pte)
  }
  mm.pageTableLock.unlock()
  pages.lockOf(pfn).unlock()
  allocator.put(pfn)
}

/** First touch of a private mapping is a store: the copy is mapped straight away. */
async function doCowFault(vma: Vma, file: AddressSpace, hva: Hva, index: number): Promise<void> {
  const { mm } = vma
  const { pages, allocator, memory, trace } = mm.kernel
  anonVmaPrepare(vma)
  const copy = await allocator.allocPages(0, 'anon', mm.id)
  let pfn: Pfn
  try {
    pfn = await getPage(vma, file, hva, index)
  } catch (error) {
    allocator.put(copy)
    throw error
  }
  memory.copyFrame(copy, pfn)
  if (trace.on) trace.emit({ name: 'cow_copy', mm: mm.id, hva, from: pfn, to: copy })
  await mm.pageTableLock.lock()
  const lost = !pteNone(mm.pageTable.read(hva))
  if (!lost) {
    newAnonPage(vma, hva, copy)
    mm.setPte(hva, mm.pageTable.slot(hva) as Hpa, pteMkwrite(pteMkdirty(mkPte(copy, vma.prot))))
    if (trace.on) trace.emit({ name: 'cow_break', mm: mm.id, hva, from: pfn, to: copy })
  }
  mm.pageTableLock.unlock()
  pages.lockOf(pfn).unlock()
  allocator.put(pfn)
  if (lost) allocator.put(copy)
}
