/**
 * A translation look-aside buffer for one kind of access (a hart or a host thread has three).
 *
 * An entry maps one 4 KiB page, also when it comes from a larger leaf; it then remembers how large the leaf was, so that a
 * fence of any address of the leaf removes all the pieces (sfence.vma: "all entries that contain leaf page table entries
 * corresponding to the virtual address"). Layout of an entry, so that generated code can probe it: eight 32-bit words,
 *
 * | word | content |
 * |---|---|
 * | 0 | page number, low 32 bits |
 * | 1 | page number, high 20 bits, and TLB_VALID; an invalid entry is all zero |
 * | 2 | VMID, and the MMU index shifted left by 16 |
 * | 3 | ASID, or -1 for a global mapping, which matches every ASID |
 * | 4 | host frame number |
 * | 5 | log2 of the leaf's pages, and the same for the leaf under `extra` shifted left by 8 |
 * | 6, 7 | `extra` as a 64-bit float: the guest frame number of a guest's entry |
 *
 * The set of a page is its low bits; the ways of a set stand next to each other.
 *
 * R1 At most one entry answers a lookup: `fill` removes whatever would answer in its stead.
 * R2 A TLB may forget an entry, but never answers with one that a flush has covered.
 * R3 A flush by ASID, with or without a page, spares global entries; a flush of all ASIDs takes them too.
 * R4 Replacement is round robin within a set, so a run repeats.
 * R5 Entries vanish in two places only, `clear` and `flushAll`; both tell the listener.
 * R6 Generated code may write an entry to an invalid place of the set (the first one), if no entry of the set is for the same
 *    page in the same context; `adopt` counts it before anything else happens to the TLB.
 * R7 Flushes of a large TLB take time by what it holds, not by its size: it keeps a list of the entries in use.
 */
import { KernelError } from '../base/index.ts'
import type { Pfn } from '../base/index.ts'
import { UsedEntries } from './tlb-used.ts'

/** For a flush: every ASID (and global entries), every VMID. */
export const ANY = -1

export const TLB_WORDS_PER_ENTRY = 8
/** Byte offsets of an entry's words. */
export const TlbWord = { page: 0, pageHigh: 4, context: 8, asid: 12, pfn: 16, shifts: 20, extra: 24 } as const
export const TLB_DEFAULT_ENTRIES = 256
export const TLB_VALID: number = 1 << 20
/** A TLB that holds less than this part of what it could is emptied entry by entry. */
const SPARSE = 16
/** Larger TLBs list what they hold; smaller ones are looked through. */
const LISTED_FROM = 512
/** In place of an ASID. */
export const TLB_GLOBAL = -1
const GLOBAL: number = TLB_GLOBAL
const MMU_INDEX_SHIFT = 16
const VMID_MASK = 0xffff
const MIXED = -1
const PAGE_HIGH = 2 ** 32

export interface TlbOptions {
  /** Entries in all, a power of two. Default 256. */
  readonly entries?: number
  /** Entries that may hold pages with the same low bits, a power of two. 1, the default, is direct mapped. */
  readonly ways?: number
  /** Memory to stand in, such as an engine's scratch area, from byte `offset` (a multiple of 8). Default: memory of its own. */
  readonly buffer?: ArrayBuffer
  readonly offset?: number
}

/** Hears of every translation that a TLB forgets, for whatever reason, so that it may keep a copy of what the TLB knows. */
export interface TlbListener {
  /** The TLB has forgotten its entry for a page, in some context. */
  droppedPage(page: number): void
  /** The TLB has forgotten everything. */
  droppedAll(): void
}

/** Counters that only grow; no part of the protocol state. */
export class TlbStats {
  static readonly opaque = true
  fills = 0
  /** Valid entries that made room for others. */
  evictions = 0
  flushes = 0
  /** Valid entries that flushes removed. */
  flushed = 0
}

export class Tlb {
  /** Immutable. */
  readonly entries: number
  readonly ways: number
  readonly stats: TlbStats
  /** The entries, for generated code and for reading. */
  readonly words: Int32Array
  /** Number of valid entries. */
  valid = 0
  /** Is told before the call that forgets returns (R5). Set by the owner of a copy. */
  listener: TlbListener | null = null
  private readonly floats: Float64Array
  private readonly setMask: number
  /** Next way to replace, one a set. */
  private readonly victims: Uint8Array
  /** Valid entries that are pieces of a larger leaf: while there are none, a page's entries stand in its own set. */
  private pieces = 0
  /** The same for leaves under `extra`. */
  private extraPieces = 0
  /** VMID of all valid entries, or `MIXED`. */
  private onlyVmid = 0
  private readonly used: UsedEntries | null

  /** @throws KernelError EINVAL for sizes that are no powers of two, or a buffer that does not hold the entries */
  constructor(options: TlbOptions = {}) {
    const { entries = TLB_DEFAULT_ENTRIES, ways = 1, offset = 0 } = options
    if (!isPowerOfTwo(entries) || !isPowerOfTwo(ways) || ways > entries || ways > 256) {
      throw new KernelError(
        'EINVAL',
        `TLB of ${entries} entries in ${ways} ways: expected powers of two, ways <= entries`,
      )
    }
    const bytes = entries * TLB_WORDS_PER_ENTRY * 4
    const buffer = options.buffer ?? new ArrayBuffer(bytes)
    if (offset % 8 !== 0 || offset < 0 || offset + bytes > buffer.byteLength) {
      throw new KernelError('EINVAL', `TLB of ${bytes} bytes at offset ${offset} does not fit in ${buffer.byteLength}`)
    }
    this.entries = entries
    this.ways = ways
    this.setMask = entries / ways - 1
    this.words = new Int32Array(buffer, offset, entries * TLB_WORDS_PER_ENTRY)
    this.floats = new Float64Array(buffer, offset, (entries * TLB_WORDS_PER_ENTRY) / 2)
    this.victims = new Uint8Array(entries / ways)
    this.stats = new TlbStats()
    this.used = entries < LISTED_FROM ? null : new UsedEntries(entries)
    if (options.buffer !== undefined) this.words.fill(0)
  }

  /**
   * Finds the entry for a page in a context.
   * @param page page number, up to 52 bits
   * @returns the entry's index, or -1
   */
  lookup(page: number, asid: number, vmid: number, mmuIndex: number): number {
    const low = page | 0
    const high = (page / PAGE_HIGH) | 0 | TLB_VALID
    const context = vmid | (mmuIndex << MMU_INDEX_SHIFT)
    const first = (low & this.setMask) * this.ways
    for (let index = first; index < first + this.ways; index++) {
      const at = index * TLB_WORDS_PER_ENTRY
      if (this.words[at] !== low || this.words[at + 1] !== high || this.words[at + 2] !== context) continue
      const tag = this.words[at + 3]
      if (tag === asid || tag === GLOBAL) return index
    }
    return -1
  }

  /**
   * Remembers a translation, in place of any that would answer the same lookup.
   * @param page page number of the 4 KiB page
   * @param asid address space, ignored when `global`
   * @param pfn host frame
   * @param extra a number to flush by, for a guest the guest frame number
   * @param leafShift log2 of the pages of the leaf that maps `page`
   * @param extraShift log2 of the pages of the leaf that maps `extra` (the G-stage's)
   * @returns the entry's index
   */
  fill(
    page: number,
    asid: number,
    vmid: number,
    mmuIndex: number,
    global: boolean,
    pfn: Pfn,
    extra: number,
    leafShift = 0,
    extraShift = 0,
  ): number {
    const index = this.place(page, asid, vmid | (mmuIndex << MMU_INDEX_SHIFT), global)
    const at = index * TLB_WORDS_PER_ENTRY
    this.words[at] = page | 0
    this.words[at + 1] = (page / PAGE_HIGH) | 0 | TLB_VALID
    this.words[at + 2] = vmid | (mmuIndex << MMU_INDEX_SHIFT)
    this.words[at + 3] = global ? GLOBAL : asid
    this.words[at + 4] = pfn
    this.words[at + 5] = leafShift | (extraShift << 8)
    this.floats[index * 4 + 3] = extra
    this.adopt(index)
    return index
  }

  /** Counts an entry that generated code has written (R6). */
  adopt(index: number): void {
    const vmid = this.vmidAt(index)
    if (this.valid === 0) this.onlyVmid = vmid
    else if (this.onlyVmid !== vmid) this.onlyVmid = MIXED
    this.valid++
    this.used?.add(index, this.extraAt(index))
    if (this.extraShiftAt(index) !== 0) this.extraPieces++
    if (this.leafShiftAt(index) !== 0) this.pieces++
    this.stats.fills++
  }

  /** What an entry that is yet to be adopted is a piece of, as `fill` has it. */
  describe(index: number, extra: number, leafShift: number, extraShift: number): void {
    this.words[index * TLB_WORDS_PER_ENTRY + 5] = leafShift | (extraShift << 8)
    this.floats[index * 4 + 3] = extra
  }

  /** The context word of entries (word 2). */
  static contextOf(vmid: number, mmuIndex: number): number {
    return vmid | (mmuIndex << MMU_INDEX_SHIFT)
  }

  /** Forgets one entry, as a TLB may at any time. @returns whether it was valid */
  evict(index: number): boolean {
    if (!this.isValid(index)) return false
    this.clear(index)
    this.stats.evictions++
    return true
  }

  // What an entry holds. Only for valid indexes.

  isValid(index: number): boolean {
    return this.words[index * TLB_WORDS_PER_ENTRY + 1] !== 0
  }
  pageAt(index: number): number {
    const at = index * TLB_WORDS_PER_ENTRY
    return ((this.words[at] as number) >>> 0) + ((this.words[at + 1] as number) & (TLB_VALID - 1)) * PAGE_HIGH
  }
  pfnAt(index: number): Pfn {
    return this.words[index * TLB_WORDS_PER_ENTRY + 4] as Pfn
  }
  extraAt(index: number): number {
    return this.floats[index * 4 + 3] as number
  }
  /** ANY for a global entry. */
  asidAt(index: number): number {
    return this.words[index * TLB_WORDS_PER_ENTRY + 3] as number
  }
  isGlobalAt(index: number): boolean {
    return this.words[index * TLB_WORDS_PER_ENTRY + 3] === GLOBAL
  }
  vmidAt(index: number): number {
    return (this.words[index * TLB_WORDS_PER_ENTRY + 2] as number) & VMID_MASK
  }
  mmuIndexAt(index: number): number {
    return (this.words[index * TLB_WORDS_PER_ENTRY + 2] as number) >>> MMU_INDEX_SHIFT
  }
  /** log2 of the pages of the leaf that the entry is a piece of. */
  leafShiftAt(index: number): number {
    return (this.words[index * TLB_WORDS_PER_ENTRY + 5] as number) & 0xff
  }
  extraShiftAt(index: number): number {
    return (this.words[index * TLB_WORDS_PER_ENTRY + 5] as number) >>> 8
  }

  /** Calls back with the index of each valid entry, in order unless the TLB is a large one; the callback may evict it. */
  forEachValid(callback: (index: number) => void): void {
    if (this.used === null) {
      if (this.valid === 0) return
      for (let index = 0; index < this.entries; index++) if (this.isValid(index)) callback(index)
      return
    }
    for (let place = this.places() - 1; this.valid > 0 && place >= 0; place--) {
      const index = this.indexAt(place)
      if (this.isValid(index)) callback(index)
    }
  }

  // Flushes. Each returns the number of valid entries it removed.

  flushAll(): number {
    this.stats.flushes++
    return this.removeAll()
  }

  private removeAll(): number {
    const removed = this.valid
    if (removed === 0) return 0
    this.clearWords()
    this.valid = 0
    this.pieces = 0
    this.extraPieces = 0
    this.stats.flushed += removed
    this.listener?.droppedAll()
    return removed
  }

  /** Forgets every leaf that covers `page` (sfence.vma rs1, rs2; hfence.vvma). */
  flushPage(page: number, asid: number = ANY, vmid: number = ANY): number {
    return this.flushPages(page, 1, asid, vmid)
  }

  /** Forgets every leaf that covers any of `count` pages from `first`. */
  flushPages(first: number, count: number, asid: number = ANY, vmid: number = ANY): number {
    this.stats.flushes++
    let removed = 0
    if (this.pieces === 0 && count * this.ways < this.entries) {
      for (let page = first; page < first + count; page++) removed += this.clearPage(page, asid, vmid)
    } else {
      for (let place = this.places() - 1; this.valid > 0 && place >= 0; place--) {
        const index = this.indexAt(place)
        if (!this.isValid(index) || !this.inContext(index, asid, vmid)) continue
        const size = 2 ** this.leafShiftAt(index)
        const leaf = Math.floor(this.pageAt(index) / size) * size
        if (leaf >= first + count || leaf + size <= first) continue
        this.clear(index)
        removed++
      }
    }
    this.stats.flushed += removed
    return removed
  }

  /** Forgets an address space, but not the global entries (sfence.vma x0, rs2). */
  flushAsid(asid: number, vmid: number = ANY): number {
    return this.flushMatching(asid, vmid)
  }

  /** Forgets a VM with its global entries (hfence.gvma x0, rs2; hfence.vvma x0, x0). */
  flushVmid(vmid: number): number {
    return this.flushMatching(ANY, vmid)
  }

  /** Forgets every entry whose `extra` is, or shares a leaf with, one of `count` numbers from `first` (hfence.gvma rs1). */
  flushExtra(first: number, count: number, vmid: number = ANY): number {
    let removed = 0
    this.stats.flushes++
    const { used } = this
    if (used !== null && this.extraPieces === 0 && count < this.valid) {
      for (let extra = first; extra < first + count; extra++) {
        for (let next, index = used.first(extra); index !== -1; index = next) {
          next = used.next(index)
          if (this.extraAt(index) !== extra || !this.inContext(index, ANY, vmid)) continue
          this.clear(index)
          removed++
        }
      }
      this.stats.flushed += removed
      return removed
    }
    for (let place = this.places() - 1; this.valid > 0 && place >= 0; place--) {
      const index = this.indexAt(place)
      if (!this.isValid(index) || !this.inContext(index, ANY, vmid)) continue
      const size = 2 ** this.extraShiftAt(index)
      const leaf = Math.floor(this.extraAt(index) / size) * size
      if (leaf >= first + count || leaf + size <= first) continue
      this.clear(index)
      removed++
    }
    this.stats.flushed += removed
    return removed
  }

  /** Forgets every entry that names one of `count` host frames from `first`, in all contexts. */
  flushPfn(first: Pfn, count = 1): number {
    let removed = 0
    this.stats.flushes++
    for (let place = this.places() - 1; this.valid > 0 && place >= 0; place--) {
      const index = this.indexAt(place)
      if (!this.isValid(index)) continue
      const pfn = this.pfnAt(index)
      if (pfn < first || pfn >= first + count) continue
      this.clear(index)
      removed++
    }
    this.stats.flushed += removed
    return removed
  }

  private flushMatching(asid: number, vmid: number): number {
    let removed = 0
    this.stats.flushes++
    if (asid === ANY && (vmid === ANY || vmid === this.onlyVmid)) return this.removeAll()
    for (let place = this.places() - 1; this.valid > 0 && place >= 0; place--) {
      const index = this.indexAt(place)
      if (!this.isValid(index) || !this.inContext(index, asid, vmid)) continue
      this.clear(index)
      removed++
    }
    this.stats.flushed += removed
    return removed
  }

  /** Clears the entries of one page, all of which stand in its set. */
  private clearPage(page: number, asid: number, vmid: number): number {
    let removed = 0
    const first = (page & this.setMask) * this.ways
    for (let index = first; index < first + this.ways; index++) {
      if (!this.isValid(index) || this.pageAt(index) !== page || !this.inContext(index, asid, vmid)) continue
      this.clear(index)
      removed++
    }
    return removed
  }

  /** Everything there is to look through. */
  private places(): number {
    return this.used === null ? this.entries : this.used.count
  }

  /** The entry at a place. What stands at it may be cleared: places are visited from the last. */
  private indexAt(place: number): number {
    return this.used === null ? place : (this.used.indexes[place] as number)
  }

  private clearWords(): void {
    const { used } = this
    if (used === null || used.count * SPARSE > this.entries) {
      this.words.fill(0)
      used?.clear()
      return
    }
    while (used.count > 0) {
      const index = used.indexes[used.count - 1] as number
      this.wipe(index)
      used.remove(index)
    }
  }

  private inContext(index: number, asid: number, vmid: number): boolean {
    return (asid === ANY || this.asidAt(index) === asid) && (vmid === ANY || this.vmidAt(index) === vmid)
  }

  private wipe(index: number): void {
    const at = index * (TLB_WORDS_PER_ENTRY / 2)
    this.floats[at] = 0
    this.floats[at + 1] = 0
    this.floats[at + 2] = 0
    this.floats[at + 3] = 0
  }

  private clear(index: number): void {
    if (this.listener !== null) this.listener.droppedPage(this.pageAt(index))
    if (this.leafShiftAt(index) !== 0) this.pieces--
    if (this.extraShiftAt(index) !== 0) this.extraPieces--
    this.used?.remove(index)
    this.wipe(index)
    this.valid--
  }

  /** Makes room for a new entry in the page's set: where a rival stood, else an invalid one, else the next in turn. */
  private place(page: number, asid: number, context: number, global: boolean): number {
    const { words } = this
    const low = page | 0
    const high = (page / PAGE_HIGH) | 0 | TLB_VALID
    const set = low & this.setMask
    const first = set * this.ways
    let free = -1
    for (let index = first; index < first + this.ways; index++) {
      const at = index * TLB_WORDS_PER_ENTRY
      // A rival: it could answer a lookup that the new one answers as well (R1).
      if (words[at] === low && words[at + 1] === high && words[at + 2] === context) {
        const tag = words[at + 3]
        if (global || tag === GLOBAL || tag === asid) this.clear(index)
      }
      if (free < 0 && words[at + 1] === 0) free = index
    }
    if (free >= 0) return free
    const way = this.victims[set] as number
    this.victims[set] = (way + 1) & (this.ways - 1)
    this.clear(first + way)
    this.stats.evictions++
    return first + way
  }
}

const isPowerOfTwo = (value: number): boolean => Number.isInteger(value) && value > 0 && (value & (value - 1)) === 0
