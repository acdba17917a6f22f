/**
 * Faulting a page in for a client (Linux v6.12 virt/kvm/kvm_main.c: hva_to_pfn, mm/gup.c: get_user_pages).
 *
 * This is the one way in which a secondary MMU reaches the host's pages.
 *
 * R1 A page is returned with a reference, taken under the page-table lock; `Kernel.putPage` drops it. The reference
 *    keeps the frame, not its place in the mm: the client still has to check its invalidation sequence.
 * R2 `writable` is what the host PTE allows at that moment; for a write it is always true, COW having been broken.
 * R3 Takes the mmap lock for reading and may sleep: never call it under a page-table lock, an rmap lock, a page lock, or
 *    a lock that a notifier hook takes.
 */
import { KernelError, PAGE_SIZE, hex, hva as toHva } from '../base/index.ts'
import type { Hva, Pfn } from '../base/index.ts'
import { checkAccess, handleMmFault } from './memory.ts'
import type { Mm } from './mm.ts'
import { PG_DIRTY, PG_IDLE, PG_REFERENCED } from './page.ts'
import { pteDirty, ptePfn, pteSpecial, pteValid, pteWrite } from './pte.ts'

export interface FaultInOptions {
  /** The client is going to write the page. */
  readonly write: boolean
}

export interface FaultedPage {
  /** The frame, with a reference for the caller. */
  readonly pfn: Pfn
  /** The client may map it writable. */
  readonly writable: boolean
}

/**
 * Makes the page at `hva` present (for a write: writable, with COW broken) and returns it with a reference.
 * @param hva any address in the page
 * @throws KernelError EFAULT when nothing is mapped there, the VMA forbids the access, or the file ends before it;
 *   ENOMEM when memory runs out; EIO when swap or disk fails
 */
export async function faultInPage(mm: Mm, hva: number, options: FaultInOptions): Promise<FaultedPage> {
  const page = toHva(hva - (hva % PAGE_SIZE))
  if (mm.users <= 0) throw new KernelError('EFAULT', `fault at ${hex(hva)}: ${mm.name} has exited`)
  await mm.mmapLock.downRead()
  try {
    for (;;) {
      const vma = mm.vmas.lookup(page)
      checkAccess(vma, hva, options.write, `fault in ${mm.name}`)
      const found = await followPage(mm, page, options.write)
      if (found !== null) return found
      await handleMmFault(vma, page, options.write)
    }
  } finally {
    mm.mmapLock.upRead()
  }
}

/** The present page, if its PTE allows the access already (Linux: follow_page_pte). */
async function followPage(mm: Mm, hva: Hva, write: boolean): Promise<FaultedPage | null> {
  const { pages } = mm.kernel
  await mm.pageTableLock.lock()
  const pte = mm.pageTable.read(hva)
  let found: FaultedPage | null = null
  if (pteValid(pte) && (!write || pteWrite(pte))) {
    const pfn = ptePfn(pte)
    mm.kernel.getPage(pfn)
    if (!pteSpecial(pte)) {
      if (write && !pteDirty(pte)) pages.set(pfn, PG_DIRTY)
      pages.set(pfn, PG_REFERENCED)
      pages.clear(pfn, PG_IDLE)
    }
    found = { pfn, writable: pteWrite(pte) }
  }
  mm.pageTableLock.unlock()
  return found
}
