/** host: the host mm, whose operations take pages away and say so to the clients of the notifier list. */
export { AddressSpace } from './address-space.ts'
export type { FileStorage } from './address-space.ts'
export { readFile, fsync, writeFile } from './filemap.ts'
export { punchHole, truncateFile } from './truncate.ts'
export { faultInPage } from './gup.ts'
export type { FaultInOptions, FaultedPage } from './gup.ts'
export { HostThread } from './host-thread.ts'
export { Kernel } from './kernel.ts'
export type { FileOptions, HostOptions, KernelOptions } from './kernel.ts'
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
export { Mm } from './mm.ts'
export type { Mapping, MmapOptions, Prot } from './mmap.ts'
export { PAGE_KINDS, PG_DIRTY, PG_REFERENCED, PageMap } from './page.ts'
export type { Advice } from './madvise.ts'
export { migratePage } from './migrate.ts'
export type { MremapOptions } from './mremap.ts'
export { oomReapMm } from './oom.ts'
export type { PageKind } from './page.ts'
export { PageAllocator } from './page-allocator.ts'
export { TASK_SIZE } from './page-table.ts'
export { ptePfn, ptePresent, pteValid, pteWrite } from './pte.ts'
export { MemorySwapDevice, Swap } from './swap.ts'
export type { SwapDevice } from './swap.ts'
export { Vma } from './vma.ts'
