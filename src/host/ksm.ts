/**
 * Kernel samepage merging: the scan and its tables (Linux v6.12 mm/ksm.c).
 *
 * A scan finds equal anonymous pages of mergeable VMAs and lets all PTEs name one of them, read-only; a store takes a
 * copy again. The stable table knows the shared pages; the unstable one, pages that stood still for one scan.
 *
 * R1 A shared page stays in memory: it is on no LRU list and has no swap slot (as in v2.6.32). The stable table holds no
 *    reference to it; the page goes with its last PTE.
 * R2 mmap lock for reading, page lock by trying: KSM waits for nobody.
 */
import { KernelError, PAGE_SIZE, hex } from '../base/index.ts'
import type { Hva, Pfn } from '../base/index.ts'
import { Mutex } from '../sched/index.ts'
import type { Kernel } from './kernel.ts'
import { StableNode, breakKsm, isMergeable, mergePage } from './ksm-merge.ts'
import { ksmThreadMutex } from './locks.ts'
import type { Mm } from './mm.ts'
import { PMD_SIZE } from './page-table.ts'
import { ptePfn } from './pte.ts'
import { VM_MERGEABLE, mergeRange, splitRange } from './vma.ts'
import type { Vma } from './vma.ts'

/** A place that was scanned. */
interface Place {
  readonly mm: Mm
  readonly hva: Hva
}

export class Ksm {
  private readonly kernel: Kernel
  private readonly mutex: Mutex
  /** The mms with mergeable VMAs. Changed in one step. */
  private readonly mms: Set<Mm> = new Set()
  /** Hash of the content -> shared pages. Protected by the mutex. */
  private readonly stable: Map<number, StableNode[]> = new Map()
  /** Hash -> a page that may become shared. Emptied at the end of each scan. Protected by the mutex. */
  private readonly unstable: Map<number, Place> = new Map()
  /** What each place's hash was at the last scan, by mm and address. Protected by the mutex. */
  private readonly checksums: Map<Mm, Map<number, number>> = new Map()

  constructor(kernel: Kernel) {
    this.kernel = kernel
    this.mutex = new Mutex(kernel.sched, ksmThreadMutex)
  }

  /** The mm has a mergeable VMA (Linux: __ksm_enter). */
  enter(mm: Mm): void {
    this.mms.add(mm)
  }

  isEntered(mm: Mm): boolean {
    return this.mms.has(mm)
  }

  /** The mm exits: no scan looks at it any more when this returns (Linux: __ksm_exit). */
  async leave(mm: Mm): Promise<void> {
    if (!this.mms.delete(mm)) return
    // A scan inside holds the mmap lock for reading, and asks `isEntered` under it.
    await mm.mmapLock.downWrite()
    mm.mmapLock.upWrite()
    this.checksums.delete(mm)
  }

  /**
   * Scans every mergeable page once (Linux: one full round of ksmd). A page is merged with a shared one at once, with
   * another page only if its content was the same in the scan before.
   * @returns PTEs that were turned to a shared page
   */
  async scan(): Promise<number> {
    await this.mutex.lock()
    let merged = 0
    for (const mm of Array.from(this.mms)) {
      // It may have exited while another one was scanned.
      if (!this.isEntered(mm)) continue
      mm.grab()
      for (const hva of await this.mergeableAddresses(mm)) merged += await this.scanPlace({ mm, hva })
      mm.drop()
    }
    this.unstable.clear()
    this.forgetFreed()
    this.mutex.unlock()
    return merged
  }

  private async mergeableAddresses(mm: Mm): Promise<Hva[]> {
    const found: Hva[] = []
    await mm.mmapLock.downRead()
    for (const vma of this.isEntered(mm) ? mm.vmas.all() : []) {
      if ((vma.flags & VM_MERGEABLE) === 0) continue
      const table = mm.pageTable
      for (let hva = table.nextPopulated(vma.start, vma.end); hva < vma.end; hva += PAGE_SIZE) {
        if (isMergeable(this.kernel, table.read(hva))) found.push(hva as Hva)
        if ((hva + PAGE_SIZE) % PMD_SIZE === 0) hva = table.nextPopulated(hva + PAGE_SIZE, vma.end) - PAGE_SIZE
      }
    }
    mm.mmapLock.upRead()
    return found
  }

  /** Linux: cmp_and_merge_page. @returns PTEs turned to a shared page */
  private async scanPlace(place: Place): Promise<number> {
    const { memory, allocator } = this.kernel
    const pfn = await this.getPage(place)
    if (pfn === -1) return 0
    const hash = memory.hashFrame(pfn)
    let merged = 0
    const shared = this.stableSearch(hash, pfn)
    if (shared !== -1) {
      merged = (await this.mergeWith(place, pfn, shared)) ? 1 : 0
      allocator.put(shared)
    } else if (this.standsStill(place, hash)) {
      merged = await this.mergeUnstable(place, pfn, hash)
    }
    allocator.put(pfn)
    return merged
  }

  /** A reference to the mergeable page at a place, or -1. */
  private async getPage(place: Place): Promise<Pfn | -1> {
    const { mm, hva } = place
    await mm.mmapLock.downRead()
    let pfn: Pfn | -1 = -1
    if (this.findVma(place) !== null) {
      await mm.pageTableLock.lock()
      const pte = mm.pageTable.read(hva)
      if (isMergeable(this.kernel, pte)) {
        pfn = ptePfn(pte)
        this.kernel.pages.get(pfn)
      }
      mm.pageTableLock.unlock()
    }
    mm.mmapLock.upRead()
    return pfn
  }

  /** Under the mmap lock. */
  private findVma(place: Place): Vma | null {
    if (!this.isEntered(place.mm)) return null
    const vma = place.mm.vmas.lookup(place.hva)
    return vma !== null && (vma.flags & VM_MERGEABLE) !== 0 ? vma : null
  }

  private standsStill(place: Place, hash: number): boolean {
    // An mm that left meanwhile would be remembered for ever.
    if (!this.isEntered(place.mm)) return false
    let known = this.checksums.get(place.mm)
    if (known === undefined) this.checksums.set(place.mm, (known = new Map()))
    const before = known.get(place.hva)
    known.set(place.hva, hash)
    return before === hash
  }

  /** A shared page of equal content, with a reference, or -1. One step. */
  private stableSearch(hash: number, pfn: Pfn): Pfn | -1 {
    const { pages, memory } = this.kernel
    for (const node of this.stable.get(hash) ?? []) {
      if (pages.mapping[node.pfn] !== node || !memory.framesEqual(node.pfn, pfn)) continue
      pages.get(node.pfn)
      return node.pfn
    }
    return -1
  }

  /** Linux: try_to_merge_two_pages, by way of the unstable table. */
  private async mergeUnstable(place: Place, pfn: Pfn, hash: number): Promise<number> {
    const { memory, allocator } = this.kernel
    const other = this.unstable.get(hash)
    if (other === undefined) {
      this.unstable.set(hash, place)
      return 0
    }
    const otherPfn = await this.getPage(other)
    if (otherPfn === -1) return 0
    let merged = 0
    if (otherPfn !== pfn && memory.framesEqual(otherPfn, pfn) && (await this.mergeWith(place, pfn, null))) {
      if (await this.mergeWith(other, otherPfn, pfn)) {
        merged = 2
        this.unstable.delete(hash)
        this.stableInsert(pfn)
      } else {
        await this.breakCow(place)
      }
    }
    allocator.put(otherPfn)
    return merged
  }

  private stableInsert(pfn: Pfn): void {
    const node = this.kernel.pages.mapping[pfn]
    if (!(node instanceof StableNode)) return
    const hash = this.kernel.memory.hashFrame(pfn)
    const nodes = this.stable.get(hash)
    if (nodes === undefined) this.stable.set(hash, [node])
    else nodes.push(node)
  }

  private forgetFreed(): void {
    const { pages } = this.kernel
    for (const [hash, nodes] of Array.from(this.stable)) {
      const alive = nodes.filter((node) => pages.mapping[node.pfn] === node)
      if (alive.length === 0) this.stable.delete(hash)
      else this.stable.set(hash, alive)
    }
  }

  /** Linux: try_to_merge_with_ksm_page. `shared` null makes the page itself the shared one. */
  private async mergeWith(place: Place, pfn: Pfn, shared: Pfn | null): Promise<boolean> {
    const { mm, hva } = place
    const { trace } = this.kernel
    await mm.mmapLock.downRead()
    const vma = this.findVma(place)
    const merged = vma !== null && (await mergePage(vma, hva, pfn, shared))
    mm.mmapLock.upRead()
    if (merged && trace.on) trace.emit({ name: 'ksm_merge', mm: mm.id, hva, from: pfn, to: shared ?? pfn })
    return merged
  }

  private async breakCow(place: Place): Promise<void> {
    await place.mm.mmapLock.downRead()
    const vma = this.findVma(place)
    try {
      if (vma !== null) await breakKsm(vma, place.hva)
    } catch (error) {
      // Without memory for a copy the page stays shared, with one sharer.
      if (!(error instanceof KernelError)) throw error
    } finally {
      place.mm.mmapLock.upRead()
    }
  }
}
/** MADV_MERGEABLE: KSM may share the pages of the range. Shared mappings are left alone, as in Linux. */
export async function madviseMergeable(mm: Mm, start: number, end: number): Promise<void> {
  await setMergeable(mm, start, end, true)
}

/** MADV_UNMERGEABLE: every page of the range is the mm's own again. @throws KernelError ENOMEM */
export async function madviseUnmergeable(mm: Mm, start: number, end: number): Promise<void> {
  await setMergeable(mm, start, end, false)
}

async function setMergeable(mm: Mm, start: number, end: number, mergeable: boolean): Promise<void> {
  await mm.mmapLock.downWrite()
  try {
    for (const vma of await splitRange(mm, start, end)) {
      if (vma.shared || ((vma.flags & VM_MERGEABLE) !== 0) === mergeable) continue
      if (!mergeable) await unmergePages(vma)
      vma.flags ^= VM_MERGEABLE
    }
    if (mergeable) mm.kernel.ksm.enter(mm)
    await mergeRange(mm, start, end)
    if (!mm.vmas.covers(start, end)) {
      throw new KernelError('ENOMEM', `madvise: [${hex(start)}-${hex(end)}] is not mapped everywhere`)
    }
  } finally {
    mm.mmapLock.upWrite()
  }
}

async function unmergePages(vma: Vma): Promise<void> {
  const table = vma.mm.pageTable
  for (let hva = table.nextPopulated(vma.start, vma.end); hva < vma.end; hva += PAGE_SIZE) {
    await breakKsm(vma, hva as Hva)
  }
}
