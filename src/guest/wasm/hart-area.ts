/**
 * The tables of one hart in the memory's scratch area (layout.ts), and what keeps its fast TLBs true.
 *
 * R1 A row of the write table means that a store needs nobody else: it is refused for frames in which another hart has
 *    a reservation, and for those that are watched (code).
 * R2 Whoever runs generated code calls `prepare` before, and `refresh` after everything that may have changed the context.
 */
import { KernelError, PAGE_SIZE } from '../../base/index.ts'
import type { Pfn } from '../../base/index.ts'
import { Access } from '../../hardware/index.ts'
import type { PhysicalMemory, StoreWatcher, TlbSet } from '../../hardware/index.ts'
import { HartState, type ReservationTable } from '../hart/index.ts'
import { FastTlb } from './fast-tlb.ts'
import { FAST_EXECUTE, FAST_READ, FAST_WRITE, HART_AREA_BYTES, Word } from './layout.ts'

/** What a hart's memory offers to engines that keep copies of translations. A vCPU does. */
export interface TranslationSource {
  readonly tlb: TlbSet
  /** Where the frame of a guest page lies if the TLB knows, else -1. Changes nothing. */
  known(page: number, access: Access): number
  /** While this number stays the same, so does what the TLB answers. */
  contextKey(access: Access): number
}

/** Context keys of stores while other harts have reservations, apart from all others. */
const RESERVED_KEYS = 2 ** 21
const NO_HART = -1

export class HartArea implements StoreWatcher {
  static readonly opaque = true
  readonly memory: PhysicalMemory
  /** Where the area starts in the memory. */
  readonly base: number
  readonly state: HartState
  readonly read: FastTlb
  readonly write: FastTlb
  readonly execute: FastTlb
  /** The area's words, for those of `Word`: index is the byte offset divided by 4, or by 8. */
  readonly i32: Int32Array
  readonly f64: Float64Array
  private source: TranslationSource | null = null
  private reservations: ReservationTable | null = null
  private hart = NO_HART
  /** Another hart has a reservation. */
  private reserved = false

  /** @throws KernelError ENOMEM when the scratch area has no room */
  constructor(memory: PhysicalMemory) {
    this.memory = memory
    this.base = memory.scratch.allocate(HART_AREA_BYTES)
    if (this.base < 0) {
      throw new KernelError(
        'ENOMEM',
        `no room for the tables of a hart: they take ${HART_AREA_BYTES} of ${memory.scratch.available} scratch bytes; give the kernel more scratchBytes`,
      )
    }
    const { buffer } = memory.memory
    this.state = new HartState(buffer, this.base)
    this.read = new FastTlb(buffer, this.base + FAST_READ, this.base + Word.contextRead)
    this.write = new FastTlb(buffer, this.base + FAST_WRITE, this.base + Word.contextWrite)
    this.execute = new FastTlb(buffer, this.base + FAST_EXECUTE, this.base + Word.contextExecute)
    this.i32 = new Int32Array(buffer, this.base, HART_AREA_BYTES / 4)
    this.f64 = new Float64Array(buffer, this.base, HART_AREA_BYTES / 8)
    memory.watch.attach(this)
  }

  /** Whether a memory has room for the tables of so many harts. */
  static fits(memory: PhysicalMemory, harts: number): boolean {
    return memory.scratch.available >= harts * HART_AREA_BYTES
  }

  /** Follows the TLBs of a source from now on. */
  attach(source: TranslationSource, reservations: ReservationTable, hart: number): void {
    this.source = source
    this.reservations = reservations
    this.hart = hart
    this.forget()
    source.tlb.read.listener = this.read
    source.tlb.write.listener = this.write
    source.tlb.execute.listener = this.execute
  }

  /** Follows them no more; the rows are void. */
  detach(): void {
    const { source } = this
    if (source === null) return
    source.tlb.read.listener = null
    source.tlb.write.listener = null
    source.tlb.execute.listener = null
    this.source = null
  }

  /** Gives the area back. Nobody may use it, or the state in it, after that. */
  release(): void {
    this.detach()
    this.memory.watch.detach(this)
    this.memory.scratch.release(this.base)
  }

  /** Before generated code runs: selects the rows that are good now. */
  prepare(): void {
    const { reservations, hart } = this
    this.reserved = reservations !== null && reservations.live > (reservations.holds(hart) ? 1 : 0)
    this.refresh()
  }

  /** After the context may have changed. */
  refresh(): void {
    const { source } = this
    if (source === null) return
    this.read.select(source.contextKey(Access.read))
    this.execute.select(source.contextKey(Access.execute))
    const key = source.contextKey(Access.write)
    this.write.select(this.reserved ? key + RESERVED_KEYS * (1 + this.reservations!.version) : key)
  }

  frameWatched(pfn: Pfn): void {
    this.write.dropFrame(pfn * PAGE_SIZE)
  }

  frameStored(_pfn: Pfn): void {}

  /** Drops all rows. */
  forget(): void {
    this.read.forget()
    this.write.forget()
    this.execute.forget()
  }

  /**
   * Makes a row of what the TLB knows.
   * @returns whether there is one now; 'unknown' if the TLB does not know the page
   */
  fill(page: number, access: Access): boolean | 'unknown' {
    const base = this.source === null ? -1 : this.source.known(page, access)
    return base < 0 ? 'unknown' : this.fillWith(page, access, base)
  }

  /** The same with the answer that the TLB would give. */
  fillWith(page: number, access: Access, base: number): boolean {
    if (access === Access.read) this.read.fill(page, base)
    else if (access === Access.execute) this.execute.fill(page, base)
    else if (!this.allowsStore(base)) return false
    else this.write.fill(page, base)
    return true
  }

  private allowsStore(base: number): boolean {
    if (this.memory.watch.isWatched((base / PAGE_SIZE) as Pfn)) return false
    return !this.reserved || !this.reservations!.othersReserve(this.hart, base, PAGE_SIZE)
  }
}
