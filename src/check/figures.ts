/**
 * The figures of a run: one probe that counts, for each address space, for the host and for each SRCU domain.
 *
 * The report of a run, its JSON form and the vacuity list are made from this plain data and from nothing else.
 *
 * R1 Figures only grow, and nothing reads them to decide what to do.
 * R2 Durations are virtual nanoseconds. A hook or a fault has *slept* when its task gave up the CPU because it had to
 *    wait; a switch point that merely let another task run does not count.
 */
import type { MmuEvent, NotifierEvent, Trace, TraceEvent, TraceStamp } from '../base/index.ts'
import { Histogram } from './histogram.ts'

/** How often each of some named things happened. */
export type Tally = Record<string, number>

function count(tally: Tally, what: string, times = 1): void {
  tally[what] = (tally[what] ?? 0) + times
}

/** All counts of a tally together. */
export function total(tally: Tally): number {
  let sum = 0
  for (const what of Object.keys(tally)) sum += tally[what]!
  return sum
}

/** One hook of the clients of an mm. */
export interface HookFigures {
  calls: number
  slept: number
  sleptTime: number
  longest: number
}

/** One address space with the VM that shows it, if there is one. */
export interface MmFigures {
  readonly mm: number
  /** The VM bound to it; 0 for none. */
  vm: number
  /** Guest faults taken by the hypervisor, and how they ended. */
  guestFaults: number
  readonly faultOutcomes: Tally
  readonly retries: Tally
  sptesFilled: number
  /** Sptes dropped, by notifier event for invalidations, otherwise by cause. */
  readonly zaps: Tally
  sptesWriteProtected: number
  /** Sptes rewritten in place or dropped by change_pte. */
  sptesChanged: number
  /** Answers "used since the last look" that an spte gave. */
  youngAnswers: number
  readonly hooks: Record<string, HookFigures>
  readonly windows: Tally
  windowsRefused: number
  remoteFlushes: number
  /** Remote flushes that had to wait for a vCPU in guest mode. */
  remoteFlushesWaited: number
  tlbEntriesRemoved: number
  /** Table pages that the VM built, and those among them that shadow a table of the guest. */
  tablePages: number
  shadowPages: number
  tableWrites: number
  hostFaults: number
  hostFlushes: number
  cowCopies: number
  cowReuses: number
  swappedOut: number
  ksmMerged: number
  ksmUnmerged: number
  forks: number
}

/** The host as a whole. */
export interface HostFigures {
  framesAllocated: number
  framesFreed: number
  /** Pages that reclaim looked at, by verdict. */
  readonly reclaim: Tally
  swapWrites: number
  swapReads: number
  migrated: number
  outOfMemory: number
  switches: number
}

/** One SRCU domain. */
export interface SrcuFigures {
  readonly name: string
  readSections: number
  gracePeriods: number
  /** Longest grace period. */
  longestGracePeriod: number
  synchronizes: number
  /** Longest time that a caller of synchronize waited. */
  longestWait: number
  readonly waits: Histogram
}

function freshMm(mm: number): MmFigures {
  return {
    mm,
    vm: 0,
    guestFaults: 0,
    faultOutcomes: {},
    retries: {},
    sptesFilled: 0,
    zaps: {},
    sptesWriteProtected: 0,
    sptesChanged: 0,
    youngAnswers: 0,
    hooks: {},
    windows: {},
    windowsRefused: 0,
    remoteFlushes: 0,
    remoteFlushesWaited: 0,
    tlbEntriesRemoved: 0,
    tablePages: 0,
    shadowPages: 0,
    tableWrites: 0,
    hostFaults: 0,
    hostFlushes: 0,
    cowCopies: 0,
    cowReuses: 0,
    swappedOut: 0,
    ksmMerged: 0,
    ksmUnmerged: 0,
    forks: 0,
  }
}

/** A callout that has not ended. */
interface OpenCallout {
  readonly pid: number
  readonly notifier: number
  readonly op: string
  readonly since: number
  slept: boolean
}

export class FigureCollector {
  static readonly opaque = true
  readonly mms: Map<number, MmFigures> = new Map()
  readonly srcu: Map<string, SrcuFigures> = new Map()
  readonly host: HostFigures = {
    framesAllocated: 0,
    framesFreed: 0,
    reclaim: {},
    swapWrites: 0,
    swapReads: 0,
    migrated: 0,
    outOfMemory: 0,
    switches: 0,
  }
  private readonly mmOfVm = new Map<number, MmFigures>()
  private readonly callouts: OpenCallout[] = []
  /** Notifier event of the invalidation that a task is in. */
  private readonly windowOf = new Map<number, string>()
  private readonly gracePeriodSince = new Map<string, number>()
  private readonly waitSince = new Map<string, number>()

  /** Starts counting. @returns a function that stops it */
  attach(trace: Trace): () => void {
    return trace.attach((event, stamp) => this.observe(event, stamp))
  }

  /** The figures of an address space. */
  mm(id: number): MmFigures {
    let figures = this.mms.get(id)
    if (figures === undefined) this.mms.set(id, (figures = freshMm(id)))
    return figures
  }

  observe(event: TraceEvent, stamp: TraceStamp): void {
    if (event.name === 'sched_switch') {
      this.host.switches++
      if (event.prevState === 'D') for (const open of this.callouts) if (open.pid === stamp.pid) open.slept = true
    } else if (event.name.startsWith('kvm_')) this.observeMmu(event as MmuEvent, stamp)
    else if (event.name.startsWith('mmu_notifier_')) this.observeCallout(event as NotifierEvent, stamp)
    else if (event.name.includes('srcu_')) this.observeSrcu(event as NotifierEvent, stamp)
    else this.observeHost(event)
  }

  private vm(id: number): MmFigures {
    return this.mmOfVm.get(id) ?? this.mm(0)
  }

  private observeMmu(event: MmuEvent, stamp: TraceStamp): void {
    switch (event.name) {
      case 'kvm_create_vm':
        this.mmOfVm.set(event.vm, this.mm(event.mm))
        this.mm(event.mm).vm = event.vm
        return
      case 'kvm_page_fault':
        this.vm(event.vm).guestFaults++
        return
      case 'kvm_page_fault_done':
        return count(this.vm(event.vm).faultOutcomes, event.outcome)
      case 'kvm_mmu_retry':
        return count(this.vm(event.vm).retries, event.reason)
      case 'kvm_mmu_set_spte':
        this.vm(event.vm).sptesFilled++
        return
      case 'kvm_mmu_zap_spte': {
        const window = event.cause === 'invalidate' ? this.windowOf.get(stamp.pid) : undefined
        return count(this.vm(event.vm).zaps, window ?? event.cause)
      }
      case 'kvm_mmu_write_protect':
        this.vm(event.vm).sptesWriteProtected++
        return
      case 'kvm_set_spte_hva':
        this.vm(event.vm).sptesChanged += event.changed
        return
      case 'kvm_age_hva':
      case 'kvm_test_age_hva':
        if (event.young) this.vm(event.vm).youngAnswers++
        return
      case 'kvm_flush_remote_tlbs_begin':
        this.vm(event.vm).remoteFlushes++
        return
      case 'kvm_flush_remote_tlbs_end':
        if (event.waited > 0) this.vm(event.vm).remoteFlushesWaited++
        return
      case 'kvm_tlb_flush':
        this.vm(event.vm).tlbEntriesRemoved += event.removed
        return
      case 'kvm_mmu_get_page':
        this.vm(event.vm).tablePages++
        if (!event.direct) this.vm(event.vm).shadowPages++
        return
      case 'kvm_mmu_track_write':
        this.vm(event.vm).tableWrites++
        return
      default:
    }
  }

  private observeCallout(event: NotifierEvent, stamp: TraceStamp): void {
    switch (event.name) {
      case 'mmu_notifier_invalidate_range_start':
        this.windowOf.set(stamp.pid, event.event)
        return count(this.mm(event.mm).windows, event.event)
      case 'mmu_notifier_invalidate_range_started':
        if (event.result !== 0) this.mm(event.mm).windowsRefused++
        return
      case 'mmu_notifier_invalidate_range_ended':
        this.windowOf.delete(stamp.pid)
        return
      case 'mmu_notifier_callout_begin':
        this.callouts.push({
          pid: stamp.pid,
          notifier: event.notifier,
          op: event.op,
          since: stamp.now,
          slept: false,
        })
        return
      case 'mmu_notifier_callout_end': {
        const at = this.callouts.findLastIndex(
          (open) => open.pid === stamp.pid && open.notifier === event.notifier && open.op === event.op,
        )
        if (at < 0) return
        const open = this.callouts.splice(at, 1)[0]!
        const hooks = this.mm(event.mm).hooks
        const hook = (hooks[event.op] ??= { calls: 0, slept: 0, sleptTime: 0, longest: 0 })
        hook.calls++
        if (!open.slept) return
        const time = stamp.now - open.since
        hook.slept++
        hook.sleptTime += time
        hook.longest = Math.max(hook.longest, time)
        return
      }
      default:
    }
  }

  private observeSrcu(event: NotifierEvent, stamp: TraceStamp): void {
    if (!('srcu' in event)) return
    let domain = this.srcu.get(event.srcu)
    if (domain === undefined) {
      domain = {
        name: event.srcu,
        readSections: 0,
        gracePeriods: 0,
        longestGracePeriod: 0,
        synchronizes: 0,
        longestWait: 0,
        waits: new Histogram(),
      }
      this.srcu.set(event.srcu, domain)
    }
    const waiter = `${event.srcu} ${stamp.pid}`
    switch (event.name) {
      case 'srcu_read_lock':
        domain.readSections++
        return
      case 'srcu_gp_start':
        this.gracePeriodSince.set(event.srcu, stamp.now)
        return
      case 'srcu_gp_end': {
        domain.gracePeriods++
        const since = this.gracePeriodSince.get(event.srcu) ?? stamp.now
        domain.longestGracePeriod = Math.max(domain.longestGracePeriod, stamp.now - since)
        return
      }
      case 'synchronize_srcu_begin':
        this.waitSince.set(waiter, stamp.now)
        return
      case 'synchronize_srcu_end': {
        const waited = stamp.now - (this.waitSince.get(waiter) ?? stamp.now)
        domain.synchronizes++
        domain.longestWait = Math.max(domain.longestWait, waited)
        domain.waits.add(waited)
        return
      }
      default:
    }
  }

  private observeHost(event: TraceEvent): void {
    switch (event.name) {
      case 'page_fault_user':
        this.mm(event.mm).hostFaults++
        return
      case 'tlb_flush':
        this.mm(event.mm).hostFlushes++
        return
      case 'cow_break':
        this.mm(event.mm).cowCopies++
        return
      case 'cow_reuse':
        this.mm(event.mm).cowReuses++
        return
      case 'swap_pte':
        this.mm(event.mm).swappedOut++
        return
      case 'ksm_merge':
        this.mm(event.mm).ksmMerged++
        return
      case 'ksm_unmerge':
        this.mm(event.mm).ksmUnmerged++
        return
      case 'mm_fork':
        this.mm(event.mm).forks++
        return
      case 'mm_page_alloc':
        this.host.framesAllocated += 2 ** event.order
        return
      case 'mm_page_free':
        this.host.framesFreed += 2 ** event.order
        return
      case 'mm_vmscan_page':
        return count(this.host.reclaim, event.verdict)
      case 'swap_write':
        this.host.swapWrites++
        return
      case 'swap_read':
        this.host.swapReads++
        return
      case 'migrate_page':
        this.host.migrated++
        return
      case 'out_of_memory':
        this.host.outOfMemory++
        return
      default:
    }
  }
}

/** One mechanism of the protocol, and how often it did real work. */
export interface Work {
  readonly what: string
  readonly times: number
}

/** Every mechanism that a good run shows at work; those with 0 were never put to the test. */
export function vacuity(figures: FigureCollector): Work[] {
  const mms = [...figures.mms.values()]
  const sum = (of: (mm: MmFigures) => number): number => mms.reduce((all, mm) => all + of(mm), 0)
  const hooks: Work[] = []
  for (const op of new Set(mms.flatMap((mm) => Object.keys(mm.hooks)))) {
    hooks.push({ what: `hook ${op} called`, times: sum((mm) => mm.hooks[op]?.calls ?? 0) })
  }
  const slept = sum((mm) => Object.values(mm.hooks).reduce((all, hook) => all + hook.slept, 0))
  const retry = (reason: string): Work => ({
    what: `fault retried: ${reason}`,
    times: sum((mm) => mm.retries[reason] ?? 0),
  })
  return [
    ...hooks.toSorted((a, b) => (a.what < b.what ? -1 : 1)),
    { what: 'hook slept under SRCU', times: slept },
    { what: 'spte zapped by a hook', times: sum((mm) => total(mm.zaps)) },
    { what: 'spte rewritten by change_pte', times: sum((mm) => mm.sptesChanged) },
    { what: 'spte kept a page young', times: sum((mm) => mm.youngAnswers) },
    { what: 'spte write-protected', times: sum((mm) => mm.sptesWriteProtected) },
    retry('in-progress'),
    retry('sequence'),
    { what: 'remote flush waited for a vCPU', times: sum((mm) => mm.remoteFlushesWaited) },
    { what: 'vCPU TLB entry removed', times: sum((mm) => mm.tlbEntriesRemoved) },
    { what: 'guest page table shadowed', times: sum((mm) => mm.shadowPages) },
    { what: 'store to a guest page table trapped', times: sum((mm) => mm.tableWrites) },
    { what: 'grace period ended', times: [...figures.srcu.values()].reduce((all, s) => all + s.gracePeriods, 0) },
    { what: 'page copied on write', times: sum((mm) => mm.cowCopies) },
    { what: 'page swapped out', times: sum((mm) => mm.swappedOut) },
    { what: 'page read back from swap', times: figures.host.swapReads },
    { what: 'page migrated', times: figures.host.migrated },
    { what: 'page merged by KSM', times: sum((mm) => mm.ksmMerged) },
  ]
}
