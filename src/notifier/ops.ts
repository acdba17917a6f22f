/**
 * What a client of the notifier list implements (Linux include/linux/mmu_notifier.h, v3.7 to v6.12).
 *
 * | hook | called | may sleep |
 * |---|---|---|
 * | release | before an exiting mm frees its pages, and by unregister: at least once | yes |
 * | invalidateRangeStart, invalidateRangeEnd | around every change of a range | yes, if the range is blockable |
 * | invalidatePage | a page has gone, before v4.13 | yes |
 * | clearFlushYoung, clearYoung, testYoung, changePte | under the page-table lock | only if that lock sleeps |
 * | freeNotifier | after the last put and a grace period | no |
 *
 * R1 A hook runs inside an SRCU read section: it must not wait for a grace period of that domain, so neither
 *    unregister nor synchronize, nor take a lock that somebody holds while he does.
 * R2 Ranges are half open, in bytes, page aligned by the caller.
 * R3 Between its start and its end a client may not map the range again.
 */
import type { Hva } from '../base/index.ts'
import type { MmuNotifier } from './notifier-list.ts'
import type { NotifierMm } from './notifier-mm.ts'

/** Why a range is invalidated (enum mmu_notifier_event). */
export type MmuNotifierEvent =
  | 'UNMAP'
  | 'CLEAR'
  | 'PROTECTION_VMA'
  | 'PROTECTION_PAGE'
  | 'SOFT_DIRTY'
  | 'RELEASE'
  | 'MIGRATE'
  | 'EXCLUSIVE'

/** Immutable (struct mmu_notifier_range). */
export interface MmuNotifierRange {
  readonly mm: NotifierMm
  readonly start: Hva
  readonly end: Hva
  readonly event: MmuNotifierEvent
  /** False: a hook that would sleep must return -EAGAIN instead. */
  readonly blockable: boolean
  /** Who asked for MIGRATE or EXCLUSIVE: a client recognises its own migrations by it. */
  readonly owner: object | null
}

export interface RangeOptions {
  readonly blockable?: boolean
  readonly owner?: object
}

/** Describes an invalidation (mmu_notifier_range_init). Blockable unless said otherwise. */
export function mmuNotifierRange(
  mm: NotifierMm,
  start: Hva,
  end: Hva,
  event: MmuNotifierEvent,
  options: RangeOptions = {},
): MmuNotifierRange {
  return { mm, start, end, event, blockable: options.blockable ?? true, owner: options.owner ?? null }
}

/** Returned negated by a start that would have slept where it must not. */
export const EAGAIN = 11

/** The context in which a hook of a non-blockable range runs (non_block_start): whatever sleeps there is reported. */
export const NON_BLOCKABLE = 'a non-blockable invalidation'

/** A hook may be async, and sleep, or not. */
export type Hook<T> = Promise<T> | T

export interface MmuNotifierOps {
  /** For reports and traces. Default: the name of the class. */
  readonly name?: string

  /** Drop every translation of the mm, for good. Idempotent: exit and unregister may both call it. */
  release?(mm: NotifierMm, mn: MmuNotifier): Hook<void>
  /** Clear the accessed bits of [start, end) and flush. @returns whether any was set */
  clearFlushYoung?(mm: NotifierMm, start: Hva, end: Hva, mn: MmuNotifier): Hook<boolean>
  /** The same without a flush: the answer may be a little old. */
  clearYoung?(mm: NotifierMm, start: Hva, end: Hva, mn: MmuNotifier): Hook<boolean>
  /** Was the page used? Changes nothing. */
  testYoung?(mm: NotifierMm, address: Hva, mn: MmuNotifier): Hook<boolean>
  /**
   * The page at `address` gets this PTE: the client may take it over instead of faulting again.
   * @param pte the PTE as a number: its bits 0 to 52, the rest are clear
   */
  changePte?(mm: NotifierMm, address: Hva, pte: number, mn: MmuNotifier): Hook<void>
  /** The page at `address` is gone from the page table (until v4.13). */
  invalidatePage?(mm: NotifierMm, address: Hva, mn: MmuNotifier): Hook<void>
  /**
   * Drop the translations of the range and map none until the end.
   * @returns nothing or 0; -EAGAIN from a range that is not blockable: then there is no end, so a client whose start can
   *          fail implements none
   */
  invalidateRangeStart?(range: MmuNotifierRange, mn: MmuNotifier): Hook<number | void>
  invalidateRangeEnd?(range: MmuNotifierRange, mn: MmuNotifier): Hook<void>

  /** Makes the notifier of this mm for `mmuNotifierGet`. */
  allocNotifier?(mm: NotifierMm): MmuNotifier
  /** Frees it, after the last put and a grace period. Must not sleep. */
  freeNotifier?(mn: MmuNotifier): void
}

/** The hooks that are callouts, in the order in which tables show them. */
export const CALLOUTS = [
  'release',
  'clearFlushYoung',
  'clearYoung',
  'testYoung',
  'changePte',
  'invalidatePage',
  'invalidateRangeStart',
  'invalidateRangeEnd',
  'invalidate',
] as const

/** Name of a hook; `invalidate` is the one of interval notifiers. */
export type Callout = (typeof CALLOUTS)[number]
