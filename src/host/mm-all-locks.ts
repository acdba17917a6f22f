/**
 * mm_take_all_locks: keeps every callout of an mm out (Linux v6.12 mm/vma.c).
 *
 * Whoever issues a callout holds the mmap lock, an i_mmap lock or an anon_vma lock. With the mmap lock held for writing
 * and all the others taken here, none is under way.
 *
 * R1 Each lock is taken once: all files first, then all anon_vma roots.
 * R2 A global mutex keeps two takers from meeting half way.
 */
import { KernelBug } from '../base/index.ts'
import type { RwSemaphore } from '../sched/index.ts'
import type { Mm } from './mm.ts'

/** The rmap locks of an mm, each once, in the order in which they are taken. */
function rmapLocks(mm: Mm): RwSemaphore[] {
  const files = new Set<RwSemaphore>()
  const roots = new Set<RwSemaphore>()
  for (const vma of mm.vmas.all()) {
    if (vma.file !== null) files.add(vma.file.iMmapLock)
    if (vma.anonVma !== null) roots.add(vma.anonVma.lock)
  }
  return [...files, ...roots]
}

/** Preconditions: the mmap lock is held for writing, so the set of locks stays as it is. */
export async function mmTakeAllLocks(mm: Mm): Promise<void> {
  if (!mm.mmapLock.isWriteHeldByCurrent()) {
    throw new KernelBug(`mm_take_all_locks of ${mm.name} without its mmap lock for writing`)
  }
  await mm.kernel.mmAllLocks.lock()
  for (const lock of rmapLocks(mm)) await lock.downWrite()
}

export function mmDropAllLocks(mm: Mm): void {
  for (const lock of rmapLocks(mm)) lock.upWrite()
  mm.kernel.mmAllLocks.unlock()
}
