/**
 * Keeping shadow pages in step with the guest page tables that they were made from (arch/x86/kvm/mmu/mmu.c
 * account_shadowed, mmu_try_to_unsync_pages, kvm_mmu_sync_roots, kvm_mmu_track_write, 6.12).
 *
 * A guest frame that has shadow pages is write-protected. A store to it traps, and then
 * - it is carried out and the sptes made from that PTE are dropped (trap), or
 * - if it holds only leaf tables, the shadow pages go out of sync: the guest may write freely until its next fence,
 *   which compares every entry again (unsync).
 *
 * R1 A frame is protected, and every TLB flushed, before its PTEs are read for the shadow page.
 * R2 A shadow page is marked out of sync before the frame becomes writable.
 * R3 A shadow page that is out of sync is synced before it is linked below another.
 */
import { PAGE_SIZE, gfn, hpa } from '../base/index.ts'
import { PTE_A, PTE_D, PTE_G, PTE_RWX, PTE_U, PTE_W, isLeafPte, pageWithinLeaf, ptePpn } from '../hardware/index.ts'
import type { Memslot } from './memslots.ts'
import type { MmuPage } from './mmu-page.ts'
import { isLeafSpte, isPresentSpte } from './spte.ts'
import type { Vm } from './vm.ts'

/** Stores to an upper-level table, with no use of it in between, after which its shadow page is given up. */
const WRITE_FLOODING = 3

/** Protected by mmuLock. */
export class ShadowSync {
  /** Shadow pages that the guest may be writing under. */
  readonly unsync: Set<MmuPage> = new Set<MmuPage>()
  protected readonly vm: Vm

  constructor(vm: Vm) {
    this.vm = vm
  }

  /** A shadow page was made from the table at `frame`: stores to it trap from here on (R1). */
  async account(slot: Memslot, frame: number, level: number): Promise<void> {
    const { vm } = this
    if (this.isTrapped(level)) this.count(slot, frame, 1)
    if (vm.sptes.writeProtectGfns(slot, frame, frame + 1, true) > 0) await vm.flush.remoteGfns(frame, 1)
  }

  /** A shadow page is gone. */
  unaccount(page: MmuPage): void {
    this.unsync.delete(page)
    const slot = this.vm.memslots.active.lookup(page.gfn)
    if (slot !== null && this.isTrapped(page.role.level)) this.count(slot, page.gfn, -1)
  }

  /** Does a store to the frame trap for good? */
  isTracked(slot: Memslot, frame: number): boolean {
    const { tracked } = slot.memory
    return tracked !== null && tracked[frame - slot.baseGfn] !== 0
  }

  /**
   * May the frame become writable? For a store, leaf tables give up being in sync (R2).
   * @returns whether it may
   */
  allowWrite(slot: Memslot, frame: number, isWrite: boolean): boolean {
    if (this.isTracked(slot, frame)) return false
    for (const page of this.vm.pages.shadowing(frame)) {
      if (page.unsync) continue
      if (!isWrite) return false
      this.markUnsync(page)
    }
    return true
  }

  /** The guest may write under the page from here on (kvm_unsync_page). */
  markUnsync(page: MmuPage): void {
    page.unsync = true
    this.unsync.add(page)
    this.vm.stats.unsynced++
    const { trace, id } = this.vm
    if (trace.on) trace.emit({ name: 'kvm_mmu_unsync_page', vm: id, pfn: page.pfn, gfn: page.gfn })
  }

  /** Compares every page that is out of sync with its table again. Waits for vCPUs. */
  async syncAll(): Promise<void> {
    const { vm } = this
    if (this.unsync.size === 0) return
    const pages = [...this.unsync]
    let protect = 0
    for (const page of pages) protect += this.protect(page)
    if (protect > 0) await vm.flush.remoteAll()
    let dropped = 0
    for (const page of pages) dropped += this.syncPage(page)
    if (dropped > 0) await vm.flush.remoteAll()
  }

  async sync(page: MmuPage): Promise<void> {
    const { vm } = this
    if (!page.unsync) return
    if (this.protect(page) > 0) await vm.flush.remoteGfns(page.gfn, 1)
    if (this.syncPage(page) > 0) await vm.flush.remoteAll()
  }

  /**
   * The table at `frame` has been stored to by the hypervisor: whatever was made from those bytes goes.
   * Waits for vCPUs.
   */
  async trackWrite(frame: number, offset: number, size: number): Promise<void> {
    const { vm } = this
    if (vm.trace.on) vm.trace.emit({ name: 'kvm_mmu_track_write', vm: vm.id, gpa: frame * PAGE_SIZE + offset, size })
    const doomed: MmuPage[] = []
    let flush = false
    for (const page of vm.pages.shadowing(frame)) {
      if (page.role.level > 0 && ++page.writeFlooding >= WRITE_FLOODING) {
        vm.pages.prepareZap(page, doomed, 'gpte-write')
        continue
      }
      const last = Math.floor((offset + size - 1) / 8)
      for (let index = Math.floor(offset / 8); index <= last; index++) {
        const low = vm.sptes.read(page.sptep(index))
        if (isLeafSpte(low)) flush = vm.sptes.dropSpte(page.sptep(index), 'gpte-write') || flush
        else if (isPresentSpte(low)) {
          vm.pages.unlinkOrZap(page, index, doomed, 'gpte-write')
          flush = true
        }
      }
    }
    if (doomed.length > 0) await vm.pages.commitZap(doomed)
    else if (flush) await vm.flush.remoteAll()
  }

  /** Gives up every shadow page of a table, so that the guest may write it. Waits for vCPUs. */
  async unprotect(frame: number): Promise<void> {
    const { vm } = this
    const doomed: MmuPage[] = []
    const pages = vm.pages.shadowing(frame)
    for (const page of pages) vm.pages.prepareZap(page, doomed, 'gpte-write')
    if (doomed.length > 0) await vm.pages.commitZap(doomed)
    else if (pages.length > 0) await vm.flush.remoteAll()
  }

  private isTrapped(level: number): boolean {
    return level > 0 || this.vm.options.guestTables === 'trap'
  }

  private count(slot: Memslot, frame: number, by: 1 | -1): void {
    const { memory } = slot
    const tracked = (memory.tracked ??= new Uint16Array(slot.npages))
    const at = frame - slot.baseGfn
    const before = tracked[at]!
    tracked[at] = before + by
    if (before === 0) memory.trackedPages++
    else if (before + by === 0) memory.trackedPages--
  }

  protected protect(page: MmuPage): number {
    const slot = this.vm.sptes.slotOf(page.gfn)
    return this.vm.sptes.writeProtectGfns(slot, page.gfn, page.gfn + 1, true)
  }

  /** @returns how many sptes no longer agreed with their PTE and went */
  protected syncPage(page: MmuPage): number {
    const { vm } = this
    const slot = vm.sptes.slotOf(page.gfn)
    const table = vm.backing.peekPage(slot.hvaOf(gfn(page.gfn)), false)
    let dropped = 0
    for (let index = 0; index < page.entries; index++) {
      const sptep = page.sptep(index)
      const spte = vm.sptes.read(sptep)
      if (!isPresentSpte(spte)) continue
      if (table !== -1 && this.agrees(page, index, spte, table)) continue
      if (vm.sptes.dropSpte(sptep, 'gpte-sync')) dropped++
    }
    page.unsync = false
    this.unsync.delete(page)
    vm.stats.synced++
    if (vm.trace.on) vm.trace.emit({ name: 'kvm_mmu_sync_page', vm: vm.id, pfn: page.pfn, gfn: page.gfn })
    return dropped
  }

  /** Would this leaf spte be made from the guest's PTE as it is now, or grant less? */
  private agrees(page: MmuPage, index: number, spte: number, table: number): boolean {
    const at = hpa(table * PAGE_SIZE + index * 8)
    const low = this.vm.memory.readLow(at)
    const high = this.vm.memory.readHigh(at)
    if (!isLeafPte(low) || (low & PTE_A) === 0 || high >>> 22 !== 0) return false
    const frame = ptePpn(low, high)
    if (pageWithinLeaf(frame, page.role.level) !== 0 || frame !== page.gfnOf(index)) return false
    const granted = gpteFlags(low)
    return (spte & ~granted & (PTE_RWX | PTE_U)) === 0 && ((spte ^ granted) & (PTE_U | PTE_G)) === 0
  }
}

/** What a guest leaf lets an spte allow: W only once D is set, so that the first store is seen. */
export function gpteFlags(low: number): number {
  const flags = low & (PTE_RWX | PTE_U | PTE_G)
  return (low & PTE_D) === 0 ? flags & ~PTE_W : flags
}
