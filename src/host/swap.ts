/**
 * Swap: slots, the swap cache, and the device behind them (Linux v6.12 mm/swapfile.c, mm/swap_state.c).
 *
 * R1 A slot is in use while a PTE or a file names it (`count`) or its page is in the swap cache; then nobody else gets it.
 * R2 A page in the swap cache is the slot's content; the device's copy counts only once the page has left the cache.
 * R3 A page enters the cache and leaves it with its page lock held, and the cache holds one reference.
 * R4 Everything but the transfers is one step (Linux: the swap lock).
 */
import { KernelBug } from '../base/index.ts'
import type { Pfn } from '../base/index.ts'
import type { PhysicalMemory } from '../hardware/index.ts'
import type { Kernel } from './kernel.ts'
import { PG_ANON, PG_DIRTY, PG_SWAPCACHE } from './page.ts'

/** What stores swapped pages. Slots run from 1 to `slots`. */
export interface SwapDevice {
  readonly slots: number
  /** Copies the frame to the slot; may sleep. @throws KernelError EIO */
  writePage(slot: number, pfn: Pfn): Promise<void>
  /** Copies the slot to the frame; may sleep. @throws KernelError EIO */
  readPage(slot: number, pfn: Pfn): Promise<void>
}

/** A device in memory: frames that the page allocator does not manage. */
export class MemorySwapDevice implements SwapDevice {
  readonly slots: number
  private readonly memory: PhysicalMemory
  private readonly firstFrame: number

  constructor(memory: PhysicalMemory, firstFrame: number, slots: number) {
    this.memory = memory
    this.firstFrame = firstFrame
    this.slots = slots
  }

  async writePage(slot: number, pfn: Pfn): Promise<void> {
    this.memory.copyFrame(this.frameOf(slot), pfn)
  }

  async readPage(slot: number, pfn: Pfn): Promise<void> {
    this.memory.copyFrame(pfn, this.frameOf(slot))
  }

  private frameOf(slot: number): Pfn {
    return (this.firstFrame + slot - 1) as Pfn
  }
}

export class Swap {
  private readonly kernel: Kernel
  readonly device: SwapDevice
  /** PTEs and file places that name the slot. */
  private readonly counts: Int32Array
  /** Frame of the slot's page in the swap cache, or 0. */
  private readonly cache: Int32Array
  /** Where the search for a free slot goes on. */
  private hint = 1
  /** Slots in use. */
  used = 0

  constructor(kernel: Kernel, device: SwapDevice) {
    this.kernel = kernel
    this.device = device
    this.counts = new Int32Array(device.slots + 1)
    this.cache = new Int32Array(device.slots + 1)
  }

  count(slot: number): number {
    return this.counts[slot] as number
  }

  /** The page of a slot in the swap cache, or -1. */
  lookup(slot: number): Pfn | -1 {
    const pfn = this.cache[slot] as number
    return pfn === 0 ? -1 : (pfn as Pfn)
  }

  /**
   * Gives a page a slot and puts it in the swap cache (Linux: add_to_swap). The page is locked.
   * @returns false when swap is full
   */
  add(pfn: Pfn): boolean {
    const slot = this.findFree()
    if (slot === -1) return false
    this.insert(slot, pfn)
    // The slot holds nothing yet: the page must be written before its frame goes.
    this.kernel.pages.set(pfn, PG_DIRTY)
    return true
  }

  /** Puts a locked page in the cache as the content of a slot that is in use and has none there. */
  insert(slot: number, pfn: Pfn): void {
    const { pages } = this.kernel
    if (this.cache[slot] !== 0) throw new KernelBug(`swap slot ${slot} is cached already`, 'I14')
    if (this.counts[slot] === 0) this.used++
    this.cache[slot] = pfn
    pages.get(pfn)
    pages.set(pfn, PG_SWAPCACHE)
    pages.private[pfn] = slot
  }

  /** Takes a locked page out of the cache; the caller drops the cache's reference. */
  remove(pfn: Pfn): void {
    const { pages } = this.kernel
    const slot = pages.private[pfn] as number
    if (!pages.test(pfn, PG_SWAPCACHE) || this.cache[slot] !== pfn) {
      throw new KernelBug(`frame ${pfn} is not in the swap cache`, 'I14')
    }
    this.cache[slot] = 0
    pages.clear(pfn, PG_SWAPCACHE)
    pages.private[pfn] = 0
    if (this.counts[slot] === 0) this.release(slot)
  }

  /** One more PTE or file place names the slot. */
  duplicate(slot: number): void {
    if (this.counts[slot] === 0 && this.cache[slot] === 0) throw new KernelBug(`swap slot ${slot} is free`, 'I14')
    this.counts[slot] = (this.counts[slot] as number) + 1
  }

  /** One less; with the last, and no page in the cache, the slot is free. */
  free(slot: number): void {
    const count = this.counts[slot] as number
    if (count <= 0) throw new KernelBug(`swap slot ${slot} freed more often than used`, 'I14')
    this.counts[slot] = count - 1
    if (count > 1) return
    const pfn = this.lookup(slot)
    if (pfn === -1) this.release(slot)
    else this.tryToFreeCache(pfn)
  }

  /**
   * Drops a page from the cache when nobody needs its slot any more and nobody works on it (Linux: free_swap_cache).
   * A page that is busy stays; reclaim finds it.
   */
  tryToFreeCache(pfn: Pfn): void {
    const { pages, allocator } = this.kernel
    if (!pages.test(pfn, PG_SWAPCACHE) || this.counts[pages.private[pfn] as number] !== 0) return
    const lock = pages.lockOf(pfn)
    if (!lock.tryLock()) return
    // The cache's reference may be the last: a page is not freed while it is locked.
    pages.get(pfn)
    this.freeCacheLocked(pfn)
    lock.unlock()
    allocator.put(pfn)
  }

  /** The same for a page that the caller has locked and refers to (Linux: folio_free_swap). */
  freeCacheLocked(pfn: Pfn): void {
    const { pages, allocator } = this.kernel
    if (!pages.test(pfn, PG_SWAPCACHE) || this.counts[pages.private[pfn] as number] !== 0) return
    this.remove(pfn)
    pages.set(pfn, PG_DIRTY)
    allocator.put(pfn)
  }

  private findFree(): number {
    const { slots } = this.device
    for (let tried = 0; tried < slots; tried++) {
      const slot = ((this.hint - 1 + tried) % slots) + 1
      if (this.counts[slot] !== 0 || this.cache[slot] !== 0) continue
      this.hint = (slot % slots) + 1
      return slot
    }
    return -1
  }

  private release(slot: number): void {
    this.used--
    const { trace } = this.kernel
    if (trace.on) trace.emit({ name: 'swap_free', slot })
  }
}

/** Drops a page that a PTE held, with its swap slot if that was the last to need it (Linux: free_page_and_swap_cache). */
export function freePageAndSwapCache(kernel: Kernel, pfn: Pfn): void {
  const { pages } = kernel
  if (pages.test(pfn, PG_SWAPCACHE | PG_ANON) && pages.maps(pfn) === 0) kernel.swap.tryToFreeCache(pfn)
  kernel.allocator.put(pfn)
}
