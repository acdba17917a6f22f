/**
 * Page faults of the host (Linux v6.12 mm/memory.c: handle_mm_fault and below).
 *
 * R1 The mmap lock is held for reading throughout: VMAs and table pages stay.
 * R2 A PTE is read without its lock, the work is done, and under the lock the PTE must still be the same; if not,
 *    nothing happened and the access is tried again.
 * R3 Where nothing was present no callout is due: no client can have a translation. Where a page is replaced it is.
 * R4 A fault that cannot end throws EFAULT or ENOMEM and leaves everything as it was.
 */
import { KernelError, hex } from '../base/index.ts'
import type { Hva } from '../base/index.ts'
import { anonVmaPrepare } from './anon-vma.ts'
import { doWpPage } from './cow.ts'
import { doFileFault } from './file-fault.ts'
import { doHugeAnonymousPage, doHugeFault } from './huge-memory.ts'
import { migrationEntryWait } from './migrate.ts'
import { pteAlloc } from './page-table.ts'
import {
  PTE_SPECIAL,
  isMigrationEntry,
  mkPte,
  pteMkdirty,
  pteMkwrite,
  pteMkyoung,
  pteNone,
  ptePresent,
  pteWrite,
} from './pte.ts'
import { newAnonPage } from './rmap.ts'
import { doSwapPage } from './swap-fault.ts'
import type { Vma } from './vma.ts'

/**
 * Makes one attempt to give `hva` a translation that allows the access. The caller checks and tries again.
 * Preconditions: the mmap lock is held for reading, `vma` contains `hva` and permits the access, no other lock is held.
 * @throws KernelError EFAULT beyond the end of a file, ENOMEM
 */
export async function handleMmFault(vma: Vma, hva: Hva, write: boolean): Promise<void> {
  const { mm } = vma
  const { trace } = mm.kernel
  if (trace.on) trace.emit({ name: 'page_fault_user', mm: mm.id, hva, write })
  if (mm.pageTable.hugePmd(hva) !== 0) return await doHugeFault(vma, hva, write)
  if (vma.file === null && (await doHugeAnonymousPage(vma, hva, write))) return
  await pteAlloc(mm, hva)
  const pte = await mm.readPteUnlocked(hva)
  if (pteNone(pte)) {
    if (vma.file === null) await doAnonymousPage(vma, hva, write)
    else await doFileFault(vma, vma.file, hva, write)
    return
  }
  if (!ptePresent(pte)) {
    if (isMigrationEntry(pte)) await migrationEntryWait(mm, hva, pte)
    else await doSwapPage(vma, hva, pte, write)
    return
  }
  await mm.pageTableLock.lock()
  const slot = mm.pageTable.slot(hva)
  if (slot === -1 || mm.pageTable.read(hva) !== pte) {
    mm.pageTableLock.unlock()
    return
  }
  if (write && !pteWrite(pte)) {
    await doWpPage(vma, hva, pte)
    return
  }
  const used = write ? pteMkdirty(pteMkyoung(pte)) : pteMkyoung(pte)
  if (used !== pte) mm.setPte(hva, slot, used)
  mm.pageTableLock.unlock()
}

/** First touch of anonymous memory: the zero page for a read, a page of its own for a write. */
async function doAnonymousPage(vma: Vma, hva: Hva, write: boolean): Promise<void> {
  const { mm } = vma
  const { kernel } = mm
  if (!write) {
    await mm.pageTableLock.lock()
    const slot = mm.pageTable.slot(hva)
    if (slot !== -1 && pteNone(mm.pageTable.read(hva)))
      mm.setPte(hva, slot, mkPte(kernel.zeroPfn, vma.prot) | PTE_SPECIAL)
    mm.pageTableLock.unlock()
    return
  }
  anonVmaPrepare(vma)
  const pfn = await kernel.allocator.allocPages(0, 'anon', mm.id)
  kernel.memory.zeroFrame(pfn)
  await mm.pageTableLock.lock()
  const slot = mm.pageTable.slot(hva)
  const lost = slot === -1 || !pteNone(mm.pageTable.read(hva))
  if (!lost) {
    newAnonPage(vma, hva, pfn)
    mm.setPte(hva, slot, pteMkwrite(pteMkdirty(mkPte(pfn, vma.prot))))
  }
  mm.pageTableLock.unlock()
  if (lost) kernel.allocator.put(pfn)
}

/** @throws KernelError EFAULT: the access has no right to succeed */
export function checkAccess(vma: Vma | null, hva: number, write: boolean, who: string): asserts vma is Vma {
  if (vma === null) throw new KernelError('EFAULT', `${who}: nothing is mapped at ${hex(hva)}`)
  if (write ? !vma.writable : !vma.readable) {
    throw new KernelError('EFAULT', `${who}: no right to ${write ? 'write' : 'read'} ${hex(hva)} in ${vma.describe()}`)
  }
}
