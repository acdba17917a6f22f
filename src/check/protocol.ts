/**
 * The notifier protocol, judged from its events: I5 (who may be called when), I6 (starts and ends), I8 (grace
 * periods end), I13 (who may sleep) and the open windows that the translation audit leaves alone.
 *
 * R1 A window is open from the announcement of its start to the announcement of its end: the page table is final
 *    then, and whatever a client still holds must agree with it.
 */
import type { TraceEvent } from '../base/index.ts'
import type { Ledger, Report } from './violation.ts'

interface Client {
  readonly name: string
  gone: boolean
  inFlight: number
}

interface Window {
  readonly start: number
  readonly end: number
  readonly event: string
}

interface Space {
  /** Sorted: who was first plays no part. */
  readonly windows: Window[]
  /** Notifiers on the list. */
  listed: number
  /** The task in exit_mmap. Others may still reach the pages through the rmap: reclaim, truncation. */
  exiting: string | null
  released: boolean
}

export class ProtocolAudit {
  private readonly ledger: Ledger
  private readonly report: Report
  private readonly clients = new Map<number, Client>()
  private readonly spaces = new Map<number, Space>()
  /** Tasks inside a start that may not block. */
  private readonly mayNotSleep = new Set<string>()
  /** Domain -> grace periods that were started and not ended. Their numbers only grow, and are left out. */
  private readonly gracePeriods = new Map<string, number>()

  constructor(ledger: Ledger, report: Report) {
    this.ledger = ledger
    this.report = report
  }

  /** Is some invalidation of this address under way? */
  isOpen(mm: number, hva: number): boolean {
    const space = this.spaces.get(mm)
    if (space === undefined) return false
    return space.windows.some((window) => window.start <= hva && hva < window.end)
  }

  /** @param task who emitted the event */
  observe(event: TraceEvent, task: string): void {
    switch (event.name) {
      case 'sched_switch':
        this.switched(event.prev, event.prevState)
        return
      case 'mmu_notifier_register_end':
        this.clients.set(event.notifier, { name: event.client, gone: false, inFlight: 0 })
        this.space(event.mm).listed++
        return
      case 'mmu_notifier_unregister_end':
        this.leave(event.mm, event.notifier, 'unregister returned')
        return
      case 'mmu_notifier_freed':
        this.leave(event.mm, event.notifier, 'it was freed')
        return
      case 'mmu_notifier_callout_begin':
        this.callout(event.notifier, event.op)
        return
      case 'mmu_notifier_callout_end':
        this.calloutEnd(event.notifier)
        return
      case 'mmu_notifier_invalidate_range_start':
        if (!event.blockable) this.mayNotSleep.add(task)
        insert(this.space(event.mm).windows, { start: event.start, end: event.end, event: event.event })
        return
      case 'mmu_notifier_invalidate_range_started':
        this.mayNotSleep.delete(task)
        if (event.result !== 0) this.close(event)
        return
      case 'mmu_notifier_invalidate_range_end':
        this.close(event)
        return
      case 'mm_exit':
        this.space(event.mm).exiting = task
        return
      case 'mmu_notifier_release_end':
        this.space(event.mm).released = true
        return
      case 'clear_pte':
        this.exitFrees(event.mm, event.hva, task)
        return
      case 'srcu_gp_start':
        this.countGracePeriods(event.srcu, 1)
        return
      case 'srcu_gp_end':
        this.ledger.count('I8')
        this.countGracePeriods(event.srcu, -1)
        return
      default:
    }
  }

  /** None of these tasks may be inside a start that may not block. */
  judgeSleep(sleeping: readonly string[]): void {
    for (const task of sleeping) this.switched(task, 'D')
  }

  /** At the end of a run: every start has had its end. */
  finish(): void {
    for (const [mm, space] of this.spaces) {
      this.ledger.count('I6')
      for (const window of space.windows) {
        this.report('I6', `mm ${mm}: invalidation ${window.event} was started but never ended`, { hva: window.start })
      }
    }
    for (const client of this.clients.values()) {
      this.ledger.count('I5')
      if (client.inFlight > 0) this.report('I5', `${client.name}: ${client.inFlight} callouts never ended`)
    }
    for (const srcu of this.gracePeriods.keys()) this.report('I8', `a grace period of srcu ${srcu} never ended`)
  }

  private countGracePeriods(srcu: string, change: number): void {
    const open = (this.gracePeriods.get(srcu) ?? 0) + change
    if (open === 0) this.gracePeriods.delete(srcu)
    else this.gracePeriods.set(srcu, open)
  }

  private switched(task: string, state: string): void {
    if (state === 'R') return
    this.ledger.count('I13')
    if (this.mayNotSleep.has(task)) this.report('I13', `${task} slept inside an invalidation that may not block`)
  }

  private space(mm: number): Space {
    let space = this.spaces.get(mm)
    if (space === undefined) {
      space = { windows: [], listed: 0, exiting: null, released: false }
      this.spaces.set(mm, space)
    }
    return space
  }

  private leave(mm: number, notifier: number, why: string): void {
    const client = this.clients.get(notifier)
    if (client === undefined) return
    this.ledger.count('I5')
    if (client.inFlight > 0) this.report('I5', `${why} while ${client.inFlight} callouts of ${client.name} still ran`)
    if (!client.gone) this.space(mm).listed--
    client.gone = true
  }

  private callout(notifier: number, op: string): void {
    this.ledger.count('I5')
    const client = this.clients.get(notifier)
    if (client === undefined) return this.report('I5', `callout ${op} of a notifier that was never registered`)
    if (client.gone) this.report('I5', `callout ${op} of ${client.name} began after it had been unregistered`)
    client.inFlight++
  }

  private calloutEnd(notifier: number): void {
    const client = this.clients.get(notifier)
    if (client !== undefined) client.inFlight--
  }

  private close(event: { mm: number; start: number; end: number; event: string }): void {
    this.ledger.count('I6')
    const windows = this.space(event.mm).windows
    const at = windows.findIndex((window) => window.start === event.start && window.end === event.end)
    if (at < 0) {
      this.report('I6', `mm ${event.mm}: invalidation ${event.event} ended without a start`, { hva: event.start })
    } else windows.splice(at, 1)
  }

  private exitFrees(mm: number, hva: number, task: string): void {
    const space = this.spaces.get(mm)
    if (space === undefined || space.exiting !== task || space.listed === 0) return
    this.ledger.count('I5')
    if (!space.released) this.report('I5', `mm ${mm}: exit takes pages away before every release has ended`, { hva })
  }
}

function insert(windows: Window[], window: Window): void {
  let at = windows.length
  while (at > 0 && isBefore(window, windows[at - 1]!)) at--
  windows.splice(at, 0, window)
}

const isBefore = (one: Window, other: Window): boolean =>
  one.start !== other.start
    ? one.start < other.start
    : one.end !== other.end
      ? one.end < other.end
      : one.event < other.event
