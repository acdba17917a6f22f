/**
 * Memslots: which guest frames a VM has, and where they lie in its mm (include/linux/kvm_host.h kvm_memslots, 6.12).
 *
 * A table is immutable once published: readers find it under the VM's SRCU, a writer publishes another one and waits
 * for the readers of the old. What belongs to the memory rather than to the table (reverse maps, dirty bitmap, write
 * tracking) is shared by all versions of a slot.
 *
 * R1 Slots of a table never overlap in guest frames; their host ranges may (one hva in two slots).
 * R2 A retired table is never read: that is a KernelBug I10 (a reader outside SRCU, or a grace period cut short).
 */
import { KernelBug, PAGE_SIZE, TABLE_SHIFT, gfn, hva } from '../base/index.ts'
import type { Gfn, Hva } from '../base/index.ts'
import { Rmap } from './rmap.ts'
import type { RmapPool } from './rmap.ts'

/** Flags of the API. */
export const KVM_MEM_LOG_DIRTY_PAGES = 1
export const KVM_MEM_READONLY = 2
/** Internal: the slot is being deleted or moved; faults on it retry. */
export const KVM_MEMSLOT_INVALID: number = 1 << 16

/** Leaf sizes: 4 KiB at level 0, 2 MiB, 1 GiB. */
export const LEAF_LEVELS = 3

/** What is known about the memory of a slot. Protected by mmuLock unless it says otherwise. */
export class SlotMemory {
  /** One reverse map for each leaf size. */
  readonly rmaps: readonly Rmap[]
  /** By page: how many shadow pages trap stores to it; null as long as it would be 0 throughout. */
  tracked: Uint16Array | null = null
  /** Pages of `tracked` that are not 0. */
  trackedPages = 0
  /** One bit for each page written since it was last harvested; null when writes are not logged. */
  dirty: Uint32Array | null = null

  constructor(pool: RmapPool, base: number, pages: number) {
    const rmaps: Rmap[] = []
    for (let level = 0; level < LEAF_LEVELS; level++) {
      rmaps.push(new Rmap(pool, rmapIndex(base, base + pages - 1, level) + 1))
    }
    this.rmaps = rmaps
  }

  /** Bytes held, without the rmap pool. */
  get bytes(): number {
    let bytes = (this.tracked?.byteLength ?? 0) + (this.dirty?.byteLength ?? 0)
    for (const rmap of this.rmaps) bytes += rmap.bytes
    return bytes
  }
}

/** Position of a guest frame in the slot's reverse map of a level (Linux: gfn_to_index). */
export function rmapIndex(base: number, frame: number, level: number): number {
  const size = 2 ** (level * TABLE_SHIFT)
  return Math.floor(frame / size) - Math.floor(base / size)
}

/** One slot, in one version. All fields immutable. */
export class Memslot {
  readonly id: number
  readonly baseGfn: Gfn
  readonly npages: number
  /** First byte of the slot in the mm (Linux: userspace_addr). */
  readonly userspaceAddr: Hva
  readonly flags: number
  readonly memory: SlotMemory

  constructor(id: number, baseGfn: Gfn, npages: number, userspaceAddr: Hva, flags: number, memory: SlotMemory) {
    this.id = id
    this.baseGfn = baseGfn
    this.npages = npages
    this.userspaceAddr = userspaceAddr
    this.flags = flags
    this.memory = memory
  }

  get isInvalid(): boolean {
    return (this.flags & KVM_MEMSLOT_INVALID) !== 0
  }

  get isReadonly(): boolean {
    return (this.flags & KVM_MEM_READONLY) !== 0
  }

  get logsDirtyPages(): boolean {
    return (this.flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0
  }

  /** First guest frame behind the slot. */
  get endGfn(): number {
    return this.baseGfn + this.npages
  }

  /** First byte of the mm behind the slot. */
  get endHva(): number {
    return this.userspaceAddr + this.npages * PAGE_SIZE
  }

  contains(frame: number): boolean {
    return frame >= this.baseGfn && frame < this.baseGfn + this.npages
  }

  hvaOf(frame: Gfn): Hva {
    return hva(this.userspaceAddr + (frame - this.baseGfn) * PAGE_SIZE)
  }

  /** The guest frame that holds a byte of the mm inside this slot. */
  gfnOfHva(address: number): Gfn {
    return gfn(this.baseGfn + Math.floor((address - this.userspaceAddr) / PAGE_SIZE))
  }

  with(flags: number): Memslot {
    return new Memslot(this.id, this.baseGfn, this.npages, this.userspaceAddr, flags, this.memory)
  }
}

/** One version of the table. Immutable but for `retired`. */
export class Memslots {
  /** Counts published versions; equality tells whether anything changed in between. */
  readonly generation: number
  readonly byGfn: readonly Memslot[]
  /** The same slots in the order of their host addresses. */
  readonly byHva: readonly Memslot[]
  /** Largest end of a host range up to and including this position of `byHva`. */
  private readonly reach: readonly number[]
  /** True while the change that published this table is not complete (Linux: bit 63 of the generation). */
  updateInProgress = false
  private retired = false

  constructor(generation: number, slots: readonly Memslot[]) {
    this.generation = generation
    this.byGfn = slots.toSorted((a, b) => a.baseGfn - b.baseGfn)
    this.byHva = slots.toSorted((a, b) => a.userspaceAddr - b.userspaceAddr || a.id - b.id)
    let reach = 0
    this.reach = this.byHva.map((slot) => (reach = Math.max(reach, slot.endHva)))
  }

  /** The slot that holds a guest frame, or null for a hole. */
  lookup(frame: number): Memslot | null {
    this.mustBeCurrent()
    let low = 0
    let high = this.byGfn.length - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const slot = this.byGfn[middle]!
      if (frame < slot.baseGfn) high = middle - 1
      else if (frame >= slot.endGfn) low = middle + 1
      else return slot
    }
    return null
  }

  find(id: number): Memslot | null {
    this.mustBeCurrent()
    for (const slot of this.byGfn) if (slot.id === id) return slot
    return null
  }

  /** The slot other than `id` that shares a guest frame with [start, end), or null. */
  overlapping(start: number, end: number, id: number): Memslot | null {
    for (const slot of this.byGfn) {
      if (slot.id !== id && slot.baseGfn < end && slot.endGfn > start) return slot
    }
    return null
  }

  /** Position in `byHva` of the next slot at or after `from` that shares a byte with [start, end), or -1. */
  nextInHva(from: number, start: number, end: number): number {
    this.mustBeCurrent()
    let at = from
    if (at === 0) {
      let high = this.byHva.length
      while (at < high) {
        const middle = (at + high) >>> 1
        if (this.reach[middle]! > start) high = middle
        else at = middle + 1
      }
    }
    for (; at < this.byHva.length; at++) {
      const slot = this.byHva[at]!
      if (slot.userspaceAddr >= end) return -1
      if (slot.endHva > start) return at
    }
    return -1
  }

  /** This table with the slot of the same id replaced, added, or (null) removed. */
  replace(generation: number, id: number, slot: Memslot | null): Memslots {
    const rest = this.byGfn.filter((other) => other.id !== id)
    return new Memslots(generation, slot === null ? rest : [...rest, slot])
  }

  /** Called when the grace period after its replacement has ended. */
  retire(): void {
    this.retired = true
  }

  private mustBeCurrent(): void {
    if (this.retired) {
      throw new KernelBug(`memslot table of generation ${this.generation} used after its grace period`, 'I10')
    }
  }
}
