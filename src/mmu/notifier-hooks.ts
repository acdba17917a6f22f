/**
 * What the VM does when its mm changes (virt/kvm/kvm_main.c kvm_mmu_notifier_*, 6.12; change_pte as of 6.1).
 *
 * | hook | waits for |
 * |---|---|
 * | invalidateRangeStart | mmuLock, then every vCPU that is in guest mode |
 * | invalidateRangeEnd | mmuLock |
 * | clearFlushYoung, changePte | the same as start; under the page-table lock |
 * | clearYoung, testYoung | mmuLock |
 * | release | as start, for everything |
 *
 * R1 Start counts, zaps and flushes before it returns; end raises the sequence before it stops counting. No slot hit =
 *    mmuLock is never taken, and start and end agree about that because slots do not change in between.
 * R2 No hook takes a lock of the mm, faults a page in or allocates.
 * R3 A range that is not blockable is handled without sleeping: locks and acknowledgements are spun for. KVM has an end
 *    hook, so its start may not fail.
 */
import { KernelBug } from '../base/index.ts'
import type { Hva } from '../base/index.ts'
import { ptePpn } from '../hardware/index.ts'
import type { MmuNotifierOps, MmuNotifierRange, NotifierMm } from '../notifier/index.ts'
import type { Memslot } from './memslots.ts'
import type { Vm } from './vm.ts'

const NON_BLOCKABLE = 'a non-blockable invalidation'

export class KvmMmuNotifier implements MmuNotifierOps {
  readonly name: string
  protected readonly vm: Vm

  constructor(vm: Vm) {
    this.vm = vm
    this.name = `kvm-${vm.id}`
  }

  async invalidateRangeStart(range: MmuNotifierRange): Promise<number> {
    const { invalidation, sched } = this.vm
    if (sched.contended) await sched.point(invalidation, 'w', 'mn_active_invalidate_count')
    invalidation.active++
    this.invalidatePfnCaches(range.start, range.end)
    if (!range.blockable) sched.enterAtomic(NON_BLOCKABLE)
    await this.zapRange(range)
    if (!range.blockable) sched.leaveAtomic(NON_BLOCKABLE)
    return 0
  }

  async invalidateRangeEnd(range: MmuNotifierRange): Promise<void> {
    const { vm } = this
    const { invalidation, sched } = vm
    if (!range.blockable) sched.enterAtomic(NON_BLOCKABLE)
    const idx = await vm.srcu.readLock()
    if (vm.memslots.active.nextInHva(0, range.start, range.end) !== -1) {
      await this.lockMmu()
      this.endInvalidation(range)
      vm.mmuLock.unlock()
    }
    await vm.srcu.readUnlock(idx)
    if (!range.blockable) sched.leaveAtomic(NON_BLOCKABLE)
    if (invalidation.active === 0) throw new KernelBug('an invalidation of the VM ended that never started', 'I6')
    invalidation.active--
    if (invalidation.active === 0) vm.memslots.invalidationsEnded.wakeAll()
  }

  /** The host gives the page another PTE: sptes follow it, read-only, instead of faulting again. */
  async changePte(_mm: NotifierMm, address: Hva, pte: number): Promise<void> {
    const { vm } = this
    const idx = await vm.srcu.readLock()
    const { active } = vm.memslots
    let at = active.nextInHva(0, address, address + 1)
    if (at !== -1) {
      await this.lockMmu()
      vm.invalidation.bumpSeq()
      this.invalidatePfnCaches(address, address + 1)
      let changed = 0
      let flushFirst = Infinity
      let flushEnd = 0
      for (; at !== -1; at = active.nextInHva(at + 1, address, address + 1)) {
        const slot = active.byHva[at]!
        const frame = slot.gfnOfHva(address)
        const before = vm.stats.changePteRewritten
        const isFlushDue = this.changePteInSlot(slot, frame, pte) !== 0
        changed += vm.stats.changePteRewritten - before
        if (!isFlushDue) continue
        flushFirst = Math.min(flushFirst, frame)
        flushEnd = Math.max(flushEnd, frame + 1)
      }
      if (flushFirst < flushEnd) await vm.flush.remoteGfns(flushFirst, flushEnd - flushFirst)
      if (changed === 0) vm.stats.changePteIgnored++
      vm.mmuLock.unlock()
      if (vm.trace.on) vm.trace.emit({ name: 'kvm_set_spte_hva', vm: vm.id, hva: address, changed })
    }
    await vm.srcu.readUnlock(idx)
  }

  async clearFlushYoung(_mm: NotifierMm, start: Hva, end: Hva): Promise<boolean> {
    return this.age(start, end, true, true)
  }

  async clearYoung(_mm: NotifierMm, start: Hva, end: Hva): Promise<boolean> {
    return this.age(start, end, true, false)
  }

  async testYoung(_mm: NotifierMm, address: Hva): Promise<boolean> {
    return this.age(address, (address + 1) as Hva, false, false)
  }

  /** The mm goes away, or the VM unregisters: drop every translation. Idempotent. */
  async release(): Promise<void> {
    const { vm } = this
    const idx = await vm.srcu.readLock()
    await vm.zapAll('release')
    await vm.srcu.readUnlock(idx)
  }

  /** After the invalidation is counted, before mmuLock. */
  protected invalidatePfnCaches(start: number, end: number): void {
    for (const cache of this.vm.pfnCaches) cache.invalidate(start, end)
  }

  /** Every step of start under locks: every slot that the range touches, mmuLock on the first hit, one flush at the end. */
  protected async zapRange(range: MmuNotifierRange): Promise<void> {
    const { vm } = this
    const { stats } = vm
    stats.invalidationsSeen++
    const idx = await vm.srcu.readLock()
    const { active } = vm.memslots
    let at = active.nextInHva(0, range.start, range.end)
    if (at !== -1) {
      stats.invalidations++
      await this.lockMmu()
      vm.invalidation.begin()
      this.traceBegin(range)
      let zapped = 0
      let [flushFirst, flushEnd] = [Infinity, 0]
      for (; at !== -1; at = active.nextInHva(at + 1, range.start, range.end)) {
        const slot = active.byHva[at]!
        const [first, end] = framesOf(slot, range.start, range.end)
        vm.invalidation.addRange(first, end)
        const dropped = this.zapSlotRange(slot, first, end)
        if (dropped === 0) continue
        zapped += dropped
        flushFirst = Math.min(flushFirst, first)
        flushEnd = Math.max(flushEnd, end)
      }
      this.traceZapped(range, zapped)
      if (zapped > 0) await this.flushZapped(flushFirst, flushEnd - flushFirst)
      vm.mmuLock.unlock()
    }
    await vm.srcu.readUnlock(idx)
  }

  protected zapSlotRange(slot: Memslot, first: number, end: number): number {
    return this.vm.sptes.zapGfns(slot, first, end, 'invalidate')
  }

  /** Under mmuLock: when start returns, no vCPU can use what was zapped. */
  protected async flushZapped(first: number, count: number): Promise<void> {
    await this.vm.flush.remoteGfns(first, count)
  }

  /** Under mmuLock. */
  protected endInvalidation(range: MmuNotifierRange): void {
    const { invalidation, trace } = this.vm
    invalidation.end()
    if (!trace.on) return
    const { seq, inProgress } = invalidation
    const { start, end } = range
    trace.emit({ name: 'kvm_mmu_invalidate_end', vm: this.vm.id, start, end, seq, inProgress })
  }

  /**
   * Rewrites the sptes of one frame, unless some other invalidation of it is open: then they are dropped, for what that
   * one announces may be newer than this PTE (6bdb913f0a70). Under a bracket of its own nothing is left to rewrite.
   */
  protected changePteInSlot(slot: Memslot, frame: number, pte: number): number {
    const { vm } = this
    const own = vm.backing.changePte === 'bracketed' ? 1 : 0
    if (vm.invalidation.inProgress > own && vm.invalidation.covers(frame)) {
      return vm.sptes.zapGfns(slot, frame, frame + 1, 'change_pte')
    }
    return vm.sptes.changePte(slot, frame, ptePpn(pte, 0))
  }

  protected async age(start: Hva, end: Hva, clear: boolean, flush: boolean): Promise<boolean> {
    const { vm } = this
    vm.stats.agingCalls++
    const idx = await vm.srcu.readLock()
    const { active } = vm.memslots
    let young = 0
    let at = active.nextInHva(0, start, end)
    if (at !== -1) {
      await this.lockMmu()
      let [flushFirst, flushEnd] = [Infinity, 0]
      for (; at !== -1; at = active.nextInHva(at + 1, start, end)) {
        const slot = active.byHva[at]!
        const [first, last] = framesOf(slot, start, end)
        const found = vm.sptes.ageGfns(slot, first, last, clear)
        if (found === 0) continue
        young += found
        flushFirst = Math.min(flushFirst, first)
        flushEnd = Math.max(flushEnd, last)
      }
      vm.stats.youngFound += young
      if (flush && young > 0) await vm.flush.remoteGfns(flushFirst, flushEnd - flushFirst)
      this.traceAge(start, end, clear, young > 0)
      vm.mmuLock.unlock()
    } else this.traceAge(start, end, clear, false)
    await vm.srcu.readUnlock(idx)
    return young > 0
  }

  /** The answer, at the moment for which it holds: under mmuLock. */
  private traceAge(start: Hva, end: Hva, clear: boolean, young: boolean): void {
    const { trace, id } = this.vm
    if (!trace.on) return
    if (clear) trace.emit({ name: 'kvm_age_hva', vm: id, start, end, young })
    else trace.emit({ name: 'kvm_test_age_hva', vm: id, hva: start, young })
  }

  /** Takes mmuLock; in a context that may not sleep, by spinning: its holder never waits for memory or an mm lock. */
  protected async lockMmu(): Promise<void> {
    const { mmuLock, sched } = this.vm
    if (!sched.inAtomic || this.vm.backing.pageTableLock === 'spin') return mmuLock.lock()
    while (!mmuLock.tryLock()) {
      await sched.spinUntil(() => !mmuLock.isLocked, {
        why: mmuLock.name,
        holders: () => mmuLock.holders(),
      })
    }
  }

  private traceBegin(range: MmuNotifierRange): void {
    const { trace, id } = this.vm
    if (trace.on) trace.emit({ name: 'kvm_mmu_invalidate_begin', vm: id, start: range.start, end: range.end })
  }

  private traceZapped(range: MmuNotifierRange, zapped: number): void {
    const { trace, id } = this.vm
    if (trace.on) trace.emit({ name: 'kvm_unmap_hva_range', vm: id, start: range.start, end: range.end, zapped })
  }
}

/** Guest frames of a slot that share a byte with [start, end) of the mm: [first, end). */
function framesOf(slot: Memslot, start: number, end: number): readonly [number, number] {
  const from = Math.max(start, slot.userspaceAddr)
  const to = Math.min(end, slot.endHva)
  return [slot.gfnOfHva(from), slot.gfnOfHva(to - 1) + 1]
}
