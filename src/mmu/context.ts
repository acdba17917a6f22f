/**
 * The part of a hart's state that translations depend on: satp, privilege, SUM and MXR, as a TLB tag and walk flags.
 *
 * Bits of the context argument are those of `Context` in the guest room's HartMemory: 1 supervisor, 2 SUM, 4 MXR.
 *
 * R1 Two states that allow different accesses have different MMU indexes; states that allow the same share one.
 */
import { SV39, SV48, Walk } from '../hardware/index.ts'
import type { PagingMode } from '../hardware/index.ts'

export const CONTEXT_SUPERVISOR = 1
export const CONTEXT_SUM = 2
export const CONTEXT_MXR = 4

/** MMU index of untranslated addresses, for the guest in Bare mode and for the frames of its page tables. */
export const MMU_INDEX_BARE = 0
const INDEX_TRANSLATED = 8
const INDEX_SUPERVISOR = 1
const INDEX_SUM = 2
const INDEX_MXR = 4

export class TranslationContext {
  /** Paging mode of the guest, null for Bare. */
  mode: PagingMode | null = null
  /** Guest frame of the root table. */
  rootPpn = 0
  asid = 0
  /** Bits of `Walk`. */
  walkFlags = 0
  /** TLB tags of the three kinds of access. */
  readIndex: number = MMU_INDEX_BARE
  writeIndex: number = MMU_INDEX_BARE
  fetchIndex: number = MMU_INDEX_BARE
  private bits: number = CONTEXT_SUPERVISOR
  private readonly hardwareUpdate: boolean

  /** @param hardwareUpdate Svadu: the walker sets A and D of guest PTEs; without it they fault (Svade) */
  constructor(hardwareUpdate: boolean) {
    this.hardwareUpdate = hardwareUpdate
    this.refresh()
  }

  /** @param bits CONTEXT_* */
  set(bits: number): void {
    this.bits = bits
    this.refresh()
  }

  /** @param satp with Bare, Sv39 or Sv48 in MODE */
  setSatp(satp: bigint): void {
    const field = Number((satp >> 60n) & 15n)
    this.mode = field === SV39.field ? SV39 : field === SV48.field ? SV48 : null
    this.asid = Number((satp >> 44n) & 0xffffn)
    this.rootPpn = Number(satp & 0xfffffffffffn)
    this.refresh()
  }

  private refresh(): void {
    const { bits, mode } = this
    const user = (bits & CONTEXT_SUPERVISOR) === 0
    this.walkFlags =
      (user ? Walk.user : 0) |
      ((bits & CONTEXT_SUM) === 0 ? 0 : Walk.sum) |
      ((bits & CONTEXT_MXR) === 0 ? 0 : Walk.mxr) |
      (this.hardwareUpdate ? Walk.hardwareUpdate : 0)
    if (mode === null) {
      this.readIndex = MMU_INDEX_BARE
      this.writeIndex = MMU_INDEX_BARE
      this.fetchIndex = MMU_INDEX_BARE
      return
    }
    const base = INDEX_TRANSLATED + (mode === SV39 ? 0 : INDEX_TRANSLATED)
    this.fetchIndex = base | (user ? 0 : INDEX_SUPERVISOR)
    this.writeIndex = this.fetchIndex | (!user && (bits & CONTEXT_SUM) !== 0 ? INDEX_SUM : 0)
    this.readIndex = this.writeIndex | ((bits & CONTEXT_MXR) === 0 ? 0 : INDEX_MXR)
  }
}
