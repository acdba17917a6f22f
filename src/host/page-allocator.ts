/**
 * The page allocator: a buddy system (Linux v6.12 mm/page_alloc.c) and the reference counts that feed it.
 *
 * R1 A free block of 2^n frames starts at a multiple of 2^n; two free buddies are always joined.
 * R2 A frame is freed when, and only when, its last reference is dropped, and then nothing maps it.
 * R3 An allocation that finds nothing reclaims; when reclaim finds nothing either, it ends in ENOMEM and nothing
 *    is lost.
 * R4 Blocks are reused last in, first out, which shows a use after free soonest.
 */
import { KernelBug, KernelError } from '../base/index.ts'
import type { Pfn, Trace } from '../base/index.ts'
import type { Lru } from './lru.ts'
import { PAGE_KINDS, PG_ISOLATED } from './page.ts'
import type { PageKind, PageMap } from './page.ts'

/** Blocks have at most 2^MAX_ORDER frames (4 MiB). */
export const MAX_ORDER = 10
/** Rounds of direct reclaim before a single allocation gives up, while others take what it reclaims. */
const MAX_RECLAIM_ROUNDS = 64

/** Who makes room. */
export interface Reclaimer {
  /** The running task is about to allocate, which may reclaim. @throws KernelBug I13 inside a hook */
  mightReclaim(): void
  /** @returns true when trying again is worth while */
  directReclaim(order: number): Promise<boolean>
  /** Memory is getting scarce. */
  wakeKswapd(): void
}

/** Lets allocations fail that could succeed (Linux v6.12 mm/fail_page_alloc.c: should_fail_alloc_page). */
export interface FailPageAlloc {
  /** Asked once an allocation, before anything is taken. */
  shouldFail(order: number, kind: PageKind): boolean
}

export class PageAllocator {
  private readonly pages: PageMap
  private readonly lru: Lru
  private readonly trace: Trace
  private readonly reclaimer: Reclaimer
  /** Order of the free block that starts here, or -1. */
  private readonly freeOrder: Int8Array
  private readonly freeNext: Int32Array
  private readonly freePrev: Int32Array
  /** First free block of each order, or -1. */
  private readonly heads: Int32Array = new Int32Array(MAX_ORDER + 1).fill(-1)
  /** Free frames now. */
  free = 0
  /** Frames that were handed out by the constructor's caller to the allocator. Immutable. */
  readonly managed: number
  /** Below this many free frames the reclaim daemon is woken. */
  lowWatermark = 0
  /** Which allocations fail for no reason, or null. */
  failures: FailPageAlloc | null = null

  /** Manages frames [1, frames); frame 0 is never used, so that 0 can mean "none". */
  constructor(pages: PageMap, lru: Lru, trace: Trace, reclaimer: Reclaimer) {
    this.pages = pages
    this.lru = lru
    this.trace = trace
    this.reclaimer = reclaimer
    this.freeOrder = new Int8Array(pages.frames).fill(-1)
    this.freeNext = new Int32Array(pages.frames).fill(-1)
    this.freePrev = new Int32Array(pages.frames).fill(-1)
    for (let frame = pages.frames - 1; frame >= 1; frame--) this.release(frame, 0)
    this.managed = this.free
  }

  /**
   * 2^order frames that start at a multiple of 2^order, with one reference on the first; contents are stale.
   * Reclaims when there is none: may sleep, and calls every notifier hook that reclaim calls.
   * @param owner id of the mm that pays, 0 for the kernel
   * @throws KernelError ENOMEM
   */
  async allocPages(order: number, kind: PageKind, owner: number): Promise<Pfn> {
    this.reclaimer.mightReclaim()
    if (this.failures?.shouldFail(order, kind) === true) throw this.outOfMemory(order, kind)
    for (let round = 0; round < MAX_RECLAIM_ROUNDS; round++) {
      const pfn = this.takeBlock(order, kind, owner)
      if (pfn !== -1) return pfn
      if (!(await this.reclaimer.directReclaim(order))) break
    }
    const last = this.takeBlock(order, kind, owner)
    if (last !== -1) return last
    throw this.outOfMemory(order, kind)
  }

  /** As `allocPages`, but never sleeps: -1 when there is none. */
  tryAllocPages(order: number, kind: PageKind, owner: number): Pfn | -1 {
    if (this.failures?.shouldFail(order, kind) === true) return -1
    return this.takeBlock(order, kind, owner)
  }

  private outOfMemory(order: number, kind: PageKind): KernelError {
    if (this.trace.on) this.trace.emit({ name: 'out_of_memory', order })
    return new KernelError(
      'ENOMEM',
      `out of memory: no ${2 ** order} free frame${order === 0 ? '' : 's'} of ${this.managed} for ${kind} ` +
        `(free ${this.free}, active ${this.lru.active}, inactive ${this.lru.inactive}); nothing could be reclaimed`,
    )
  }

  private takeBlock(order: number, kind: PageKind, owner: number): Pfn | -1 {
    let from = order
    while (from <= MAX_ORDER && (this.heads[from] as number) === -1) from++
    if (from > MAX_ORDER) return -1
    const block = this.heads[from] as number
    this.unlink(block, from)
    while (from > order) {
      from--
      this.link(block + 2 ** from, from)
    }
    this.free -= 2 ** order
    this.take(block as Pfn, order, kind, owner)
    if (this.free < this.lowWatermark) this.reclaimer.wakeKswapd()
    return block as Pfn
  }

  /** Drops a reference; frees the frame with the last one. */
  put(pfn: Pfn): void {
    const count = this.pages.refs(pfn)
    if (count <= 0) throw new KernelBug(`put_page of frame ${pfn} with reference count ${count}`, 'I14')
    if (count > 1) {
      this.pages.refcount[pfn] = count - 1
      return
    }
    this.freePages(pfn, 0)
  }

  /**
   * Frees a block whose only reference the caller holds.
   * @throws KernelBug I14 when anybody else refers to it
   */
  freePages(pfn: Pfn, order: number): void {
    const pages = this.pages
    if (pages.refs(pfn) !== 1) {
      throw new KernelBug(`frame ${pfn} freed with reference count ${pages.refs(pfn)}`, 'I14')
    }
    if (pages.maps(pfn) !== 0) throw new KernelBug(`frame ${pfn} freed while ${pages.maps(pfn)} PTEs map it`, 'I14')
    if (pages.isLocked(pfn)) throw new KernelBug(`frame ${pfn} freed while its page is locked`, 'I14')
    if (pages.test(pfn, PG_ISOLATED)) this.lru.endIsolation(pfn)
    this.lru.remove(pfn)
    const kind = pages.kindOf(pfn)
    for (let frame = pfn as number; frame < pfn + 2 ** order; frame++) {
      pages.kind[frame] = 0
      pages.owner[frame] = 0
    }
    pages.refcount[pfn] = 0
    pages.flags[pfn] = 0
    pages.index[pfn] = 0
    pages.private[pfn] = 0
    pages.mapping[pfn] = null
    if (this.trace.on) this.trace.emit({ name: 'mm_page_free', pfn, order, kind })
    this.release(pfn, order)
  }

  /** Makes a block of which the caller holds the one reference into single frames with a reference each. */
  splitPages(pfn: Pfn, order: number): void {
    for (let frame = pfn + 1; frame < pfn + 2 ** order; frame++) this.pages.refcount[frame] = 1
  }

  private take(pfn: Pfn, order: number, kind: PageKind, owner: number): void {
    const pages = this.pages
    if (pages.refs(pfn) !== 0 || pages.maps(pfn) !== 0) {
      throw new KernelBug(`frame ${pfn} was on the free list with references or mappings`, 'I14')
    }
    const code = PAGE_KINDS.indexOf(kind)
    for (let frame = pfn as number; frame < pfn + 2 ** order; frame++) {
      pages.kind[frame] = code
      pages.owner[frame] = owner
    }
    pages.refcount[pfn] = 1
    if (this.trace.on) this.trace.emit({ name: 'mm_page_alloc', pfn, order, kind, owner })
  }

  /** Puts a block on the free lists and joins it with its buddy as often as possible. */
  private release(block: number, order: number): void {
    this.free += 2 ** order
    let at = block
    let size = order
    while (size < MAX_ORDER) {
      const buddy = at ^ (2 ** size)
      if (buddy >= this.pages.frames || this.freeOrder[buddy] !== size) break
      this.unlink(buddy, size)
      at = Math.min(at, buddy)
      size++
    }
    this.link(at, size)
  }

  private link(block: number, order: number): void {
    const first = this.heads[order] as number
    this.freeOrder[block] = order
    this.freeNext[block] = first
    this.freePrev[block] = -1
    if (first !== -1) this.freePrev[first] = block
    this.heads[order] = block
  }

  private unlink(block: number, order: number): void {
    const next = this.freeNext[block] as number
    const prev = this.freePrev[block] as number
    if (prev === -1) this.heads[order] = next
    else this.freeNext[prev] = next
    if (next !== -1) this.freePrev[next] = prev
    this.freeOrder[block] = -1
  }
}
