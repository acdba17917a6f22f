/**
 * Reclaim (Linux v6.12 mm/vmscan.c).
 *
 * R1 Pages that host or client used since the last look go round again; the others are unmapped, written where they are
 *    newer than their swap slot or file, and freed.
 * R2 A frame is freed only when its content is elsewhere and nobody refers to it: reclaim's reference and the cache's are
 *    the last two, in the very step in which the page leaves the cache.
 * R3 Reclaim holds no lock that a callout could need: a page lock and rmap locks only.
 */
import { KernelBug, KernelError } from '../base/index.ts'
import type { Pfn } from '../base/index.ts'
import { WaitQueue } from '../sched/index.ts'
import type { Task } from '../sched/index.ts'
import { deletePage, writeBackPage } from './filemap.ts'
import type { AddressSpace } from './address-space.ts'
import type { Kernel } from './kernel.ts'
import { PG_ANON, PG_DIRTY, PG_REFERENCED, PG_SWAPBACKED, PG_SWAPCACHE, PG_WRITEBACK } from './page.ts'
import type { Reclaimer } from './page-allocator.ts'
import { pageReferenced, tryToUnmap } from './rmap.ts'

/** Pages that one call of direct reclaim tries to free (SWAP_CLUSTER_MAX). */
const CLUSTER = 32
/** Passes over the lists before reclaim gives up (DEF_PRIORITY). */
const PASSES = 4

/** What became of a page that reclaim looked at. */
export type ReclaimVerdict = 'reclaimed' | 'activated' | 'kept'

export class Reclaim implements Reclaimer {
  protected readonly kernel: Kernel
  /** Tasks that reclaim now: their own allocations must not reclaim again (PF_MEMALLOC). */
  private readonly reclaiming: Set<Task> = new Set()
  /** Those who found all pages in the hands of others wait here for the end of an isolation. */
  private readonly isolationEnds: WaitQueue
  private readonly kswapdWait: WaitQueue
  private kswapdWanted = false
  private kswapdRuns = false

  constructor(kernel: Kernel) {
    this.kernel = kernel
    this.isolationEnds = new WaitQueue(kernel.sched, 'end of another reclaim')
    this.kswapdWait = new WaitQueue(kernel.sched, 'kswapd')
  }

  /**
   * Reclaim calls hooks, and a hook that waits for reclaim could wait for itself: a hook may only use `tryAllocPages`
   * (lockdep's __mmu_notifier_invalidate_range_start_map within might_alloc).
   * @throws KernelBug I13
   */
  mightReclaim(): void {
    const { sched, srcu } = this.kernel
    if (!sched.isRunning || !srcu.isHeldBy(sched.current)) return
    throw new KernelBug(
      `task ${sched.current.name} allocates memory inside a hook, and the allocation may reclaim: reclaim calls hooks; ` +
        'allocate before, or take what is free with tryAllocPages',
      'I13',
    )
  }

  /** Makes room for an allocation that failed. @returns false when there is nothing to be had */
  async directReclaim(order: number): Promise<boolean> {
    const { sched, lru, allocator } = this.kernel
    if (this.reclaiming.has(sched.current)) return false
    if ((await this.reclaimPages(Math.max(CLUSTER, 2 ** order))) > 0) return true
    if (lru.isolated === 0) return false
    await this.isolationEnds.wait(() => lru.isolated === 0 || allocator.free > 0)
    return allocator.free > 0
  }

  /** Somebody put an isolated page back, or freed it. */
  isolationEnded(): void {
    this.isolationEnds.wakeAll()
  }

  wakeKswapd(): void {
    if (this.kswapdWanted) return
    this.kswapdWanted = true
    this.kswapdWait.wakeAll()
  }

  /**
   * Starts the reclaim daemon: woken when free memory falls below `low` frames, it reclaims up to `high`.
   * @throws KernelError EBUSY when it runs already
   */
  startKswapd(low: number, high: number): void {
    const { sched, allocator } = this.kernel
    if (this.kswapdRuns) throw new KernelError('EBUSY', 'kswapd runs already')
    this.kswapdRuns = true
    allocator.lowWatermark = low
    sched.spawn('kswapd', () => this.kswapd(high), { daemon: true })
  }

  private async kswapd(high: number): Promise<void> {
    const { allocator } = this.kernel
    for (;;) {
      await this.kswapdWait.wait(() => this.kswapdWanted)
      const missing = high - allocator.free
      if (missing > 0) await this.reclaimPages(missing)
      // If nothing could be freed, the next allocation below the mark asks again.
      this.kswapdWanted = false
    }
  }

  /**
   * Tries to free pages (Linux: try_to_free_pages).
   * @param wanted pages
   * @returns pages freed
   */
  async reclaimPages(wanted: number): Promise<number> {
    const { sched, trace, lru, allocator } = this.kernel
    const task = sched.current
    this.reclaiming.add(task)
    if (trace.on) trace.emit({ name: 'mm_vmscan_begin', wanted, free: allocator.free })
    let reclaimed = 0
    for (let pass = 0; pass < PASSES && reclaimed < wanted; pass++) {
      if (lru.active > lru.inactive) await this.shrinkActive(lru.active - lru.inactive)
      let scan = lru.inactive
      while (scan-- > 0 && reclaimed < wanted) {
        const pfn = lru.oldest('inactive')
        if (pfn === -1) break
        if (lru.isolate(pfn) && (await this.shrinkPage(pfn, false))) reclaimed++
      }
    }
    if (trace.on) trace.emit({ name: 'mm_vmscan_end', reclaimed })
    this.reclaiming.delete(task)
    return reclaimed
  }

  /** Moves the oldest active pages to the inactive list. What was used there comes back from there. */
  protected async shrinkActive(count: number): Promise<void> {
    const { lru } = this.kernel
    for (let left = count; left > 0; left--) {
      const pfn = lru.oldest('active')
      if (pfn === -1) return
      lru.remove(pfn)
      lru.add(pfn, 'inactive')
    }
  }

  /** Reclaims a page that the caller isolated, used or not (Linux: reclaim_pages). @returns true when it was freed */
  async reclaimIsolated(pfn: Pfn): Promise<boolean> {
    return await this.shrinkPage(pfn, true)
  }

  /** Decides about an isolated page and ends its isolation. @returns true when its frame was freed */
  protected async shrinkPage(pfn: Pfn, ignoreReferences: boolean): Promise<boolean> {
    const { lru, pages, trace, swap, allocator } = this.kernel
    const lock = pages.lockOf(pfn)
    let verdict: ReclaimVerdict = 'kept'
    let referenced = false
    if (lock.tryLock()) {
      referenced = !ignoreReferences && (await this.wasReferenced(pfn))
      verdict = referenced ? 'activated' : await this.evict(pfn)
      lock.unlock()
    }
    if (trace.on) trace.emit({ name: 'mm_vmscan_page', pfn, verdict, referenced })
    lru.endIsolation(pfn)
    if (verdict !== 'reclaimed') {
      lru.add(pfn, verdict === 'activated' ? 'active' : 'inactive')
      swap.tryToFreeCache(pfn)
    }
    // Perhaps the last reference: the owner may have unmapped the page meanwhile.
    allocator.put(pfn)
    this.isolationEnded()
    return verdict === 'reclaimed'
  }

  protected async wasReferenced(pfn: Pfn): Promise<boolean> {
    const { pages } = this.kernel
    const byPtes = pages.maps(pfn) > 0 && (await pageReferenced(this.kernel, pfn)) > 0
    return pages.testAndClear(pfn, PG_REFERENCED) || byPtes
  }

  /** Unmaps, writes, and frees an unused page. The page is locked and isolated. */
  protected async evict(pfn: Pfn): Promise<ReclaimVerdict> {
    const { kernel } = this
    const { pages, swap } = kernel
    const anonymous = pages.test(pfn, PG_ANON)
    if (anonymous && pages.test(pfn, PG_SWAPBACKED) && !pages.test(pfn, PG_SWAPCACHE)) {
      // Pages that GUP callers hold will not be freed anyway: leave them mapped.
      if (pages.refs(pfn) > pages.maps(pfn) + 1) return 'kept'
      if (!swap.add(pfn)) return 'activated'
    }
    if (pages.maps(pfn) > 0 && !(await tryToUnmap(kernel, pfn))) return 'activated'
    if (!anonymous && !pages.test(pfn, PG_SWAPCACHE) && !this.moveToSwap(pfn)) return 'activated'
    // Unmapped, and without a slot: no address shows it any more, whatever it holds.
    if (anonymous && !pages.test(pfn, PG_SWAPCACHE)) pages.clear(pfn, PG_DIRTY)
    if (pages.test(pfn, PG_DIRTY) && !(await this.pageout(pfn))) return 'kept'
    return this.removeMapping(pfn) ? 'reclaimed' : 'kept'
  }

  /** A page of a memory file gives its place to a swap slot (Linux: shmem_writepage). @returns false when swap is full */
  protected moveToSwap(pfn: Pfn): boolean {
    const { pages, swap } = this.kernel
    const file = pages.mapping[pfn] as AddressSpace | null
    if (file === null || file.storage !== 'memory') return true
    // Ours and the cache's; else somebody is about to use the page as the file's.
    if (pages.refs(pfn) !== 2 || pages.maps(pfn) > 0) return false
    const index = pages.index[pfn] as number
    if (!swap.add(pfn)) return false
    const slot = pages.private[pfn] as number
    swap.duplicate(slot)
    deletePage(file, pfn)
    file.pages.set(index, -slot)
    this.kernel.allocator.put(pfn)
    return true
  }

  /** Writes a page to its slot or block. @returns false when that failed */
  protected async pageout(pfn: Pfn): Promise<boolean> {
    const { pages, swap, trace } = this.kernel
    if (!pages.test(pfn, PG_SWAPCACHE)) return await writeBackPage(this.kernel, pfn)
    const slot = pages.private[pfn] as number
    pages.clear(pfn, PG_DIRTY)
    pages.set(pfn, PG_WRITEBACK)
    try {
      await swap.device.writePage(slot, pfn)
    } catch {
      pages.set(pfn, PG_DIRTY)
      return false
    } finally {
      pages.clear(pfn, PG_WRITEBACK)
    }
    if (trace.on) trace.emit({ name: 'swap_write', pfn, slot })
    return true
  }

  /** The page leaves its cache, if nobody came back to it. One step. */
  protected removeMapping(pfn: Pfn): boolean {
    const { pages, swap, allocator } = this.kernel
    const cached = pages.test(pfn, PG_SWAPCACHE)
    const file = !pages.test(pfn, PG_ANON) && !cached ? (pages.mapping[pfn] as AddressSpace | null) : null
    const expected = cached || file !== null ? 2 : 1
    if (pages.refs(pfn) !== expected || pages.test(pfn, PG_DIRTY) || pages.maps(pfn) > 0) return false
    if (cached) swap.remove(pfn)
    else if (file !== null) deletePage(file, pfn)
    if (expected === 2) allocator.put(pfn)
    return true
  }
}
