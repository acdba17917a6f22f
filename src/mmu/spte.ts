/**
 * The format of an spte: a RISC-V PTE in physical memory, with two software bits (arch/x86/kvm/mmu/spte.h, 6.12).
 *
 * Two-dimensional paging uses the G-stage form (U set in every leaf), shadow paging the form of the guest's own mode.
 *
 * A and D are managed as by hardware that updates them (Svadu): a fault sets A, and D when it was a store; afterwards
 * the walk that fills a TLB sets them. So a cleared A comes back with the next use, which is what aging asks for, and
 * a page mapped writable by a load is not dirty until it is stored to. KVM/RISC-V presets both and would call every
 * mapped page dirty.
 *
 * R1 W is set only if both software bits are: the host PTE allowed writes when the page was looked up, and this VM has
 *    no reason of its own (a guest page table) to see the store.
 * R2 Write-protection for the dirty log clears W alone; write-protection of a guest page table clears MMU-writable too.
 */
import { PTE_A, PTE_D, PTE_RSW_HIGH, PTE_RSW_LOW, PTE_RWX, PTE_V, PTE_W } from '../hardware/index.ts'

/** The host page table allowed writes when the spte was made (or it was a page that nobody shares). */
export const SPTE_HOST_WRITABLE: number = PTE_RSW_LOW
/** W may be set without asking anybody: the page is not a shadowed guest page table. */
export const SPTE_MMU_WRITABLE: number = PTE_RSW_HIGH

export const isPresentSpte = (low: number): boolean => (low & PTE_V) !== 0
export const isLeafSpte = (low: number): boolean => (low & PTE_V) !== 0 && (low & PTE_RWX) !== 0
export const isWritableSpte = (low: number): boolean => (low & PTE_W) !== 0
export const isYoungSpte = (low: number): boolean => (low & PTE_A) !== 0
export const isDirtySpte = (low: number): boolean => (low & PTE_D) !== 0

/** W is clear, but only because stores are logged: the fault path may set it again without a host lookup. */
export const isLocklesslyWritable = (low: number): boolean =>
  (low & (PTE_V | SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE)) === (PTE_V | SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE)

/**
 * Does replacing one leaf by another, with the same page, take something away that a TLB may hold
 * (Linux: mmu_spte_update)? MMU-writable counts even when W was clear: somebody may just have set it.
 */
export const updateNeedsFlush = (before: number, after: number): boolean =>
  (before & ~after & (PTE_W | PTE_A | PTE_D | SPTE_MMU_WRITABLE)) !== 0 || (before & ~after & PTE_RWX) !== 0
