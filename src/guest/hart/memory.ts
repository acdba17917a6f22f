/**
 * What a hart sees of memory: page translations that never sleep, and the bytes behind them.
 *
 * R1 Nothing here sleeps or allocates. A translation that needs the host exits the engine instead (`EXIT`), and the
 *    instruction is tried again after the run loop has done what was needed.
 * R2 A translation is used at once: no await, no other hart and no host task comes between it and the access.
 * R3 Every byte that a hart stores goes through the write methods of `GuestBytes`.
 * R4 Translations depend on the context set last (`setContext`, `setSatp`), so an engine may keep one only until it
 *    changes the context, fences, or returns.
 */
import type { Gvn, Hpa } from '../../base/index.ts'

/** Bits of the translation context; without SUPERVISOR the hart is in U-mode. */
export const Context = { SUPERVISOR: 1, SUM: 2, MXR: 4 } as const

/** Why a translation returned -1. */
export const Miss = {
  /** The guest's own tables or its memory layout refuse the access: deliver `missCause` to the guest. */
  GUEST_FAULT: 1,
  /** The host must act first: no shadow entry, a missing page, a device. */
  EXIT: 2,
} as const
export type MissKind = (typeof Miss)[keyof typeof Miss]

/** Host physical memory, as far as a hart needs it. Addresses are aligned to the size of the access. */
export interface GuestBytes {
  read8(address: Hpa): number
  read16(address: Hpa): number
  /** Unsigned. */
  read32(address: Hpa): number
  /** Signed or unsigned: only the 64 bits count. */
  read64(address: Hpa): bigint
  write8(address: Hpa, value: number): void
  write16(address: Hpa, value: number): void
  write32(address: Hpa, value: number): void
  write64(address: Hpa, value: bigint): void
}

/** The memory of one hart. */
export interface HartMemory {
  readonly bytes: GuestBytes
  /** Valid after a translation returned -1. */
  readonly missKind: MissKind
  /** With `GUEST_FAULT`: the scause to deliver, a page fault (12, 13, 15) or an access fault (1, 5, 7). */
  readonly missCause: number

  /**
   * Host physical address of the first byte of a guest virtual page, or -1 with `missKind` set.
   * A write translation is also good for reading (atomics).
   * @param page all 52 bits of the page number, canonical or not
   */
  translateFetch(page: Gvn): number
  translateRead(page: Gvn): number
  translateWrite(page: Gvn): number

  /** The privilege, SUM or MXR of the hart changed. @param context bits of `Context` */
  setContext(context: number): void
  /** satp was written with a supported mode. */
  setSatp(satp: bigint): void
  /** @param page the page fenced, or -1 for all; @param asid the address space, or -1 for all */
  sfenceVma(page: Gvn | -1, asid: number): void
}
