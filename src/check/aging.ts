/**
 * The aging audit (I4): a client never calls a page old that was used since it was last cleared.
 *
 * R1 Needs the accesses of vCPUs; without them it checks nothing and counts nothing.
 * R2 A clearing without a TLB flush (clear_young) leaves translations that no longer set the accessed bit: what is
 *    used through them is not held against the client until the next flush. An aging hook that finds nothing young does
 *    not flush, as in Linux.
 * R3 A young spte that is dropped answers for its page by marking the page itself; after that the client may say old.
 *    So it may about what another vCPU does through its TLB until the flush that follows reaches it.
 * R4 Use belongs to a page, not to an address: when the host puts another page there, the count starts anew.
 * R5 What is known is the same, in whatever order it came: pages are sorted, and nothing is kept of what is over.
 */
import { PAGE_SIZE, hex } from '../base/index.ts'
import type { TraceEvent } from '../base/index.ts'
import type { AuditedWorld } from './audited-world.ts'
import type { Ledger, Report } from './violation.ts'

const pageOf = (address: number): number => Math.floor(address / PAGE_SIZE)

export class AgingAudit {
  private readonly world: AuditedWorld
  private readonly ledger: Ledger
  private readonly report: Report
  /** Pages that a vCPU used since the last clearing. */
  private readonly used = new PagesOfMms()
  /** Pages cleared without a flush (R2). */
  private readonly blind = new PagesOfMms()
  /** Pages whose spte was dropped, and not yet set again (R3). */
  private readonly dropped = new PagesOfMms()
  /** Tasks in a clear_young, which does not flush. */
  private readonly clearing = new Set<string>()

  constructor(world: AuditedWorld, ledger: Ledger, report: Report) {
    this.world = world
    this.ledger = ledger
    this.report = report
  }

  /** @param task who emitted the event */
  observe(event: TraceEvent, task: string): void {
    switch (event.name) {
      case 'mem_load':
      case 'mem_store':
        if (event.vcpu >= 0) this.use(event.mm, pageOf(event.hva))
        return
      case 'mmu_notifier_callout_begin':
        if (event.op === 'clearYoung') this.clearing.add(task)
        return
      case 'mmu_notifier_callout_end':
        this.clearing.delete(task)
        return
      case 'kvm_age_hva':
        this.answer(this.mmOf(event.vm), event.start, event.end, event.young)
        this.cleared(event, !this.clearing.has(task))
        return
      case 'kvm_test_age_hva':
        this.answer(this.mmOf(event.vm), event.hva, event.hva + PAGE_SIZE, event.young)
        return
      case 'kvm_mmu_set_spte':
        this.dropped.delete(this.mmOf(event.vm), pageOf(event.hva))
        this.blind.delete(this.mmOf(event.vm), pageOf(event.hva))
        return
      case 'kvm_mmu_zap_spte':
        this.handedOver(event)
        return
      case 'clear_pte':
      case 'cow_break':
      case 'ksm_merge':
        this.used.delete(event.mm, pageOf(event.hva))
        return
      default:
    }
  }

  private mmOf(vm: number): number {
    return this.world.vm(vm)?.mmId ?? -1
  }

  private handedOver(event: { vm: number; gfn: number; pfn: number; young: boolean }): void {
    const vm = this.world.vm(event.vm)
    if (vm === undefined) return
    const hva = vm.hvaOf(event.gfn)
    this.dropped.add(vm.mmId, pageOf(hva))
    if (!event.young) return
    if (!this.used.delete(vm.mmId, pageOf(hva))) return
    this.ledger.count('I4')
    if (this.world.isReferenced(event.pfn)) return
    const { gfn, pfn } = event
    this.report('I4', `vm ${vm.id}: young spte dropped, but frame ${hex(pfn)} is not marked used`, { hva, gfn, pfn })
  }

  private use(mm: number, page: number): void {
    if (!this.blind.has(mm, page) && !this.dropped.has(mm, page)) this.used.add(mm, page)
  }

  private cleared(event: { vm: number; start: number; end: number; young: boolean }, flushes: boolean): void {
    const mm = this.mmOf(event.vm)
    for (let page = pageOf(event.start); page < pageOf(event.end); page++) {
      this.used.delete(mm, page)
      if (!flushes) this.blind.add(mm, page)
      else if (event.young) this.blind.delete(mm, page)
    }
  }

  private answer(mm: number, start: number, end: number, young: boolean): void {
    if (this.used.isEmpty) return
    for (let page = pageOf(start); page < pageOf(end); page++) {
      if (!this.used.has(mm, page)) continue
      this.ledger.count('I4')
      if (!young) {
        this.report('I4', `the secondary MMU calls page ${hex(page * PAGE_SIZE)} old, a vCPU used it`, {
          hva: page * PAGE_SIZE,
        })
      }
    }
  }
}

/** A set of pages of several mms, sorted. */
class PagesOfMms {
  private readonly keys: number[] = []

  get isEmpty(): boolean {
    return this.keys.length === 0
  }

  has(mm: number, page: number): boolean {
    return this.keys.includes(keyOf(mm, page))
  }

  add(mm: number, page: number): void {
    const { keys } = this
    const key = keyOf(mm, page)
    let at = keys.length
    while (at > 0 && keys[at - 1]! > key) at--
    if (at > 0 && keys[at - 1] === key) return
    keys.splice(at, 0, key)
  }

  /** @returns whether it was there */
  delete(mm: number, page: number): boolean {
    const at = this.keys.indexOf(keyOf(mm, page))
    if (at >= 0) this.keys.splice(at, 1)
    return at >= 0
  }
}

/** Page numbers of a host address have fewer than 45 bits; ids of mms are small. */
const keyOf = (mm: number, page: number): number => mm * 2 ** 45 + page
