/**
 * Events of `src/mmu`: KVM's tracepoints (include/trace/events/kvm.h, arch/x86/kvm/mmu/mmutrace.h) and the protocol
 * steps between them that a checker has to see.
 *
 * Conventions: `vm` and `vcpu` are ids, `gfn` / `pfn` frame numbers, `hva` byte addresses of the VM's mm, `sptep` the
 * host physical byte address of the spte, `level` 0 for a 4 KiB leaf or a table of such.
 */
export type MmuEvent =
  | { readonly name: 'kvm_create_vm'; readonly vm: number; readonly mm: number; readonly paging: string }
  | { readonly name: 'kvm_destroy_vm'; readonly vm: number; readonly mm: number }
  /** A memslot change has taken effect and no reader of the old table is left. */
  | {
      readonly name: 'kvm_set_memslot'
      readonly vm: number
      readonly slot: number
      readonly change: 'create' | 'delete' | 'move' | 'flags'
      readonly gfn: number
      readonly pages: number
      readonly hva: number
      readonly flags: number
    }
  /** The published table was exchanged; readers of the old one may still run until the grace period ends. */
  | { readonly name: 'kvm_swap_active_memslots'; readonly vm: number; readonly generation: number }
  | { readonly name: 'kvm_entry'; readonly vm: number; readonly vcpu: number }
  | { readonly name: 'kvm_exit'; readonly vm: number; readonly vcpu: number }
  | {
      readonly name: 'kvm_page_fault'
      readonly vm: number
      readonly vcpu: number
      readonly gfn: number
      readonly access: 'read' | 'write' | 'fetch'
    }
  /** The invalidation sequence was read: what is looked up from here on is checked against it before mapping. */
  | {
      readonly name: 'kvm_mmu_snapshot_seq'
      readonly vm: number
      readonly vcpu: number
      readonly gfn: number
      readonly seq: number
    }
  | {
      readonly name: 'kvm_page_fault_done'
      readonly vm: number
      readonly vcpu: number
      readonly gfn: number
      readonly outcome: 'retry' | 'mapped' | 'spurious' | 'mmio' | 'efault' | 'oom' | 'emulate'
    }
  /** A fault found its translation stale under mmuLock and starts over. */
  | {
      readonly name: 'kvm_mmu_retry'
      readonly vm: number
      readonly vcpu: number
      readonly gfn: number
      readonly reason: 'in-progress' | 'sequence' | 'memslot' | 'root' | 'gpte' | 'raced'
    }
  | {
      readonly name: 'kvm_mmu_set_spte'
      readonly vm: number
      readonly sptep: number
      readonly gfn: number
      readonly hva: number
      readonly pfn: number
      readonly writable: boolean
      readonly level: number
    }
  /** A leaf spte was dropped; `young` and `dirty` have been handed to the page. */
  | {
      readonly name: 'kvm_mmu_zap_spte'
      readonly vm: number
      readonly sptep: number
      readonly gfn: number
      readonly pfn: number
      readonly level: number
      readonly cause: ZapCause
      readonly young: boolean
      readonly dirty: boolean
    }
  | { readonly name: 'kvm_mmu_write_protect'; readonly vm: number; readonly sptep: number; readonly gfn: number }
  | {
      readonly name: 'kvm_mmu_get_page'
      readonly vm: number
      readonly pfn: number
      readonly gfn: number
      readonly level: number
      readonly direct: boolean
    }
  | { readonly name: 'kvm_mmu_prepare_zap_page'; readonly vm: number; readonly pfn: number; readonly gfn: number }
  | { readonly name: 'kvm_mmu_free_page'; readonly vm: number; readonly pfn: number }
  | { readonly name: 'kvm_mmu_unsync_page'; readonly vm: number; readonly pfn: number; readonly gfn: number }
  | { readonly name: 'kvm_mmu_sync_page'; readonly vm: number; readonly pfn: number; readonly gfn: number }
  /** A store to a write-protected guest page table was carried out by the hypervisor. */
  | { readonly name: 'kvm_mmu_track_write'; readonly vm: number; readonly gpa: number; readonly size: number }
  | { readonly name: 'kvm_mmu_invalidate_begin'; readonly vm: number; readonly start: number; readonly end: number }
  | {
      readonly name: 'kvm_mmu_invalidate_end'
      readonly vm: number
      readonly start: number
      readonly end: number
      readonly seq: number
      readonly inProgress: number
    }
  | {
      readonly name: 'kvm_unmap_hva_range'
      readonly vm: number
      readonly start: number
      readonly end: number
      readonly zapped: number
    }
  | { readonly name: 'kvm_set_spte_hva'; readonly vm: number; readonly hva: number; readonly changed: number }
  | {
      readonly name: 'kvm_age_hva'
      readonly vm: number
      readonly start: number
      readonly end: number
      readonly young: boolean
    }
  | { readonly name: 'kvm_test_age_hva'; readonly vm: number; readonly hva: number; readonly young: boolean }
  | { readonly name: 'kvm_make_request'; readonly vm: number; readonly vcpu: number; readonly request: string }
  | { readonly name: 'kvm_vcpu_kick'; readonly vm: number; readonly vcpu: number }
  /** A kicked vCPU has left guest mode. */
  | { readonly name: 'kvm_vcpu_ack'; readonly vm: number; readonly vcpu: number }
  /** `waited` is the mask of vCPUs that had to leave guest mode. */
  | { readonly name: 'kvm_flush_remote_tlbs_begin'; readonly vm: number; readonly request: number }
  | { readonly name: 'kvm_flush_remote_tlbs_end'; readonly vm: number; readonly waited: number }
  | { readonly name: 'kvm_tlb_flush'; readonly vm: number; readonly vcpu: number; readonly removed: number }
  | {
      readonly name: 'kvm_tlb_fill'
      readonly vm: number
      readonly vcpu: number
      readonly gvn: number
      readonly gfn: number
      readonly pfn: number
      readonly writable: boolean
    }
  | { readonly name: 'kvm_pfncache_refresh'; readonly vm: number; readonly gpa: number; readonly pfn: number }
  | { readonly name: 'kvm_pfncache_invalidate'; readonly vm: number; readonly gpa: number; readonly pfn: number }
  | { readonly name: 'kvm_mark_page_dirty'; readonly vm: number; readonly slot: number; readonly gfn: number }
  | { readonly name: 'kvm_get_dirty_log'; readonly vm: number; readonly slot: number; readonly dirty: number }
  | { readonly name: 'kvm_clear_dirty_log'; readonly vm: number; readonly slot: number; readonly cleared: number }

/** Why a leaf spte was dropped. */
export type ZapCause =
  | 'invalidate'
  | 'change_pte'
  | 'release'
  | 'memslot'
  | 'pfn-changed'
  | 'split'
  | 'collapse'
  | 'recycle'
  | 'gpte-write'
  | 'gpte-sync'
  | 'obsolete-root'
  | 'destroy'
