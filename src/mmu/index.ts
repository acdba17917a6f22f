/** mmu: the KVM-like client. A VM mirrors the pages of one mm in tables of its own and stays consistent with it. */
export type { Backing, FaultedPage } from './backing.ts'
export { CONTEXT_MXR, CONTEXT_SUM, CONTEXT_SUPERVISOR, TranslationContext } from './context.ts'
export { DirtyLog, countBits } from './dirty-log.ts'
export { GuestPteSource } from './guest-pte-source.ts'
export { GuestWalk } from './guest-walk.ts'
export { consistencyReport, forEachSpte, forEachTlbEntry, windowOf } from './inspect.ts'
export type { SpteView, TlbView, WindowView } from './inspect.ts'
export { Invalidation } from './invalidation.ts'
export type { RetryReason } from './invalidation.ts'
export { mmuLockClass, mmuLockClasses, refreshLockClass, slotsArchLockClass, slotsLockClass } from './locks.ts'
export {
  KVM_MEMSLOT_INVALID,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  Memslot,
  Memslots,
  SlotMemory,
} from './memslots.ts'
export { MmBacking } from './mm-backing.ts'
export type { Mmu, PendingStore } from './mmu.ts'
export { MmuPage } from './mmu-page.ts'
export type { MmuPageRole } from './mmu-page.ts'
export { MmuPages } from './mmu-pages.ts'
export { KvmMmuNotifier } from './notifier-hooks.ts'
export { PageFault, PageFaults, leafFlags } from './page-fault.ts'
export type { FaultOutcome, StaleReason } from './page-fault.ts'
export { PageTableCache } from './page-table-cache.ts'
export { PendingFlush } from './pending-flush.ts'
export type { Fence } from './pending-flush.ts'
export { GfnToPfnCache } from './pfncache.ts'
export * from './requests.ts'
export { Rmap, RmapPool } from './rmap.ts'
export { ShadowMmu } from './shadow-mmu.ts'
export { ShadowSync } from './shadow-sync.ts'
export { ShadowTables } from './shadow-tables.ts'
export { HostPteSource } from './host-pte-source.ts'
export {
  SPTE_HOST_WRITABLE,
  SPTE_MMU_WRITABLE,
  isDirtySpte,
  isLeafSpte,
  isLocklesslyWritable,
  isPresentSpte,
  isWritableSpte,
  isYoungSpte,
  updateNeedsFlush,
} from './spte.ts'
export { Sptes } from './sptes.ts'
export { MmuStats } from './stats.ts'
export { TdpMmu } from './tdp-mmu.ts'
export { TlbFlush } from './tlb-flush.ts'
export { MISS_EXIT, MISS_GUEST_FAULT, Vcpu } from './vcpu.ts'
export { accessHva } from './vcpu-trace.ts'
export type { MissKind, MissOutcome } from './vcpu.ts'
export { Vm } from './vm.ts'
export type { Paging, ResolvedVmOptions, VmFigures, VmOptions } from './vm-options.ts'
export { KVM_MEM_MAX_NR_PAGES, KVM_USER_MEM_SLOTS, VmMemslots } from './vm-memslots.ts'
export type { MemoryRegion } from './vm-memslots.ts'
