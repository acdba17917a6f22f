/**
 * Books that must agree whenever nothing is under way: open invalidations (I6) and the dirty log (I3).
 *
 * R1 While no invalidation of an mm is between the announcement of its start and the return of its end, no VM of that mm
 *    counts one as open. A VM that is being destroyed, or whose mm exits, hears of no ends any more and is left alone.
 * R2 A store of a vCPU to a logged page leaves the page's bit set, unless the log is being harvested in this moment.
 */
import { hex } from '../base/index.ts'
import type { TraceEvent } from '../base/index.ts'
import type { AuditedWorld } from './audited-world.ts'
import type { Ledger, Report } from './violation.ts'

export class BookkeepingAudit {
  private readonly world: AuditedWorld
  private readonly ledger: Ledger
  private readonly report: Report
  /** mm -> invalidations under way, the calls of starts and ends included. */
  private readonly open = new Map<number, number>()
  private readonly exiting = new Set<number>()

  constructor(world: AuditedWorld, ledger: Ledger, report: Report) {
    this.world = world
    this.ledger = ledger
    this.report = report
  }

  observe(event: TraceEvent): void {
    switch (event.name) {
      case 'mmu_notifier_invalidate_range_start':
        this.count(event.mm, 1)
        return
      case 'mmu_notifier_invalidate_range_started':
        if (event.result !== 0) this.count(event.mm, -1)
        return
      case 'mmu_notifier_invalidate_range_ended':
        this.count(event.mm, -1)
        return
      case 'mm_exit':
        this.exiting.add(event.mm)
        return
      case 'mem_store':
        if (event.vcpu >= 0) this.stored(event.mm, event.hva)
        return
      default:
    }
  }

  private count(mm: number, change: 1 | -1): void {
    const open = (this.open.get(mm) ?? 0) + change
    this.open.set(mm, open)
    if (open !== 0 || this.exiting.has(mm)) return
    for (const vm of this.world.vms()) {
      if (vm.mmId !== mm) continue
      this.ledger.count('I6')
      const counted = vm.openInvalidations()
      if (counted === 0) continue
      this.report('I6', `vm ${vm.id} counts ${counted} invalidations as open, its mm has none`, { mm, vm: vm.id })
    }
  }

  private stored(mm: number, hva: number): void {
    const vms = this.world.vms().filter((vm) => vm.mmId === mm)
    const bits = vms.map((vm) => vm.dirtyBit(hva))
    // Which of several VMs over one mm stored, the event does not say: all of them must have missed it.
    if (bits.length === 0 || bits.includes('unknown')) return
    this.ledger.count('I3')
    if (bits.includes('set')) return
    this.report('I3', `a store of the guest to ${hex(hva)} is not in the dirty log`, { mm, hva })
  }
}
