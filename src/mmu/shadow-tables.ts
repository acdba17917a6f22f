/**
 * Building shadow tables along a walk of the guest's own (arch/x86/kvm/mmu/paging_tmpl.h FNAME(fetch), 6.12).
 *
 * R1 A table page is found by the guest frame of the table it shadows and its level, so roots share what the guest shares.
 * R2 While linking, each guest PTE is read again after the page that holds it has been write-protected: a fault whose
 *    guest tables changed meanwhile starts over (I10).
 * R3 A leaf allows what the guest's leaf and the host page both allow; W only once the guest's D is set.
 * R4 A large leaf of the guest is mapped by tables of small pages, which are found by its permissions as well.
 */
import { PAGE_SIZE, gfn, hpa } from '../base/index.ts'
import { PTE_G, PTE_RWX, PTE_U, PTE_W, tableIndex } from '../hardware/index.ts'
import type { FaultedPage } from './backing.ts'
import type { GuestWalk } from './guest-walk.ts'
import type { Memslot } from './memslots.ts'
import type { MmuPage, MmuPageRole } from './mmu-page.ts'
import { leafFlags } from './page-fault.ts'
import type { PageFault } from './page-fault.ts'
import { gpteFlags } from './shadow-sync.ts'
import type { ShadowSync } from './shadow-sync.ts'
import { isLeafSpte } from './spte.ts'
import type { Vcpu } from './vcpu.ts'
import type { Vm } from './vm.ts'

export const shadowRole = (level: number): MmuPageRole => ({
  level,
  direct: false,
  access: 0,
  frames: 1,
  guestLeaf: 0,
})

/** One walk being linked. */
interface Link {
  readonly vcpu: Vcpu
  readonly walk: GuestWalk
  /** Tables that were unlinked on the way, to be freed after the flush. */
  readonly doomed: MmuPage[]
  /** Something was cleared that a TLB may know. */
  flush: boolean
}

/** Everything here runs under mmuLock; what is async may wait for vCPUs. */
export class ShadowTables {
  protected readonly vm: Vm
  protected readonly sync: ShadowSync

  constructor(vm: Vm, sync: ShadowSync) {
    this.vm = vm
    this.sync = sync
  }

  /** The shadow page of a guest table, made if need be; null when no slot holds the table. */
  async shadowPage(vcpu: Vcpu, frame: number, role: MmuPageRole): Promise<MmuPage | null> {
    const { vm } = this
    const found = vm.pages.find(gfn(frame), role)
    if (found !== null) return found
    const slot = vm.memslots.active.lookup(frame)
    if (slot === null || slot.isInvalid) return null
    const page = vm.pages.create(gfn(frame), role, vcpu.cache.take())
    await this.sync.account(slot, frame, role.level)
    return page
  }

  /**
   * Maps a resolved page where the walk arrived.
   * Preconditions: the vCPU's root is the one for its satp; the fault passed the staleness check.
   * @returns null, or why the fault has to start over
   */
  async map(fault: PageFault, walk: GuestWalk, slot: Memslot, page: FaultedPage): Promise<'gpte' | 'root' | null> {
    const top = walk.mode.levels - 1
    let table = fault.vcpu.root!
    if (walk.tableFrames[top] !== table.gfn) return 'root'
    if (this.gpteChanged(walk, top)) return 'gpte'
    const link: Link = { vcpu: fault.vcpu, walk, doomed: [], flush: false }
    for (let level = top; level > walk.leafLevel; level--) {
      const child = await this.childTable(link, table, level)
      if (child === null) {
        await this.finish(link)
        return 'gpte'
      }
      table = child
    }
    for (let level = walk.leafLevel; level > 0; level--) table = this.directTable(link, table, level)
    this.setLeaf(link, fault, slot, page, table)
    await this.finish(link)
    return null
  }

  private async finish(link: Link): Promise<void> {
    const { vm } = this
    if (link.doomed.length > 0) await vm.pages.commitZap(link.doomed)
    else if (link.flush) await vm.flush.remoteAll()
  }

  /** The shadow of the table that the guest's PTE at `level` points to, linked; null when the guest changed it (R2). */
  private async childTable(link: Link, table: MmuPage, level: number): Promise<MmuPage | null> {
    const { vm } = this
    const { vcpu, walk } = link
    const index = tableIndex(walk.mode, walk.page, level)
    const frame = walk.tableFrames[level - 1]!
    const role = shadowRole(level - 1)
    const linked = this.clearUnless(link, table, index, frame, role)
    const child = linked ?? (await this.shadowPage(vcpu, frame, role))
    if (child === null) return null
    if (linked === null) await this.sync.sync(child)
    child.writeFlooding = 0
    if (this.gpteChanged(walk, level - 1)) return null
    if (linked === null) vm.pages.link(table, index, child, walk.low[level]! & PTE_G)
    return child
  }

  /** A table of smaller pages below a large leaf of the guest (R4). */
  private directTable(link: Link, table: MmuPage, level: number): MmuPage {
    const { vm } = this
    const { vcpu, walk } = link
    const index = tableIndex(walk.mode, walk.page, level)
    const frame = walk.frame - (walk.frame % 2 ** (9 * level))
    const access = gpteFlags(walk.low[walk.leafLevel]!)
    const role: MmuPageRole = { level: level - 1, direct: true, access, frames: 1, guestLeaf: walk.leafLevel }
    const linked = this.clearUnless(link, table, index, frame, role)
    if (linked !== null) return linked
    const child = vm.pages.find(gfn(frame), role) ?? vm.pages.create(gfn(frame), role, vcpu.cache.take())
    vm.pages.link(table, index, child)
    return child
  }

  /** The page that the entry points to if it is the wanted one; else the entry is cleared. */
  private clearUnless(link: Link, table: MmuPage, index: number, frame: number, role: MmuPageRole): MmuPage | null {
    const { vm } = this
    const sptep = table.sptep(index)
    if (isLeafSpte(vm.sptes.read(sptep))) link.flush = vm.sptes.dropSpte(sptep, 'gpte-write') || link.flush
    const child = vm.pages.childAt(table, index)
    if (child === null) return null
    if (vm.pages.isFor(child, frame, role)) return child
    vm.pages.unlinkOrZap(table, index, link.doomed, 'gpte-write')
    link.flush = true
    return null
  }

  private setLeaf(link: Link, fault: PageFault, slot: Memslot, page: FaultedPage, table: MmuPage): void {
    const { vm } = this
    const { walk } = link
    const guest = gpteFlags(walk.low[walk.leafLevel]!)
    const host = leafFlags(fault, slot, page, !this.sync.allowWrite(slot, fault.frame, fault.isWrite))
    const rights = host & guest & PTE_RWX
    const flags = (host & ~(PTE_RWX | PTE_U)) | rights | (guest & (PTE_U | PTE_G))
    const index = tableIndex(walk.mode, walk.page, 0)
    link.flush = vm.sptes.setLeaf(table, index, slot, fault.frame, page.pfn, flags) || link.flush
    if ((rights & PTE_W) !== 0) vm.dirtyLog.markPageDirty(slot, fault.frame)
  }

  /** Is the guest's PTE no longer the one that the walk read? An unreadable one counts as changed. */
  protected gpteChanged(walk: GuestWalk, level: number): boolean {
    const { vm } = this
    const frame = gfn(walk.tableFrames[level]!)
    const slot = vm.memslots.active.lookup(frame)
    if (slot === null) return true
    const pfn = vm.backing.peekPage(slot.hvaOf(frame), false)
    if (pfn === -1) return true
    const at = hpa(pfn * PAGE_SIZE + tableIndex(walk.mode, walk.page, level) * 8)
    return vm.memory.readLow(at) !== walk.low[level] || vm.memory.readHigh(at) !== walk.high[level]
  }
}
