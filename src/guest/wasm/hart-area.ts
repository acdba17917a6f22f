/**
 * The tables of one hart in the memory's scratch area (layout.ts), and what keeps its fast TLBs true.
 *
 * R1 A row of the write table means that a store needs nobody else: it is refused for frames in which another hart has
 *    a reservation, and for those that are watched (code).
 * R2 Whoever runs generated code calls `prepare` before, and `refresh` after everything that may have changed the context.
 * R3 Generated code writes entries of the TLB itself if they stand in the same memory. Whoever it calls or returns to calls
 *    `settle` before anything else.
 */
import { PAGE_SIZE } from '../../base/index.ts'
import type { Pfn } from '../../base/index.ts'
import { Access, TLB_WORDS_PER_ENTRY, WalkPlan } from '../../hardware/index.ts'
import type { PhysicalMemory, StoreWatcher, TlbSet } from '../../hardware/index.ts'
import { HartState, type ReservationTable } from '../hart/index.ts'
import { FastTlb } from './fast-tlb.ts'
import {
  FAST_EXECUTE,
  FAST_READ,
  FAST_WRITE,
  HART_AREA_BYTES,
  LOG_ACCESS_SHIFT,
  WALK_LOG,
  WalkWord,
  Word,
} from './layout.ts'
import { scratchPieces } from './scratch-pieces.ts'

/** What a hart's memory offers to engines that keep copies of translations. A vCPU does. */
export interface TranslationSource {
  readonly tlb: TlbSet
  /** Where the frame of a guest page lies if the TLB knows, else -1. Changes nothing. */
  known(page: number, access: Access): number
  /** While this number stays the same, so does what the TLB answers. */
  contextKey(access: Access): number
  /** How a miss would be resolved now, as far as generated code can do the same. */
  planWalk(plan: WalkPlan): void
  /** Generated code has put an entry into the TLB of an access, from the PTE at a host physical address. */
  adoptEntry(access: Access, index: number, pteAddress: number): void
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
  private readonly plan = new WalkPlan()
  /** The TLB stands in the same memory. */
  private walks = false

  /** @throws KernelError ENOMEM when the scratch area has no room */
  constructor(memory: PhysicalMemory) {
    this.memory = memory
    this.base = scratchPieces(memory.scratch, 'the tables of a hart', { area: HART_AREA_BYTES }).area
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
    this.placeTlb(source.tlb)
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
    if (this.walks) this.publishPlan(source)
  }

  /** Counts the entries that generated code has made since the last time. */
  settle(): void {
    const count = this.i32[WalkWord.logged / 4] as number
    if (count === 0) return
    this.i32[WalkWord.logged / 4] = 0
    for (let at = WALK_LOG / 4; at < WALK_LOG / 4 + count * 2; at += 2) {
      const entry = this.i32[at] as number
      const index = entry & ((1 << LOG_ACCESS_SHIFT) - 1)
      this.source!.adoptEntry((entry >>> LOG_ACCESS_SHIFT) as Access, index, (this.i32[at + 1] as number) >>> 0)
    }
  }

  /** Where the entries are, for generated code. */
  private placeTlb({ read }: TlbSet): void {
    const { i32 } = this
    this.walks = read.words.buffer === this.memory.memory.buffer
    i32[WalkWord.stages / 4] = 0
    i32[WalkWord.tlb / 4] = read.words.byteOffset
    i32[WalkWord.tlbBytes / 4] = read.words.byteLength
    i32[WalkWord.setMask / 4] = read.entries / read.ways - 1
    i32[WalkWord.wayBytes / 4] = read.ways * TLB_WORDS_PER_ENTRY * 4
  }

  private publishPlan(source: TranslationSource): void {
    const { i32, plan } = this
    source.planWalk(plan)
    i32[WalkWord.stages / 4] = plan.stages
    if (plan.stages === 0) return
    i32[WalkWord.levels / 4] = plan.levels
    i32[WalkWord.root / 4] = plan.root | 0
    i32[WalkWord.root / 4 + 1] = (plan.root / 2 ** 32) | 0
    i32[WalkWord.flags / 4] = plan.flags
    i32[WalkWord.asid / 4] = plan.asid
    i32[WalkWord.contexts / 4] = plan.contexts[0] as number
    i32[WalkWord.contexts / 4 + 1] = plan.contexts[1] as number
    i32[WalkWord.contexts / 4 + 2] = plan.contexts[2] as number
    i32[WalkWord.frameLevels / 4] = plan.frameLevels
    i32[WalkWord.frameRoot / 4] = plan.frameRoot
    i32[WalkWord.frameContext / 4] = plan.frameContext
    i32[WalkWord.reserved / 4] = this.reserved ? 1 : 0
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
