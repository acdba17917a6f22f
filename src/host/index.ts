/** host: the host mm, whose operations take pages away and say so to the clients of the notifier list. */
export { AddressSpace } from './address-space.ts'
export type { FileStorage } from './address-space.ts'
export { AnonVma } from './anon-vma.ts'
export { doWpPage } from './cow.ts'
export { Disk } from './disk.ts'
export { exitMmap } from './exit.ts'
export { fsync, readFile, writeFile } from './filemap.ts'
export { faultInPage } from './gup.ts'
export type { FaultInOptions, FaultedPage } from './gup.ts'
export { HostThread } from './host-thread.ts'
export { Kernel } from './kernel.ts'
export type { FileOptions, HostOptions, KernelOptions } from './kernel.ts'
export { Ksm } from './ksm.ts'
export {
  anonVmaLock,
  hostLockClasses,
  iMmapLock,
  inodeLock,
  ksmThreadMutex,
  mmAllLocksMutex,
  mmapLock,
  pageLock,
  pageTableLock,
} from './locks.ts'
export { Lru } from './lru.ts'
export type { Advice } from './madvise.ts'
export { handleMmFault } from './memory.ts'
export { migratePage } from './migrate.ts'
export { Mm } from './mm.ts'
export { mmDropAllLocks, mmTakeAllLocks } from './mm-all-locks.ts'
export type { Mapping, MmapOptions, Prot } from './mmap.ts'
export { GATHER_BATCH, MmuGather } from './mmu-gather.ts'
export type { MremapOptions } from './mremap.ts'
export { oomReapMm } from './oom.ts'
export {
  PAGE_KINDS,
  PG_ANON,
  PG_ANON_EXCLUSIVE,
  PG_DIRTY,
  PG_KSM,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PageMap,
} from './page.ts'
export type { PageKind } from './page.ts'
export { clearReferences, isPageIdle, isPageYoung, setPageIdle } from './page-idle.ts'
export { PageAllocator } from './page-allocator.ts'
export type { FailPageAlloc } from './page-allocator.ts'
export { PageTable, TASK_SIZE } from './page-table.ts'
export {
  isMigrationEntry,
  isSwapEntry,
  pteDirty,
  pteNone,
  ptePfn,
  ptePresent,
  pteSpecial,
  pteValid,
  pteWrite,
  pteYoung,
  swapOffset,
} from './pte.ts'
export { pageReferenced, rmapWalk, slotThatMaps, tryToUnmap, tryToUnmapOne, unmapPte } from './rmap.ts'
export { clearSoftDirty, softDirtyPages } from './soft-dirty.ts'
export { MemorySwapDevice, Swap } from './swap.ts'
export type { SwapDevice } from './swap.ts'
export { punchHole, truncateFile } from './truncate.ts'
export { Vma } from './vma.ts'
export { Reclaim } from './vmscan.ts'
export type { ReclaimVerdict } from './vmscan.ts'
export { unmapPageRange, zapPageRange } from './zap.ts'
export type { ZapOptions } from './zap.ts'
