/**
 * The translation audit: I1, I2, I3, I9 and I10, judged by the real page tables, sptes and TLBs.
 *
 * A mirror of all leaf sptes (spte-mirror.ts) says which of them an event can concern; the verdict reads the host page
 * table, the frame's reference count and the TLB words themselves. Sweeps compare the mirror with the spte tables, so
 * that a change that no event announced is found as well.
 *
 * R1 A translation is left alone while an invalidation of its address is open (`ProtocolAudit.isOpen`).
 * R2 So is one whose host PTE was written by a task that still holds the page-table lock: change_pte without a window
 *    (the seed's form) has that lock for its window. It is judged as soon as the lock is free.
 * R3 A TLB entry of a vCPU that has a flush request pending cannot be used, and is left alone.
 * R4 A TLB may be behind a write-protection while mmuLock is held, and after that as long as the task that wrote it
 *    does nothing but flush: KVM lets a dirty log's flush follow after mmuLock is dropped.
 */
import { PAGE_SIZE, hex } from '../base/index.ts'
import type { TraceEvent } from '../base/index.ts'
import type { AuditedTranslation, AuditedVm, AuditedWorld } from './audited-world.ts'
import type { PageNames } from './event-history.ts'
import type { ProtocolAudit } from './protocol.ts'
import { SpteMirror, pageOf } from './spte-mirror.ts'
import type { Mirrored } from './spte-mirror.ts'
import type { Ledger, Report } from './violation.ts'

export class TranslationAudit {
  private readonly world: AuditedWorld
  private readonly protocol: ProtocolAudit
  private readonly ledger: Ledger
  private readonly report: Report
  private readonly sptes = new SpteMirror()
  /** Invalidations that a VM has counted in and not yet out. */
  private readonly announced: { readonly vm: number; readonly start: number; readonly end: number }[] = []
  /** Host PTEs written since their page-table lock was last seen free. */
  private changed: { readonly mm: number; readonly hva: number }[] = []
  /** Write-protected, with the flush still to come (R4). */
  private readonly protecting: { readonly vm: number; readonly task: string; readonly gfn: number }[] = []

  constructor(world: AuditedWorld, protocol: ProtocolAudit, ledger: Ledger, report: Report) {
    this.world = world
    this.protocol = protocol
    this.ledger = ledger
    this.report = report
  }

  observe(event: TraceEvent, task: string): void {
    // Who ran before is no part of a state: a switch may bring nothing to an end.
    if (this.changed.length > 0 && event.name !== 'sched_switch') this.checkChanged()
    if (this.protecting.length > 0 && !isFlushing(event.name)) this.checkProtected(task)
    switch (event.name) {
      case 'kvm_mmu_set_spte':
        this.set(event)
        return
      case 'kvm_mmu_write_protect': {
        const spte = this.sptes.get(event.sptep)
        if (spte !== undefined) spte.writable = false
        this.protecting.push({ vm: event.vm, task, gfn: event.gfn })
        return
      }
      case 'kvm_mmu_zap_spte':
        this.zap(event)
        return
      case 'kvm_tlb_fill':
        this.fill(event)
        return
      case 'kvm_mmu_invalidate_begin':
        this.announced.push({ vm: event.vm, start: event.start, end: event.end })
        return
      case 'kvm_mmu_invalidate_end':
        this.concluded(event)
        return
      case 'kvm_get_dirty_log':
      case 'kvm_clear_dirty_log':
        this.protected(event.vm, task)
        return
      case 'kvm_flush_remote_tlbs_end':
        this.protected(event.vm, task)
        this.checkTlbs(event.vm)
        return
      case 'mmu_notifier_invalidate_range_end':
        this.checkRange(event.mm, event.start, event.end)
        return
      case 'set_pte':
      case 'clear_pte':
        this.changed.push({ mm: event.mm, hva: event.hva })
        return
      case 'mm_page_free':
        for (let frame = event.pfn; frame < event.pfn + 2 ** event.order; frame++) this.checkFreed(frame)
        return
      case 'mem_store':
        if (event.vcpu >= 0) this.sptes.noteStore(event.mm, event.hva)
        return
      default:
    }
  }

  /** The run has ended: every flush that was still to come should have. */
  finish(): void {
    this.protecting.length = 0
    this.sweep()
  }

  /** Compares every spte and TLB entry of every VM with the host, and the mirror with the spte tables. */
  sweep(): void {
    for (const vm of this.world.vms()) {
      let present = 0
      vm.forEachSpte((found, sptep) => {
        present++
        const mirrored = this.sptes.get(sptep)
        this.ledger.count('I1')
        if (mirrored === undefined || mirrored.pfn !== found.pfn || (found.writable && !mirrored.writable)) {
          this.report(
            'I1',
            `vm ${vm.id}: an spte changed without passing the one place that sets sptes`,
            namesOf(vm, found),
          )
        }
        this.judgeSpte(vm, found)
      })
      const mirrored = this.sptes.countOf(vm.id)
      if (mirrored !== present) {
        this.report('I1', `vm ${vm.id}: ${present} sptes are present, the events leave ${mirrored}`)
      }
      this.checkTlbs(vm.id)
    }
  }

  /** Every page that a leaf maps, or those of a range of the address space. */
  private judgeSpte(vm: AuditedVm, spte: AuditedTranslation, start: number = 0, end: number = Infinity): void {
    for (let page = 0; page < spte.pages; page++) {
      const hva = spte.hva + page * PAGE_SIZE
      if (hva + PAGE_SIZE <= start || hva >= end) continue
      this.judge(vm, { ...spte, gfn: spte.gfn + page, hva, pfn: spte.pfn + page, pages: 1 }, 'spte')
    }
  }

  /** A translation outside any window must be what the host page table says, and its frame allocated. */
  private judge(vm: AuditedVm, found: AuditedTranslation, holder: string): void {
    if (this.protocol.isOpen(vm.mmId, found.hva) || this.isBeingWritten(vm.mmId, found.hva)) return
    this.ledger.count('I1')
    const host = this.world.hostPte(vm.mmId, found.hva)
    if (!host.present) {
      this.report(
        'I1',
        `vm ${vm.id}: ${holder} maps frame ${hex(found.pfn)}, the host maps nothing there`,
        namesOf(vm, found),
      )
    } else if (host.pfn !== found.pfn) {
      this.report(
        'I1',
        `vm ${vm.id}: ${holder} maps frame ${hex(found.pfn)}, the host ${hex(host.pfn)}`,
        namesOf(vm, found),
      )
    }
    this.ledger.count('I2')
    if (!this.world.isAllocated(found.pfn)) {
      this.report('I2', `vm ${vm.id}: ${holder} names frame ${hex(found.pfn)}, which is free`, namesOf(vm, found))
    }
    if (!found.writable) return
    this.ledger.count('I9')
    if (!host.writable) {
      this.report(
        'I9',
        `vm ${vm.id}: ${holder} is writable, the host PTE of frame ${hex(found.pfn)} is not`,
        namesOf(vm, found),
      )
    }
  }

  /** Its host PTE was written by somebody who still holds the page-table lock. */
  private isBeingWritten(mm: number, hva: number): boolean {
    return (
      this.changed.some((change) => change.mm === mm && pageOf(change.hva) === pageOf(hva)) &&
      this.world.isPageTableLocked(mm)
    )
  }

  private set(event: TraceEvent & { name: 'kvm_mmu_set_spte' }): void {
    const vm = this.world.vm(event.vm)
    if (vm === undefined) return
    const { gfn, hva, pfn, writable } = event
    const spte: Mirrored = { vm, gfn, hva, pfn, writable, pages: 512 ** event.level, stored: false }
    this.sptes.set(event.sptep, spte)
    this.ledger.count('I10')
    const current = vm.hvaOf(gfn)
    if (current !== hva && !vm.slotsChanging()) {
      this.report(
        'I10',
        `vm ${vm.id}: spte of gfn ${hex(gfn)} was made for ${hex(hva)}, its slot says ${hex(current)}`,
        namesOf(vm, spte),
      )
    }
    if (this.announced.some((range) => range.vm === vm.id && range.start <= hva && hva < range.end)) {
      this.report(
        'I10',
        `vm ${vm.id}: spte installed while an invalidation of its address is under way`,
        namesOf(vm, spte),
      )
    }
    this.judgeSpte(vm, spte)
  }

  private concluded(event: { vm: number; start: number; end: number }): void {
    this.ledger.count('I6')
    const at = this.announced.findIndex(
      (range) => range.vm === event.vm && range.start === event.start && range.end === event.end,
    )
    if (at >= 0) this.announced.splice(at, 1)
    else
      this.report('I6', `vm ${event.vm}: an invalidation was counted out that was never counted in`, {
        hva: event.start,
      })
  }

  private zap(event: TraceEvent & { name: 'kvm_mmu_zap_spte' }): void {
    const spte = this.sptes.get(event.sptep)
    if (spte === undefined) return
    this.ledger.count('I3')
    if (spte.stored && !event.dirty && !this.knowsOfStore(spte)) {
      this.report('I3', `vm ${spte.vm.id}: spte dropped as clean after a store went through it`, namesOf(spte.vm, spte))
    }
    if (event.dirty && !this.world.isDirty(event.pfn)) {
      this.report(
        'I3',
        `vm ${spte.vm.id}: dirty spte dropped, but frame ${hex(event.pfn)} is not marked dirty`,
        namesOf(spte.vm, spte),
      )
    }
    this.sptes.forget(event.sptep)
  }

  /** Several sptes may map a page, and a store makes one of them dirty: the frame is marked, or another one is left. */
  private knowsOfStore(spte: Mirrored): boolean {
    if (this.world.isDirty(spte.pfn)) return true
    for (const other of this.sptes.mapping(spte.pfn)) if (other !== spte && other.stored) return true
    return false
  }

  /** A TLB entry is made from an spte, and never allows more. */
  private fill(event: TraceEvent & { name: 'kvm_tlb_fill' }): void {
    const vm = this.world.vm(event.vm)
    const hva = vm?.hvaOf(event.gfn) ?? -1
    if (vm === undefined || hva < 0) return
    this.judge(
      vm,
      { gfn: event.gfn, hva, pfn: event.pfn, writable: event.writable, pages: 1 },
      `TLB of vcpu ${event.vcpu}`,
    )
    this.backed(vm, event, hva, event.vcpu, true)
  }

  /** The task has flushed, or says that it has: what it write-protected may be written through no TLB any more. */
  private protected(vm: number, task: string): void {
    for (let i = this.protecting.length - 1; i >= 0; i--) {
      const each = this.protecting[i]!
      if (each.vm === vm && each.task === task) this.protecting.splice(i, 1)
    }
  }

  /** The task does something else: it has flushed, or never will (R4). */
  private checkProtected(task: string): void {
    const mine = this.protecting.filter((each) => each.task === task)
    for (const vm of new Set(mine.map((each) => each.vm))) {
      if (this.world.vm(vm)?.isChanging() === true) continue
      this.protected(vm, task)
      this.checkTlbs(vm)
    }
  }

  private isProtecting(vm: number, gfn: number): boolean {
    return this.protecting.some((each) => each.vm === vm && each.gfn === gfn)
  }

  private backed(
    vm: AuditedVm,
    entry: { gfn: number; pfn: number; writable: boolean },
    hva: number,
    vcpu: number,
    isNew: boolean,
  ): void {
    this.ledger.count('I1')
    const needsWrite = entry.writable && (isNew || !this.isProtecting(vm.id, entry.gfn))
    for (const spte of this.sptes.mapping(entry.pfn)) {
      if (spte.vm.id !== vm.id || (needsWrite && !spte.writable)) continue
      if (spte.gfn + (entry.pfn - spte.pfn) === entry.gfn) return
    }
    const right = entry.writable ? 'a writable' : 'an'
    this.report('I1', `vm ${vm.id}: TLB of vcpu ${vcpu} holds what ${right} spte no longer says`, {
      hva,
      gfn: entry.gfn,
      pfn: entry.pfn,
    })
  }

  private checkTlbs(id: number): void {
    const vm = this.world.vm(id)
    if (vm === undefined) return
    vm.forEachTlbEntry((entry, vcpu) => {
      if (entry.hva < 0 || vm.slotsChanging()) return
      this.judge(vm, entry, `TLB of vcpu ${vcpu}`)
      if (!this.protocol.isOpen(vm.mmId, entry.hva) && !vm.isChanging()) this.backed(vm, entry, entry.hva, vcpu, false)
    })
  }

  /** Judges host PTEs that were written, as soon as nobody is in the middle of writing them. */
  private checkChanged(): void {
    if (this.changed.length === 0) return
    const ready = this.changed.filter(({ mm }) => !this.world.isPageTableLocked(mm))
    if (ready.length === 0) return
    this.changed = this.changed.filter(({ mm }) => this.world.isPageTableLocked(mm))
    for (const { mm, hva } of ready) this.checkRange(mm, hva, hva + PAGE_SIZE)
  }

  /** Everything that maps part of the range, by what the host says now. */
  private checkRange(mm: number, start: number, end: number): void {
    for (const spte of this.sptes.within(mm, start, end)) this.judgeSpte(spte.vm, spte, start, end)
    for (const vm of this.world.vms()) {
      if (vm.mmId !== mm) continue
      vm.forEachTlbEntry((entry, vcpu) => {
        if (start <= entry.hva && entry.hva < end) this.judge(vm, entry, `TLB of vcpu ${vcpu}`)
      })
    }
  }

  private checkFreed(pfn: number): void {
    this.ledger.count('I2')
    for (const spte of this.sptes.mapping(pfn)) {
      this.report('I2', `frame ${hex(pfn)} is freed while an spte of vm ${spte.vm.id} maps it`, namesOf(spte.vm, spte))
    }
    for (const vm of this.world.vms()) {
      vm.forEachTlbEntry((entry, vcpu) => {
        if (entry.pfn !== pfn) return
        this.report(
          'I2',
          `frame ${hex(pfn)} is freed while the TLB of vcpu ${vcpu} of vm ${vm.id} maps it`,
          namesOf(vm, entry),
        )
      })
    }
    for (const vm of this.world.vms()) {
      vm.forEachCachedFrame((cached) => {
        if (cached.pfn !== pfn) return
        this.report('I2', `frame ${hex(pfn)} is freed while vm ${vm.id} keeps its address at hand`, namesOf(vm, cached))
      })
    }
    const thread = this.world.hostTlbNaming(pfn)
    if (thread !== null) this.report('I2', `frame ${hex(pfn)} is freed while the TLB of ${thread} maps it`, { pfn })
  }
}

/** Steps of a flush; and the scheduler's own, in which nothing may be thrown and no task does anything. */
const isFlushing = (name: TraceEvent['name']): boolean =>
  name === 'kvm_flush_remote_tlbs_begin' ||
  name === 'kvm_flush_remote_tlbs_end' ||
  name === 'kvm_make_request' ||
  name === 'kvm_vcpu_kick' ||
  name === 'sched_switch' ||
  name === 'sched_process_exit'

const namesOf = (vm: AuditedVm, { hva, gfn, pfn }: Pick<AuditedTranslation, 'hva' | 'gfn' | 'pfn'>): PageNames => ({
  mm: vm.mmId,
  vm: vm.id,
  hva,
  gfn,
  pfn,
})
