/**
 * Vacuity: what was called and never had anything to do. A hook that zapped nothing in any run has not been tested.
 *
 * R1 What a scenario does not call at all is not its subject, and is not listed.
 * R2 Counted from the events of the tasks alone: setup and end, which the first task makes, do not count.
 */
import type { TraceEvent, TraceStamp } from '../../base/index.ts'
import { FIRST_TASK } from './orders.ts'

/** One mechanism: how often it was called, and how often it had something to do. */
export interface Worked {
  readonly what: string
  tried: number
  did: number
}

/** Retries that any fault may have to take. */
const RETRIES = ['in-progress', 'sequence'] as const

export class WorkCounter {
  static readonly opaque = true
  private readonly rows = new Map<string, Worked>()
  /** Invalidation windows that are open in this run. */
  private windows = 0
  private faults = 0
  private readonly zapped = new Set<number>()
  private readonly insideSrcu = new Map<string, number>()
  /** Tasks inside a hook, and whether they have slept there. */
  private readonly hooks = new Map<number, { slept: boolean }>()

  runEnded(): void {
    this.windows = 0
    this.faults = 0
    this.zapped.clear()
    this.insideSrcu.clear()
    this.hooks.clear()
  }

  data(): Worked[] {
    return [...this.rows.values()].toSorted(byWhat)
  }

  observe(event: TraceEvent, { pid }: TraceStamp): void {
    if (pid === FIRST_TASK) return
    switch (event.name) {
      case 'sched_switch': {
        const hook = this.hooks.get(pid)
        if (event.prevState === 'D' && hook !== undefined) hook.slept = true
        return
      }
      case 'mmu_notifier_callout_begin':
        this.hooks.set(pid, { slept: false })
        return
      case 'mmu_notifier_callout_end': {
        const hook = this.hooks.get(pid)
        this.hooks.delete(pid)
        if (hook !== undefined) this.count('a hook sleeps', hook.slept)
        return
      }
      case 'mmu_notifier_invalidate_range_start':
        this.windows++
        this.count('a fault meets an open window', false)
        // Whether a retry is taken is a question only where a fault and a window can meet.
        if (this.faults > 0) for (const reason of RETRIES) this.count(`a fault is retried: ${reason}`, false)
        return
      case 'mmu_notifier_invalidate_range_ended':
        this.windows--
        return
      case 'kvm_page_fault':
        this.faults++
        if (this.windows > 0) this.count('a fault meets an open window', true)
        return
      case 'kvm_mmu_retry':
        return this.count(`a fault is retried: ${event.reason}`, true)
      case 'kvm_unmap_hva_range':
        return this.count('invalidate_range_start zaps an spte', event.zapped > 0)
      case 'kvm_set_spte_hva':
        return this.count('change_pte rewrites an spte', event.changed > 0)
      case 'kvm_age_hva':
        return this.count('clear_young finds a page used', event.young)
      case 'kvm_test_age_hva':
        return this.count('test_young finds a page used', event.young)
      case 'kvm_flush_remote_tlbs_end':
        return this.count('a remote flush waits for a vCPU', event.waited > 0)
      case 'kvm_tlb_flush':
        return this.count('a flush removes a TLB entry', event.removed > 0)
      case 'kvm_get_dirty_log':
        return this.count('the dirty log holds a page', event.dirty > 0)
      case 'kvm_mmu_zap_spte':
        this.zapped.add(event.gfn)
        return this.count('a zapped page is mapped again', false)
      case 'kvm_mmu_set_spte':
        if (this.zapped.delete(event.gfn)) this.count('a zapped page is mapped again', true)
        return
      case 'srcu_read_lock':
        this.insideSrcu.set(event.srcu, (this.insideSrcu.get(event.srcu) ?? 0) + 1)
        return
      case 'srcu_read_unlock':
        this.insideSrcu.set(event.srcu, (this.insideSrcu.get(event.srcu) ?? 0) - 1)
        return
      case 'synchronize_srcu_begin':
        return this.count(`synchronize of ${event.srcu} finds a reader`, (this.insideSrcu.get(event.srcu) ?? 0) > 0)
      default:
    }
  }

  private count(what: string, did: boolean): void {
    let row = this.rows.get(what)
    if (row === undefined) this.rows.set(what, (row = { what, tried: 0, did: 0 }))
    row.tried++
    if (did) row.did++
  }
}

const byWhat = (a: Worked, b: Worked): number => (a.what < b.what ? -1 : 1)

/** Sums. */
export function joinWork(all: readonly (readonly Worked[])[]): Worked[] {
  const rows = new Map<string, Worked>()
  for (const { what, tried, did } of all.flat()) {
    const row = rows.get(what)
    if (row === undefined) rows.set(what, { what, tried, did })
    else {
      row.tried += tried
      row.did += did
    }
  }
  return [...rows.values()].toSorted(byWhat)
}
