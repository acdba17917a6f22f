/**
 * Events of `src/host`.
 *
 * Addresses are bytes, ranges are half open, `mm`, `file`, `pfn` and `slot` are numbers. An operation that must be
 * seen as a whole has a `begin` and an `end` event; between the two a page of the range may show its old or its new
 * content, depending on whose TLB still holds the old translation. `end` is emitted after the last host TLB flush.
 */

/** What a VMA shows: private memory, or a file (anonymous shared memory is a nameless file). */
export interface MappingEvent {
  readonly mm: number
  readonly start: number
  readonly end: number
  /** -1: anonymous. */
  readonly file: number
  /** Offset in the file of `start`, in bytes; 0 when anonymous. */
  readonly offset: number
  readonly shared: boolean
  /** Some of `r`, `w`, `x`, or `-` for none. */
  readonly prot: string
}

/** The host operations that change what an address shows. */
export type RangeOperation =
  | 'munmap'
  | 'mprotect'
  | 'madvise_dontneed'
  | 'madvise_free'
  | 'madvise_pageout'
  | 'mremap'
  | 'exit_mmap'
  | 'oom_reap'
  | 'truncate'
  | 'punch_hole'

export type HostEvent =
  | { readonly name: 'mm_create'; readonly mm: number; readonly parent: number }
  /** The last user left; the address space is being torn down. */
  | { readonly name: 'mm_exit'; readonly mm: number }
  /** Nobody refers to the mm any more. */
  | { readonly name: 'mm_destroy'; readonly mm: number }
  /** Frames [pfn, pfn + 2^order) change hands. `owner` is an mm, or 0 for the kernel. */
  | {
      readonly name: 'mm_page_alloc'
      readonly pfn: number
      readonly order: number
      readonly kind: string
      readonly owner: number
    }
  | { readonly name: 'mm_page_free'; readonly pfn: number; readonly order: number; readonly kind: string }
  /** A new region is visible; it shows zeroes, or its file. */
  | ({ readonly name: 'mm_mmap' } & MappingEvent)
  /** From here on no access to the range can succeed; emitted before the mmap lock is dropped. */
  | { readonly name: 'mm_munmap'; readonly mm: number; readonly start: number; readonly end: number }
  | {
      readonly name: 'mm_mprotect'
      readonly mm: number
      readonly start: number
      readonly end: number
      readonly prot: string
    }
  /** The child shows what the parent shows at this instant: the parent's stale TLB entries are gone. */
  | { readonly name: 'mm_fork'; readonly mm: number; readonly child: number }
  | {
      readonly name: 'mm_mremap'
      readonly mm: number
      readonly start: number
      readonly to: number
      readonly length: number
    }
  | {
      readonly name: 'mm_range_begin' | 'mm_range_end'
      readonly mm: number
      readonly operation: RangeOperation
      readonly start: number
      readonly end: number
    }
  | { readonly name: 'file_truncate'; readonly file: number; readonly size: number }
  /** The bytes of the file in [start, end) become zero. */
  | { readonly name: 'file_punch_hole'; readonly file: number; readonly start: number; readonly end: number }
  /** A system call wrote the file: linearised here, for bytes within one page. */
  | { readonly name: 'file_write'; readonly file: number; readonly offset: number; readonly bytes: string }
  /** A fault of the host began. */
  | { readonly name: 'page_fault_user'; readonly mm: number; readonly hva: number; readonly write: boolean }
  /** A present PTE was written: the address now names `pfn`. */
  | {
      readonly name: 'set_pte'
      readonly mm: number
      readonly hva: number
      readonly pfn: number
      readonly writable: boolean
    }
  /** A present PTE was cleared or replaced by a non-present one. */
  | {
      readonly name: 'clear_pte'
      readonly mm: number
      readonly hva: number
      readonly pfn: number
      readonly writable: boolean
    }
  /** The translations of the range are gone from every host TLB of the mm. */
  | { readonly name: 'tlb_flush'; readonly mm: number; readonly start: number; readonly end: number }
  /** `from` was copied to `to` for a private mapping; the PTE follows, or the copy is dropped. */
  | {
      readonly name: 'cow_copy'
      readonly mm: number
      readonly hva: number
      readonly from: number
      readonly to: number
    }
  | {
      readonly name: 'cow_break'
      readonly mm: number
      readonly hva: number
      readonly from: number
      readonly to: number
    }
  | { readonly name: 'cow_reuse'; readonly mm: number; readonly hva: number; readonly pfn: number }
  /** An rmap walk replaced a PTE by a swap entry. */
  | {
      readonly name: 'swap_pte'
      readonly mm: number
      readonly hva: number
      readonly pfn: number
      readonly slot: number
    }
  | { readonly name: 'swap_write' | 'swap_read'; readonly pfn: number; readonly slot: number }
  | { readonly name: 'swap_free'; readonly slot: number }
  | {
      readonly name: 'ksm_merge'
      readonly mm: number
      readonly hva: number
      readonly from: number
      readonly to: number
    }
  | { readonly name: 'ksm_unmerge'; readonly mm: number; readonly hva: number; readonly pfn: number }
  | { readonly name: 'migrate_page'; readonly from: number; readonly to: number }
  /** The 2 MiB from `hva` became huge by a fault or a collapse, or got PTEs of their own. */
  | {
      readonly name: 'mm_huge_page'
      readonly mm: number
      readonly hva: number
      readonly what: 'fault' | 'collapse' | 'split'
    }
  /** Reclaim looked at a page. */
  | {
      readonly name: 'mm_vmscan_page'
      readonly pfn: number
      readonly verdict: 'reclaimed' | 'activated' | 'kept' | 'deactivated' | 'discarded'
      readonly referenced: boolean
    }
  | { readonly name: 'mm_vmscan_begin'; readonly wanted: number; readonly free: number }
  | { readonly name: 'mm_vmscan_end'; readonly reclaimed: number }
  | { readonly name: 'out_of_memory'; readonly order: number }
