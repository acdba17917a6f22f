/**
 * The active and the inactive list of pages (Linux v6.12 mm/swap.c, include/linux/mm_inline.h; one pair for all).
 *
 * R1 Lists are links between frame numbers; two further numbers are their heads.
 * R2 A page is on one list, or on none while it is isolated or not reclaimable (zero page, KSM, tables).
 * R3 The lists hold no reference: whoever isolates a page takes one, and a freed page leaves its list.
 * R4 Each function is one step (Linux: lru_lock).
 */
import { KernelBug } from '../base/index.ts'
import type { Pfn } from '../base/index.ts'
import { PG_ACTIVE, PG_ISOLATED } from './page.ts'
import type { PageMap } from './page.ts'

export type LruList = 'active' | 'inactive'

export class Lru {
  private readonly pages: PageMap
  /** Neighbours; 0 is never linked (frame 0 is not used), so 0 means "on no list". */
  private readonly next: Int32Array
  private readonly prev: Int32Array
  private readonly activeHead: number
  private readonly inactiveHead: number
  /** Pages on each list. */
  active = 0
  inactive = 0
  /** Pages isolated by reclaim and not yet put back or freed. */
  isolated = 0

  constructor(pages: PageMap) {
    this.pages = pages
    this.next = new Int32Array(pages.frames + 2)
    this.prev = new Int32Array(pages.frames + 2)
    this.activeHead = pages.frames
    this.inactiveHead = pages.frames + 1
    for (const head of [this.activeHead, this.inactiveHead]) {
      this.next[head] = head
      this.prev[head] = head
    }
  }

  has(pfn: Pfn): boolean {
    return this.next[pfn] !== 0
  }

  /** Puts a page at the young end of a list. */
  add(pfn: Pfn, list: LruList): void {
    if (this.has(pfn)) throw new KernelBug(`frame ${pfn} is on an LRU list already`, 'I14')
    const head = list === 'active' ? this.activeHead : this.inactiveHead
    if (list === 'active') {
      this.pages.set(pfn, PG_ACTIVE)
      this.active++
    } else {
      this.pages.clear(pfn, PG_ACTIVE)
      this.inactive++
    }
    const first = this.next[head] as number
    this.next[head] = pfn
    this.prev[pfn] = head
    this.next[pfn] = first
    this.prev[first] = pfn
  }

  /** Takes a page off its list, if it is on one. */
  remove(pfn: Pfn): void {
    if (!this.has(pfn)) return
    const next = this.next[pfn] as number
    const prev = this.prev[pfn] as number
    this.next[prev] = next
    this.prev[next] = prev
    this.next[pfn] = 0
    this.prev[pfn] = 0
    if (this.pages.test(pfn, PG_ACTIVE)) this.active--
    else this.inactive--
  }

  /** The oldest page of a list, or -1. */
  oldest(list: LruList): Pfn | -1 {
    const head = list === 'active' ? this.activeHead : this.inactiveHead
    const last = this.prev[head] as number
    return last === head ? -1 : (last as Pfn)
  }

  /** Takes a page off its list to work on it; takes a reference. False when it is on none. */
  isolate(pfn: Pfn): boolean {
    if (!this.has(pfn)) return false
    this.pages.get(pfn)
    this.remove(pfn)
    this.pages.set(pfn, PG_ISOLATED)
    this.isolated++
    return true
  }

  /** The isolation is over; the caller puts the page on a list or frees it. */
  endIsolation(pfn: Pfn): void {
    if (!this.pages.test(pfn, PG_ISOLATED)) throw new KernelBug(`frame ${pfn} was not isolated`, 'I14')
    this.pages.clear(pfn, PG_ISOLATED)
    this.isolated--
  }
}
