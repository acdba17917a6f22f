/**
 * Page table pages: finding, making, linking, zapping and recycling them (arch/x86/kvm/mmu/mmu.c:
 * kvm_mmu_find_shadow_page, link_shadow_page, kvm_mmu_prepare_zap_page, kvm_mmu_commit_zap_page, 6.12).
 *
 * R1 Zapping is two steps: unlink and collect under mmuLock; flush every vCPU, then free. A page that a vCPU may still
 *    be walking is never freed.
 * R2 A page that is some vCPU's root only becomes invalid; it is freed when the last such vCPU has let go.
 * R3 Shadow pages are at most `limit`; making room zaps those that were not used for longest.
 */
import { KernelBug, gfn as toGfn, hex, pfn as toPfn } from '../base/index.ts'
import type { Gfn, Pfn, ZapCause } from '../base/index.ts'
import { PTE_V, isLeafPte, isTablePte, pteHigh, pteLow, ptePpn } from '../hardware/index.ts'
import { MmuPage } from './mmu-page.ts'
import type { MmuPageRole } from './mmu-page.ts'
import { KVM_REQ_FREE_OBSOLETE_ROOTS } from './requests.ts'
import type { Vm } from './vm.ts'

const sameRole = (a: MmuPageRole, b: MmuPageRole): boolean =>
  a.level === b.level &&
  a.direct === b.direct &&
  a.access === b.access &&
  a.frames === b.frames &&
  a.guestLeaf === b.guestLeaf

/** Protected by mmuLock. */
export class MmuPages {
  /** Valid pages by the guest frame that they were made for. */
  private readonly byGfn: Map<number, MmuPage[]> = new Map<number, MmuPage[]>()
  /** Pages in use, invalid roots included, and the frames in them. */
  pages = 0
  frames = 0
  /** Counts uses, for recycling. */
  private clock = 0
  protected readonly vm: Vm

  constructor(vm: Vm) {
    this.vm = vm
  }

  /** The valid page of this role, or null. */
  find(frame: Gfn, role: MmuPageRole): MmuPage | null {
    for (const page of this.byGfn.get(frame) ?? []) {
      if (sameRole(page.role, role)) {
        this.touch(page)
        return page
      }
    }
    return null
  }

  /** Is this the page of that guest frame and role? */
  isFor(page: MmuPage, frame: number, role: MmuPageRole): boolean {
    return page.gfn === frame && sameRole(page.role, role)
  }

  /** All valid pages that shadow the guest page table at `frame`. */
  shadowing(frame: number): MmuPage[] {
    return (this.byGfn.get(frame) ?? []).filter((page) => !page.role.direct)
  }

  /** Every page, valid or not, once. */
  all(): MmuPage[] {
    return [...new Set(this.vm.sptes.pages.values())]
  }

  /** Makes a page, all entries absent. */
  create(frame: Gfn, role: MmuPageRole, pfn: Pfn): MmuPage {
    const page = new MmuPage(pfn, frame, role)
    for (let i = 0; i < role.frames; i++) {
      this.vm.memory.zeroFrame(toPfn(pfn + i))
      this.vm.sptes.pages.set(pfn + i, page)
    }
    const siblings = this.byGfn.get(frame)
    if (siblings === undefined) this.byGfn.set(frame, [page])
    else siblings.push(page)
    this.touch(page)
    this.pages++
    this.frames += role.frames
    this.vm.stats.shadowPagesBuilt++
    const { trace } = this.vm
    if (trace.on) {
      const { level, direct } = role
      trace.emit({ name: 'kvm_mmu_get_page', vm: this.vm.id, pfn, gfn: frame, level, direct })
    }
    return page
  }

  /** Makes an absent entry point to a page. @param flags bits besides V, such as PTE_G */
  link(parent: MmuPage, index: number, child: MmuPage, flags = 0): void {
    const sptep = parent.sptep(index)
    if (this.vm.sptes.read(sptep) !== 0) throw new KernelBug(`spte ${hex(sptep)} linked while it is present`)
    if (parent.invalid) throw new KernelBug(`spte ${hex(sptep)} linked in a table that has been given up`, 'I2')
    this.vm.memory.writePte(sptep, pteLow(child.pfn, PTE_V | flags), pteHigh(child.pfn))
    parent.used++
    child.parents.push(sptep)
  }

  /** The page that an entry points to, or null. */
  childAt(parent: MmuPage, index: number): MmuPage | null {
    const low = this.vm.sptes.read(parent.sptep(index))
    if (!isTablePte(low)) return null
    const child = this.vm.sptes.pages.get(ptePpn(low, 0))
    if (child === undefined) throw new KernelBug(`an entry of table ${hex(parent.pfn)} points to no table`, 'I2')
    return child
  }

  /** Clears an entry that points to a page. @returns that page: a flush is due */
  unlink(parent: MmuPage, index: number): MmuPage {
    const child = this.childAt(parent, index)
    if (child === null) throw new KernelBug(`entry ${index} of table ${hex(parent.pfn)} points to no table`)
    const sptep = parent.sptep(index)
    this.vm.memory.writePte(sptep, 0, 0)
    parent.used--
    const at = child.parents.indexOf(sptep)
    if (at < 0) throw new KernelBug(`table ${hex(child.pfn)} does not know its parent entry ${hex(sptep)}`)
    child.parents.splice(at, 1)
    return child
  }

  /**
   * Unlinks a page from everything and empties it; collects what is to be freed after a flush.
   * Direct pages below it that nothing else points to go with it; shadow pages stay, to be found again.
   */
  prepareZap(page: MmuPage, doomed: MmuPage[], cause: ZapCause): void {
    if (page.invalid) return
    page.invalid = true
    const { trace } = this.vm
    if (trace.on) trace.emit({ name: 'kvm_mmu_prepare_zap_page', vm: this.vm.id, pfn: page.pfn, gfn: page.gfn })
    for (let index = 0; page.used > 0 && index < page.entries; index++) {
      const sptep = page.sptep(index)
      const low = this.vm.sptes.read(sptep)
      if (isLeafPte(low)) this.vm.sptes.dropSpte(sptep, cause)
      else if (isTablePte(low)) {
        this.unlinkOrZap(page, index, doomed, cause)
      }
    }
    while (page.parents.length > 0) {
      const parent = this.vm.sptes.pageOf(page.parents[0]!)
      this.unlink(parent, parent.indexOf(page.parents[0]!))
    }
    this.forget(page)
    this.vm.stats.shadowPagesZapped++
    if (!page.role.direct) this.vm.mmu.unaccountShadowed(page)
    if (page.rootCount === 0) doomed.push(page)
    else this.obsoleteRoot(page)
  }

  /** Clears an entry that points to a page; a direct page that nothing else points to is zapped. A flush is due. */
  unlinkOrZap(parent: MmuPage, index: number, doomed: MmuPage[], cause: ZapCause): void {
    const child = this.unlink(parent, index)
    if (child.role.direct && child.parents.length === 0 && child.rootCount === 0) this.prepareZap(child, doomed, cause)
  }

  /** Flushes every vCPU, then frees the collected pages. Under mmuLock; may wait for vCPUs. */
  async commitZap(doomed: MmuPage[]): Promise<void> {
    if (doomed.length === 0) return
    await this.vm.flush.remoteAll()
    for (const page of doomed) this.free(page)
    doomed.length = 0
  }

  /** One vCPU fewer uses this root; an invalid one is freed with its last user. */
  putRoot(page: MmuPage): void {
    if (page.rootCount <= 0) throw new KernelBug(`root ${hex(page.pfn)} put with count ${page.rootCount}`, 'I14')
    page.rootCount--
    if (page.rootCount === 0 && page.invalid) this.free(page)
  }

  /**
   * Makes sure that `needed` more pages fit under the limit, zapping those not used for longest.
   * Roots in use stay. Waits for vCPUs when something was zapped.
   */
  async makeRoom(needed: number): Promise<void> {
    const limit = this.vm.options.shadowPageLimit
    if (this.pages + needed <= limit) return
    const doomed: MmuPage[] = []
    const candidates = this.all()
      .filter((page) => !page.invalid && page.rootCount === 0)
      .toSorted((a, b) => a.lastUsed - b.lastUsed)
    for (const page of candidates) {
      if (this.pages - doomed.length + needed <= limit) break
      if (page.invalid) continue
      this.prepareZap(page, doomed, 'recycle')
      this.vm.stats.shadowPagesRecycled++
    }
    await this.commitZap(doomed)
  }

  /** vCPUs that run on it load another root before they enter again. */
  protected obsoleteRoot(page: MmuPage): void {
    for (const vcpu of this.vm.vcpus) {
      if (vcpu.root === page) this.vm.requests.post(vcpu.id, KVM_REQ_FREE_OBSOLETE_ROOTS)
    }
  }

  /** Notes a use. Only where recycling will ask: a number that grows for ever would make every state a new one. */
  touch(page: MmuPage): void {
    if (this.vm.options.shadowPageLimit !== Infinity) page.lastUsed = ++this.clock
  }

  private forget(page: MmuPage): void {
    const siblings = this.byGfn.get(page.gfn) ?? []
    siblings.splice(siblings.indexOf(page), 1)
    if (siblings.length === 0) this.byGfn.delete(page.gfn)
  }

  private free(page: MmuPage): void {
    const { frames } = page.role
    if (page.used !== 0) {
      throw new KernelBug(`table ${hex(page.pfn)} of vm ${this.vm.id} is freed with ${page.used} entries in it`, 'I2')
    }
    for (let i = 0; i < frames; i++) this.vm.sptes.pages.delete(page.pfn + i)
    this.pages--
    this.frames -= frames
    const { trace } = this.vm
    if (trace.on) trace.emit({ name: 'kvm_mmu_free_page', vm: this.vm.id, pfn: page.pfn })
    this.vm.backing.freeTable(toPfn(page.pfn), frames === 4 ? 2 : 0)
  }
}

/** First guest frame that a direct table at `level` maps, if it maps `frame`. */
export const tableBase = (frame: number, level: number): Gfn => toGfn(frame - (frame % 2 ** (9 * (level + 1))))
