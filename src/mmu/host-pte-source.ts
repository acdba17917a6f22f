/**
 * The guest's page tables as the hypervisor reads them under shadow paging: each PTE's page through its hva
 * (arch/x86/kvm/mmu/paging_tmpl.h FNAME(walk_addr_generic), FNAME(update_accessed_dirty_bits), 6.12).
 *
 * R1 Nothing waits: a page that the host has not present is `missed`, with the hva to fault in; then walk again.
 * R2 A and D are set by compare-and-exchange in the page that the mm maps at that moment, never in a frame found earlier.
 */
import { PAGE_SIZE, gfn, hpa, pfn as toPfn } from '../base/index.ts'
import type { Hva } from '../base/index.ts'
import { PteResult } from '../hardware/index.ts'
import type { PageTableWalker, PteSource } from '../hardware/index.ts'
import type { GuestWalk } from './guest-walk.ts'
import { noteImplicitStore } from './vcpu-trace.ts'
import type { Vcpu } from './vcpu.ts'

export class HostPteSource implements PteSource {
  /** Scratch of one walk: nothing in it means anything after a switch point. */
  static readonly opaque = true
  low = 0
  high = 0
  /** After `missed`: what to fault in. */
  missedHva: Hva = 0 as Hva
  /** Where the walk's steps are noted; null when nobody asks. */
  walk: GuestWalk | null = null
  protected readonly vcpu: Vcpu
  private readonly walker: PageTableWalker

  /** @param walker the one that reads through this source */
  constructor(vcpu: Vcpu, walker: PageTableWalker) {
    this.vcpu = vcpu
    this.walker = walker
  }

  load(address: number): PteResult {
    const at = this.locate(address, false)
    if (at < 0) return at === VACANT ? PteResult.vacant : PteResult.missed
    const { memory } = this.vcpu.vm
    this.low = memory.readLow(hpa(at))
    this.high = memory.readHigh(hpa(at))
    this.note(address, this.low, this.high)
    return PteResult.done
  }

  compareAndSet(address: number, low: number, high: number, newLow: number): PteResult {
    const at = this.locate(address, true)
    if (at < 0) return at === VACANT ? PteResult.vacant : PteResult.missed
    const { vcpu } = this
    const { vm } = vcpu
    if (!vm.memory.compareAndSwapPte(hpa(at), low, high, newLow, high)) return PteResult.lost
    const frame = gfn(Math.floor(address / PAGE_SIZE))
    const slot = vm.memslots.active.lookup(frame)
    vm.backing.setPageDirty(toPfn(Math.floor(at / PAGE_SIZE)))
    if (slot !== null) vm.dirtyLog.markPageDirty(slot, frame)
    noteImplicitStore(vcpu, address, at, newLow, high)
    this.note(address, newLow, high)
    return PteResult.done
  }

  /** Host physical address of a PTE's guest physical address, VACANT or MISSED. */
  protected locate(address: number, write: boolean): number {
    const { vm } = this.vcpu
    const frame = gfn(Math.floor(address / PAGE_SIZE))
    const slot = vm.memslots.active.lookup(frame)
    if (slot === null || (write && slot.isReadonly)) return VACANT
    this.missedHva = slot.hvaOf(frame)
    const pfn = vm.backing.peekPage(this.missedHva, write)
    return pfn === -1 ? MISSED : pfn * PAGE_SIZE + (address % PAGE_SIZE)
  }

  private note(address: number, low: number, high: number): void {
    if (this.walk === null) return
    const { level } = this.walker
    this.walk.tableFrames[level] = Math.floor(address / PAGE_SIZE)
    this.walk.low[level] = low
    this.walk.high[level] = high
  }
}

const MISSED = -1
const VACANT = -2
