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
  /** mm -> pages that a vCPU used since the last clearing. */
  private readonly used = new Map<number, Set<number>>()
  /** mm -> pages cleared without a flush (R2). */
  private readonly blind = new Map<number, Set<number>>()
  /** mm -> pages whose spte was dropped, and not yet set again (R3). */
  private readonly dropped = new Map<number, Set<number>>()
  /** Task -> the hook that it is in. */
  private readonly asked = new Map<string, string>()

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
        this.asked.set(task, event.op)
        return
      case 'kvm_age_hva':
        this.answer(this.mmOf(event.vm), event.start, event.end, event.young)
        this.cleared(event, this.asked.get(task) !== 'clearYoung')
        return
      case 'kvm_test_age_hva':
        this.answer(this.mmOf(event.vm), event.hva, event.hva + PAGE_SIZE, event.young)
        return
      case 'kvm_mmu_set_spte':
        pagesOf(this.dropped, this.mmOf(event.vm)).delete(pageOf(event.hva))
        pagesOf(this.blind, this.mmOf(event.vm)).delete(pageOf(event.hva))
        return
      case 'kvm_mmu_zap_spte':
        this.handedOver(event)
        return
      case 'clear_pte':
      case 'cow_break':
      case 'ksm_merge':
        pagesOf(this.used, event.mm).delete(pageOf(event.hva))
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
    pagesOf(this.dropped, vm.mmId).add(pageOf(hva))
    if (!event.young) return
    if (!pagesOf(this.used, vm.mmId).delete(pageOf(hva))) return
    this.ledger.count('I4')
    if (this.world.isReferenced(event.pfn)) return
    const { gfn, pfn } = event
    this.report('I4', `vm ${vm.id}: young spte dropped, but frame ${hex(pfn)} is not marked used`, { hva, gfn, pfn })
  }

  private use(mm: number, page: number): void {
    if (this.blind.get(mm)?.has(page) === true || this.dropped.get(mm)?.has(page) === true) return
    pagesOf(this.used, mm).add(page)
  }

  private cleared(event: { vm: number; start: number; end: number; young: boolean }, flushes: boolean): void {
    const mm = this.mmOf(event.vm)
    const used = pagesOf(this.used, mm)
    const blind = pagesOf(this.blind, mm)
    for (let page = pageOf(event.start); page < pageOf(event.end); page++) {
      used.delete(page)
      if (!flushes) blind.add(page)
      else if (event.young) blind.delete(page)
    }
  }

  private answer(mm: number, start: number, end: number, young: boolean): void {
    const pages = this.used.get(mm)
    if (pages === undefined || pages.size === 0) return
    for (let page = pageOf(start); page < pageOf(end); page++) {
      if (!pages.has(page)) continue
      this.ledger.count('I4')
      if (!young) {
        this.report('I4', `the secondary MMU calls page ${hex(page * PAGE_SIZE)} old, a vCPU used it`, {
          hva: page * PAGE_SIZE,
        })
      }
    }
  }
}

function pagesOf(rows: Map<number, Set<number>>, mm: number): Set<number> {
  let pages = rows.get(mm)
  if (pages === undefined) rows.set(mm, (pages = new Set()))
  return pages
}
