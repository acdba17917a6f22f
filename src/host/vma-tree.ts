/**
 * The VMAs of one mm in address order (Linux v6.12: the maple tree mm->mm_mt; here a sorted array).
 *
 * R1 VMAs are disjoint, page aligned, not empty, and sorted by address.
 * R2 Protected by the mmap lock: changed under its write side, read under either.
 */
import { KernelBug } from '../base/index.ts'
import type { Vma } from './vma.ts'

export class VmaTree {
  private readonly rows: Vma[] = []

  get size(): number {
    return this.rows.length
  }

  /** All VMAs in address order, as a copy that later changes leave alone. */
  all(): Vma[] {
    return this.rows.slice()
  }

  /** The first VMA that ends above `hva` (Linux: find_vma), or null. */
  find(hva: number): Vma | null {
    return this.rows[this.position(hva)] ?? null
  }

  /** The VMA that contains `hva` (Linux: vma_lookup), or null. */
  lookup(hva: number): Vma | null {
    const vma = this.find(hva)
    return vma !== null && vma.start <= hva ? vma : null
  }

  /** The last VMA that ends at or below `hva`, or null. */
  before(hva: number): Vma | null {
    return this.rows[this.position(hva) - 1] ?? null
  }

  /** The VMAs that overlap [start, end), in order, as a copy. */
  overlapping(start: number, end: number): Vma[] {
    const found: Vma[] = []
    for (let at = this.position(start); at < this.rows.length; at++) {
      const vma = this.rows[at] as Vma
      if (vma.start >= end) break
      found.push(vma)
    }
    return found
  }

  insert(vma: Vma): void {
    const at = this.position(vma.start)
    const after = this.rows[at]
    if (after !== undefined && after.start < vma.end) {
      throw new KernelBug(`VMA ${vma.describe()} overlaps ${after.describe()}`)
    }
    this.rows.splice(at, 0, vma)
  }

  remove(vma: Vma): void {
    const at = this.rows.indexOf(vma)
    if (at < 0) throw new KernelBug(`VMA ${vma.describe()} is not in its tree`)
    this.rows.splice(at, 1)
  }

  /** True when [start, end) has no hole. */
  covers(start: number, end: number): boolean {
    let at = start
    for (const vma of this.overlapping(start, end)) {
      if (vma.start > at) return false
      at = vma.end
    }
    return at >= end
  }

  /** The highest start of a free range of `length` bytes within [low, high), or -1. */
  highestGap(length: number, low: number, high: number): number {
    let end = high
    for (let at = this.position(high - 1); at >= 0; at--) {
      const vma = this.rows[at]
      if (vma === undefined) continue
      if (vma.end <= end && end - vma.end >= length) break
      end = Math.min(end, vma.start)
    }
    return end - length >= low && this.isFree(end - length, end) ? end - length : -1
  }

  isFree(start: number, end: number): boolean {
    const vma = this.find(start)
    return vma === null || vma.start >= end
  }

  /** Index of the first VMA with end > hva. */
  private position(hva: number): number {
    let low = 0
    let high = this.rows.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.rows[middle] as Vma).end > hva) high = middle
      else low = middle + 1
    }
    return low
  }
}
