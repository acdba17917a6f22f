/**
 * Everything a VM asks of the host: the one narrow interface between a secondary MMU and the mm it mirrors.
 *
 * KVM's view of it is hva_to_pfn (get_user_pages), kvm_set_pfn_dirty / kvm_set_pfn_accessed, the page allocator for
 * its own tables, and mmu_notifier_register.
 *
 * R1 `faultInPage` is the only way from an hva to a frame that may be mapped; it is called before mmuLock is taken.
 */
import type { Hva, Pfn } from '../base/index.ts'
import type { PhysicalMemory } from '../hardware/index.ts'
import type { FaultedPage } from '../host/index.ts'
import type { MmuNotifierOps, Srcu } from '../notifier/index.ts'
import type { Scheduler } from '../sched/index.ts'
import type { Vm } from './vm.ts'

export type { FaultedPage } from '../host/index.ts'

export interface Backing {
  /** Immutable facts. */
  readonly sched: Scheduler
  readonly memory: PhysicalMemory
  /** Id of the mm, for events. */
  readonly mmId: number
  /** Number for the next VM of this kernel. */
  nextVmId(): number
  /** How the page-table lock waits; mmuLock does the same. */
  readonly pageTableLock: 'sleep' | 'spin'
  /** Whether the mm wraps changePte in start..end (6bdb913f0a70), so that this VM's own start is outstanding then. */
  readonly changePte: 'bracketed' | 'unbracketed'
  /** First byte behind the addresses that user memory may have. */
  readonly userLimit: number
  /** The SRCU domain of one VM's memslots. */
  createSrcu(name: string): Srcu

  /** Binds the VM to the mm: from now on the hooks are called. The mm stays allocated until `unregister`. */
  register(notifier: MmuNotifierOps): Promise<void>
  unregister(notifier: MmuNotifierOps): Promise<void>

  /** The VM runs, is gone: for the registry of VMs. */
  created(vm: Vm): void
  released(vm: Vm): void

  /**
   * Resolves an hva to a page, as an access of the given kind by the VM's process would: swaps in, breaks COW.
   * Takes the mmap lock for reading and may sleep. The caller drops the reference with `putPage`.
   * @throws KernelError EFAULT when the access is not allowed or nothing is mapped there, ENOMEM when memory ran out
   */
  faultInPage(address: Hva, options: { readonly write: boolean }): Promise<FaultedPage>
  /** Frame that the host page table maps at `address` right now, or -1; looks only, never faults. */
  peekPage(address: Hva, write: boolean): number
  /** Level of the host leaf that maps `address` right now: 0 for 4 KiB, 1 for 2 MiB; -1 when nothing is mapped. */
  peekLevel(address: Hva): number
  putPage(frame: Pfn): void
  /** The frame was written through an spte (kvm_set_pfn_dirty). */
  setPageDirty(frame: Pfn): void
  /** The frame was used through an spte (kvm_set_pfn_accessed). */
  markPageAccessed(frame: Pfn): void

  /**
   * Frames for page tables: 2^order of them, contiguous and aligned, contents undefined.
   * May sleep and reclaim. @throws KernelError ENOMEM
   */
  allocTable(order: number): Promise<Pfn>
  freeTable(frame: Pfn, order: number): void
}
