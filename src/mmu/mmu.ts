/**
 * What the two ways of paging have in common, as the rest of the room sees it.
 *
 * Two-dimensional: the hardware walks the guest's tables and, for each guest frame, the VM's own table. Shadow: the
 * hardware walks tables that the VM builds from the guest's.
 */
import type { Pfn } from '../base/index.ts'
import type { Access, WalkPlan } from '../hardware/index.ts'
import type { FaultedPage } from './backing.ts'
import type { Memslot } from './memslots.ts'
import type { MmuPage } from './mmu-page.ts'
import type { FaultOutcome, PageFault } from './page-fault.ts'
import type { Vcpu } from './vcpu.ts'

/** A plain store that missed, for the case that it has to be carried out by the hypervisor. */
export interface PendingStore {
  /** Byte inside the page. */
  readonly offset: number
  /** 1, 2, 4 or 8; the store does not leave its page. */
  readonly size: number
  readonly value: bigint
}

export interface Mmu {
  /** Table frames that one fault may use up. */
  readonly tablesNeeded: number

  /** Makes sure that the vCPU has a valid root for its context. May sleep. @throws KernelError ENOMEM */
  loadRoot(vcpu: Vcpu): Promise<void>

  /**
   * Translates after a TLB miss, as hardware does: synchronous, fills the TLB.
   * @returns host physical address of the page, or -1 with the vCPU's miss fields set
   */
  translate(vcpu: Vcpu, page: number, access: Access): number

  /** Translates a guest frame, through the TLB's entries for untranslated addresses. @returns the host frame, or -1 */
  translateFrame(vcpu: Vcpu, frame: number, access: Access): Pfn | -1

  /** How `translate` would walk now, as far as generated code can do the same. */
  planWalk(vcpu: Vcpu, plan: WalkPlan): void
  /** Generated code has put the entry at an index of the TLB of an access, from the PTE at a host physical address. */
  describeEntry(vcpu: Vcpu, access: Access, index: number, pteAddress: number): void

  /** The guest wrote satp. */
  satpChanged(vcpu: Vcpu): void
  /** The guest executed sfence.vma, or a remote one arrived: tables edited before it count from now on. */
  guestFence(vcpu: Vcpu, page: number, asid: number): void

  /** Does what the vCPU's last miss asked for. Outside guest mode, inside a read section of the VM's SRCU. */
  resolveMiss(vcpu: Vcpu, store: PendingStore | null): Promise<FaultOutcome | 'stored'>

  /** Installs what a fault has resolved. Under mmuLock, after the staleness check; flushes where due. */
  map(fault: PageFault, slot: Memslot, page: FaultedPage): Promise<FaultOutcome>

  /**
   * The same for a frame that is mapped directly, with mmuLock held for reading, where others map at the same time.
   * @returns null where more than one entry has to change: that takes the exclusive side
   */
  mapShared(fault: PageFault, slot: Memslot, page: FaultedPage): Promise<FaultOutcome | null>

  /** The lowest present entry for a guest frame below a direct root, if it is a leaf, or -1. */
  leafOf(root: MmuPage, frame: number): number

  /** Is this frame a shadowed guest page table? */
  isTracked(slot: Memslot, frame: number): boolean
  /** May an spte of the frame be writable? Under mmuLock; for a store, leaf tables may give up being in sync for it. */
  mayWrite(slot: Memslot, frame: number, isWrite: boolean): boolean
  /** A shadow page is gone. */
  unaccountShadowed(page: MmuPage): void
  /** The hypervisor is about to write, or has written, guest memory itself. Under mmuLock. */
  trackWrite(frame: number, offset: number, size: number): Promise<void>

  /** A memslot is being deleted or moved: nothing may map its frames any more. Takes mmuLock. */
  flushSlot(slot: Memslot): Promise<void>
}
