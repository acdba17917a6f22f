/**
 * struct page: one row of numbers for each frame (Linux: include/linux/mm_types.h, mm/page-flags).
 *
 * R1 Columns are typed arrays indexed by pfn; only `mapping` holds objects.
 * R2 refcount counts owners: each PTE, the page cache or swap cache, and whoever works on the page. mapcount counts
 *    PTEs. Both are zero for a free frame, and mapcount never exceeds refcount.
 * R3 The zero page and page tables are outside the rmap: they have no mapcount.
 * R4 A column is changed in one step, without a switch point between reading and writing it.
 */
import { KernelBug } from '../base/index.ts'
import type { Pfn } from '../base/index.ts'
import { Mutex } from '../sched/index.ts'
import type { Scheduler } from '../sched/index.ts'
import { pageLock } from './locks.ts'
import type { AddressSpace } from './address-space.ts'
import type { AnonVma } from './anon-vma.ts'
import type { StableNode } from './ksm-merge.ts'

/** The page was used since reclaim last looked. */
export const PG_REFERENCED: number = 1 << 0
/** The frame is newer than its file or swap slot. */
export const PG_DIRTY: number = 1 << 1
/** On the active list. */
export const PG_ACTIVE: number = 1 << 2
/** In the swap cache; `private` is the slot. */
export const PG_SWAPCACHE: number = 1 << 3
/** Must go to swap before the frame can be reused (cleared by MADV_FREE). */
export const PG_SWAPBACKED: number = 1 << 4
/** Anonymous, and no other mm can see it: a write needs no copy. */
export const PG_ANON_EXCLUSIVE: number = 1 << 5
/** Anonymous: `mapping` is an AnonVma. */
export const PG_ANON: number = 1 << 6
/** Shared by KSM; never written in place. */
export const PG_KSM: number = 1 << 7
/** Holds what its file or slot says. */
export const PG_UPTODATE: number = 1 << 8
/** Being written to swap or disk. */
export const PG_WRITEBACK: number = 1 << 9
/** Taken off the LRU lists by somebody who works on it. */
export const PG_ISOLATED: number = 1 << 10

/** Nobody used the page since somebody called it idle (see page-idle.ts). */
export const PG_IDLE: number = 1 << 11

/** Name of each flag by its bit, without `PG_`. */
export const PAGE_FLAG_NAMES: readonly string[] = [
  'referenced',
  'dirty',
  'active',
  'swapcache',
  'swapbacked',
  'anon_exclusive',
  'anon',
  'ksm',
  'uptodate',
  'writeback',
  'isolated',
  'idle',
]

/** What a frame is used for. */
export const PAGE_KINDS = ['free', 'anon', 'file', 'table', 'zero', 'spte'] as const
export type PageKind = (typeof PAGE_KINDS)[number]

/** What an rmap walk starts from. */
export type PageMapping = AnonVma | AddressSpace | StableNode

/** An array without holes; a world is made often enough for `Array.from` to show. */
const nulls = <T>(length: number): (T | null)[] => new Array<T | null>(length).fill(null)

export class PageMap {
  /** Frames in all. Immutable. */
  readonly frames: number
  readonly flags: Uint32Array
  readonly refcount: Int32Array
  readonly mapcount: Int32Array
  /** Page offset in the mapping. */
  readonly index: Float64Array
  /** Swap slot of a page in the swap cache. */
  readonly private: Int32Array
  /** Index into PAGE_KINDS. */
  readonly kind: Uint8Array
  /** The mm that allocated the frame, 0 for the kernel; for reports. */
  readonly owner: Int32Array
  readonly mapping: (PageMapping | null)[]
  /** Made when a page is first locked; protects what `pageLock` says. */
  private readonly locks: (Mutex | null)[]
  private readonly sched: Scheduler

  constructor(sched: Scheduler, frames: number) {
    this.sched = sched
    this.frames = frames
    this.flags = new Uint32Array(frames)
    this.refcount = new Int32Array(frames)
    this.mapcount = new Int32Array(frames)
    this.index = new Float64Array(frames)
    this.private = new Int32Array(frames)
    this.kind = new Uint8Array(frames)
    this.owner = new Int32Array(frames)
    this.mapping = nulls(frames)
    this.locks = nulls(frames)
  }

  /** All flags of `mask` set? */
  test(pfn: Pfn, mask: number): boolean {
    return ((this.flags[pfn] as number) & mask) === mask
  }

  set(pfn: Pfn, mask: number): void {
    this.flags[pfn] = (this.flags[pfn] as number) | mask
  }

  clear(pfn: Pfn, mask: number): void {
    this.flags[pfn] = (this.flags[pfn] as number) & ~mask
  }

  /** Clears the flags and says whether all were set. */
  testAndClear(pfn: Pfn, mask: number): boolean {
    const was = this.test(pfn, mask)
    this.clear(pfn, mask)
    return was
  }

  refs(pfn: Pfn): number {
    return this.refcount[pfn] as number
  }

  maps(pfn: Pfn): number {
    return this.mapcount[pfn] as number
  }

  kindOf(pfn: Pfn): PageKind {
    return PAGE_KINDS[this.kind[pfn] as number] as PageKind
  }

  /** A frame that changes its use without passing through the allocator. */
  setKind(pfn: Pfn, kind: PageKind): void {
    this.kind[pfn] = PAGE_KINDS.indexOf(kind)
  }

  /** The lock of a page. Protects its identity (see `pageLock`). */
  lockOf(pfn: Pfn): Mutex {
    const lock = this.locks[pfn]
    if (lock !== null && lock !== undefined) return lock
    const made = new Mutex(this.sched, pageLock, `folio_lock ${pfn}`)
    this.locks[pfn] = made
    return made
  }

  isLocked(pfn: Pfn): boolean {
    return this.locks[pfn]?.isLocked === true
  }

  /** One more reference to a page that somebody holds already. */
  get(pfn: Pfn): void {
    const count = this.refcount[pfn] as number
    if (count <= 0) throw new KernelBug(`get_page of frame ${pfn} with reference count ${count}`, 'I14')
    this.refcount[pfn] = count + 1
  }

  /** One PTE less; the reference that went with it is dropped separately. */
  removeRmap(pfn: Pfn): void {
    const count = this.mapcount[pfn] as number
    if (count <= 0) throw new KernelBug(`rmap of frame ${pfn} removed with map count ${count}`, 'I14')
    this.mapcount[pfn] = count - 1
  }

  addRmap(pfn: Pfn): void {
    this.mapcount[pfn] = (this.mapcount[pfn] as number) + 1
  }
}
