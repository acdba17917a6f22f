/**
 * Leaf sptes of one VM and their reverse maps (arch/x86/kvm/mmu/mmu.c: mmu_set_spte, drop_spte, kvm_zap_rmap,
 * kvm_set_pte_rmap, kvm_age_rmap, rmap_write_protect, 6.12). Both ways of paging share it.
 *
 * R1 One function drops a leaf spte, `dropSpte`; it hands A and D to the page before the translation is gone (I3, I4).
 * R2 What takes a right away reports that a flush is due; the caller flushes before it releases mmuLock or tells
 *    anybody that it is done.
 * R3 Everything here runs under mmuLock and without a switch point.
 */
import { KernelBug, hex, hpa, pfn as toPfn } from '../base/index.ts'
import type { ZapCause } from '../base/index.ts'
import { PTE_A, PTE_D, PTE_W, leafPages, pteHigh, pteLow, ptePpn } from '../hardware/index.ts'
import { LEAF_LEVELS, rmapIndex } from './memslots.ts'
import type { Memslot } from './memslots.ts'
import type { MmuPage } from './mmu-page.ts'
import { RmapPool } from './rmap.ts'
import {
  SPTE_HOST_WRITABLE,
  SPTE_MMU_WRITABLE,
  isDirtySpte,
  isLeafSpte,
  isPresentSpte,
  isWritableSpte,
  isYoungSpte,
  updateNeedsFlush,
} from './spte.ts'
import type { Vm } from './vm.ts'

const WALK_ZAP = 0
const WALK_AGE = 1
const WALK_TEST_AGE = 2
const WALK_PROTECT = 3
const WALK_PROTECT_TABLE = 4
type WalkKind = 0 | 1 | 2 | 3 | 4

/** Protected by mmuLock. */
export class Sptes {
  readonly pool: RmapPool = new RmapPool()
  /** Table pages by each of their frames. */
  readonly pages: Map<number, MmuPage> = new Map<number, MmuPage>()
  /** Leaf sptes that are present. */
  count = 0
  /** Level of the largest leaf there has ever been. */
  largest = 0
  protected readonly vm: Vm

  constructor(vm: Vm) {
    this.vm = vm
  }

  /** The table page that an entry is in. */
  pageOf(sptep: number): MmuPage {
    const page = this.pages.get(Math.floor(sptep / 4096))
    if (page === undefined) throw new KernelBug(`spte ${hex(sptep)} is in no page table of vm ${this.vm.id}`, 'I2')
    return page
  }

  /** Low half of an entry. */
  read(sptep: number): number {
    return this.vm.memory.readLow(hpa(sptep))
  }

  /**
   * Installs a leaf, or changes the one that is there.
   * Preconditions: no table stands at the entry; slot, frame and pfn passed the retry check under this hold of mmuLock.
   * @param frame first guest frame of the leaf
   * @param flags PTE_* and SPTE_* bits
   * @returns whether a flush is due
   */
  setLeaf(page: MmuPage, index: number, slot: Memslot, frame: number, pfn: number, flags: number): boolean {
    const sptep = page.sptep(index)
    const before = this.read(sptep)
    this.largest = Math.max(this.largest, page.role.level)
    let flush = false
    let kept = 0
    if (isLeafSpte(before)) {
      if (ptePpn(before, 0) !== pfn || page.gfnOf(index) !== frame) flush = this.dropSpte(sptep, 'pfn-changed')
      else kept = before & (PTE_A | PTE_D)
    } else if (isPresentSpte(before)) {
      throw new KernelBug(`spte ${hex(sptep)} points to a table; expected it to be dropped before a leaf is set`)
    }
    const after = pteLow(pfn, flags | kept)
    if (isLeafSpte(this.read(sptep))) flush = updateNeedsFlush(before, after) || flush
    else {
      page.used++
      this.count++
      if (page.gfns !== null) page.gfns[index] = frame
      const { level } = page.role
      slot.memory.rmaps[level]!.add(rmapIndex(slot.baseGfn, frame, level), sptep)
    }
    this.write(sptep, after, pteHigh(pfn))
    const { trace } = this.vm
    if (trace.on) {
      const hva = slot.userspaceAddr + (frame - slot.baseGfn) * 4096
      const writable = isWritableSpte(after)
      trace.emit({
        name: 'kvm_mmu_set_spte',
        vm: this.vm.id,
        sptep,
        gfn: frame,
        hva,
        pfn,
        writable,
        level: page.role.level,
      })
    }
    return flush
  }

  /**
   * Drops a leaf spte: hands its A and D over, clears it, takes it out of its reverse map.
   * @returns true when there was one: a flush is due
   */
  dropSpte(sptep: number, cause: ZapCause): boolean {
    const low = this.read(sptep)
    if (!isLeafSpte(low)) return false
    const page = this.pageOf(sptep)
    const index = page.indexOf(sptep)
    const frame = page.gfnOf(index)
    const { level } = page.role
    const pfn = ptePpn(low, this.vm.memory.readHigh(hpa(sptep)))
    this.handOver(low, pfn, leafPages(level))
    this.write(sptep, 0, 0)
    const slot = this.slotOf(frame)
    slot.memory.rmaps[level]!.remove(rmapIndex(slot.baseGfn, frame, level), sptep)
    if (page.gfns !== null) page.gfns[index] = -1
    page.used--
    this.count--
    this.vm.stats.zapped[cause]++
    const { trace } = this.vm
    if (trace.on) {
      const [young, dirty] = [isYoungSpte(low), isDirtySpte(low)]
      trace.emit({ name: 'kvm_mmu_zap_spte', vm: this.vm.id, sptep, gfn: frame, pfn, level, cause, young, dirty })
    }
    return true
  }

  /** Drops every spte of a range of a slot's guest frames. @returns how many; not 0 = a flush is due */
  zapGfns(slot: Memslot, from: number, to: number, cause: ZapCause): number {
    return this.walk(slot, from, to, WALK_ZAP, cause)
  }

  /**
   * How many sptes of these guest frames were used since A was last cleared?
   * @param clear also clear A: what was young is reported once
   */
  ageGfns(slot: Memslot, from: number, to: number, clear: boolean): number {
    return this.walk(slot, from, to, clear ? WALK_AGE : WALK_TEST_AGE, 'invalidate')
  }

  /**
   * Takes W from every spte of a range.
   * @param forGuestTable the frames are guest page tables: W may not come back without asking
   * @returns how many lost a right; not 0 = a flush is due
   */
  writeProtectGfns(slot: Memslot, from: number, to: number, forGuestTable: boolean): number {
    return this.walk(slot, from, to, forGuestTable ? WALK_PROTECT_TABLE : WALK_PROTECT, 'invalidate')
  }

  /**
   * Points every 4 KiB spte of a guest frame at another frame, read-only (the host replaced the page by one with the
   * same contents); larger ones are dropped.
   * @returns how many were rewritten or dropped; not 0 = a flush is due
   */
  changePte(slot: Memslot, frame: number, pfn: number): number {
    let changed = 0
    const rmap = slot.memory.rmaps[0]!
    const at = rmapIndex(slot.baseGfn, frame, 0)
    for (let ref = rmap.first(at); ref !== 0; ref = rmap.next(ref)) {
      const sptep = rmap.sptep(ref)
      const low = this.read(sptep)
      this.handOver(low, ptePpn(low, 0), 1)
      this.write(sptep, pteLow(pfn, (low & 0x3ff & ~(PTE_W | PTE_D | PTE_A | SPTE_HOST_WRITABLE)) >>> 0), pteHigh(pfn))
      changed++
      this.vm.stats.changePteRewritten++
      const { trace } = this.vm
      if (trace.on) {
        const hva = slot.userspaceAddr + (frame - slot.baseGfn) * 4096
        trace.emit({ name: 'kvm_mmu_set_spte', vm: this.vm.id, sptep, gfn: frame, hva, pfn, writable: false, level: 0 })
      }
    }
    for (let level = 1; level < LEAF_LEVELS; level++) {
      const large = slot.memory.rmaps[level]!
      const index = rmapIndex(slot.baseGfn, frame, level)
      for (let ref = large.first(index); ref !== 0; ref = large.first(index)) {
        this.dropSpte(large.sptep(ref), 'change_pte')
        changed++
      }
    }
    return changed
  }

  /** The slot that a mapped guest frame belongs to. */
  slotOf(frame: number): Memslot {
    const slot = this.vm.memslots.active.lookup(frame)
    if (slot === null) {
      throw new KernelBug(`vm ${this.vm.id} maps guest frame ${hex(frame)}, which is in no memslot`, 'I10')
    }
    return slot
  }

  /** Tells the host what the spte's A and D say. A frame is free to go as soon as it is unmapped everywhere. */
  protected handOver(low: number, pfn: number, pages: number): void {
    if (isDirtySpte(low)) {
      for (let page = 0; page < pages; page++) this.vm.backing.setPageDirty(toPfn(pfn + page))
      this.vm.stats.dirtyHandedOver++
    }
    if (isYoungSpte(low)) {
      for (let page = 0; page < pages; page++) this.vm.backing.markPageAccessed(toPfn(pfn + page))
      this.vm.stats.youngHandedOver++
    }
  }

  protected testAndClearYoung(sptep: number, clear: boolean): boolean {
    const low = this.read(sptep)
    if (!isYoungSpte(low)) return false
    if (clear) this.writeLow(sptep, low & ~PTE_A)
    return true
  }

  /**
   * Takes W from one spte.
   *
   * Skipping is right only if neither W nor what would let a fault set it again without asking is there: an spte that
   * is read-only for the dirty log alone may be writable again, or still be in a TLB as writable.
   */
  protected writeProtect(sptep: number, forGuestTable: boolean): boolean {
    const low = this.read(sptep)
    const taken = forGuestTable ? PTE_W | SPTE_MMU_WRITABLE : PTE_W
    if ((low & taken) === 0) return false
    this.writeLow(sptep, low & ~taken)
    this.vm.stats.writeProtected++
    const { trace } = this.vm
    if (trace.on) {
      const page = this.pageOf(sptep)
      trace.emit({ name: 'kvm_mmu_write_protect', vm: this.vm.id, sptep, gfn: page.gfnOf(page.indexOf(sptep)) })
    }
    return true
  }

  /** Visits the mapped frames of a range at every leaf size, and counts the sptes that the visit affected. */
  private walk(slot: Memslot, from: number, to: number, what: WalkKind, cause: ZapCause): number {
    let affected = 0
    for (let level = 0; level < LEAF_LEVELS; level++) {
      const rmap = slot.memory.rmaps[level]!
      if (rmap.count === 0) continue
      const end = rmapIndex(slot.baseGfn, to - 1, level) + 1
      let at = rmap.nextMapped(rmapIndex(slot.baseGfn, from, level), end)
      while (at !== -1) {
        // A dropped spte takes its place in the chain with it, so zapping begins at the head again.
        for (let ref = rmap.first(at); ref !== 0; ref = what === WALK_ZAP ? rmap.first(at) : rmap.next(ref)) {
          this.vm.stats.rmapVisits++
          if (this.visit(rmap.sptep(ref), what, cause)) affected++
        }
        at = rmap.nextMapped(at + 1, end)
      }
    }
    return affected
  }

  private visit(sptep: number, what: WalkKind, cause: ZapCause): boolean {
    if (what === WALK_ZAP) {
      if (this.dropSpte(sptep, cause)) return true
      throw new KernelBug(`a reverse map of vm ${this.vm.id} names ${hex(sptep)}, which is no leaf spte`, 'I2')
    }
    if (what === WALK_AGE || what === WALK_TEST_AGE) return this.testAndClearYoung(sptep, what === WALK_AGE)
    return this.writeProtect(sptep, what === WALK_PROTECT_TABLE)
  }

  private write(sptep: number, low: number, high: number): void {
    this.vm.memory.writePte(hpa(sptep), low, high)
  }

  private writeLow(sptep: number, low: number): void {
    this.vm.memory.writePte(hpa(sptep), low >>> 0, this.vm.memory.readHigh(hpa(sptep)))
  }
}
