/**
 * The real objects as the auditor reads them: host page tables, frames, sptes, TLBs. Reading only.
 *
 * R1 Nothing here caches: each answer is read from the object at the time of the question.
 */

/** One translation of a secondary MMU. `hva` is -1 when no slot holds the frame any more. */
export interface AuditedTranslation {
  readonly gfn: number
  readonly hva: number
  readonly pfn: number
  readonly writable: boolean
  /** Pages that it maps side by side, from these on: 1, or 512 for a 2 MiB leaf. */
  readonly pages: number
}

export interface AuditedVm {
  readonly id: number
  readonly mmId: number
  /** Every present leaf spte with its address. The visitor must not keep the object. */
  forEachSpte(visit: (spte: AuditedTranslation, sptep: number) => void): void
  /** Every TLB entry that its vCPU could use: not those of a vCPU with a flush request pending (R3 of the audit). */
  forEachTlbEntry(visit: (entry: AuditedTranslation, vcpu: number) => void): void
  /** The byte address that backs a guest frame, or -1. */
  hvaOf(gfn: number): number
  /** Invalidations that it counts as open, by either of its counts; 0 once it is being destroyed. */
  openInvalidations(): number
  /** Every guest page whose frame the hypervisor keeps at hand and may use in this step. */
  forEachCachedFrame(visit: (frame: { readonly hva: number; readonly gfn: number; readonly pfn: number }) => void): void
  /** What the dirty log says of the page at an address; unknown where it is not logged, or the log is being changed. */
  dirtyBit(hva: number): 'set' | 'clear' | 'unknown'
  /** A memslot change is between its first and its last step. */
  slotsChanging(): boolean
  /** Somebody holds mmuLock, or a flush has been posted and not been acknowledged: sptes may be ahead of TLBs. */
  isChanging(): boolean
}

export interface HostPte {
  readonly present: boolean
  readonly pfn: number
  readonly writable: boolean
}

export interface AuditedWorld {
  vms(): readonly AuditedVm[]
  vm(id: number): AuditedVm | undefined
  /** What the host page table of an mm says about an address now. */
  hostPte(mm: number, hva: number): HostPte
  /** Somebody may be in the middle of changing PTEs of the mm. */
  isPageTableLocked(mm: number): boolean
  /** Somebody owns the frame. */
  isAllocated(pfn: number): boolean
  /** The frame is marked newer than its file or swap slot. */
  isDirty(pfn: number): boolean
  /** The frame is marked used since reclaim last looked. */
  isReferenced(pfn: number): boolean
  /** Name of a host thread whose TLB names the frame, or null. */
  hostTlbNaming(pfn: number): string | null
  /** References and frames that nobody accounts for at the end of a run, a line each (I14). */
  leaks(): readonly string[]
  /** Invalidation counters of VMs that are not zero at the end of a run, a line each (I6). */
  openCounters(): readonly string[]
}
