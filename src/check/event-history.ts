/**
 * The last events of a run, and which of them touched a page: what a violation prints as its evidence.
 *
 * R1 Bounded: the newest `capacity` events are kept.
 */
import { PAGE_SIZE } from '../base/index.ts'
import type { TraceEvent, TraceStamp } from '../base/index.ts'

export interface PastEvent {
  readonly event: TraceEvent
  readonly stamp: TraceStamp
}

/** A page as the events may name it; absent fields match nothing. */
export interface PageNames {
  /** The address space of `hva`; without it, any. */
  readonly mm?: number
  /** The VM of `gfn`; without it, any. */
  readonly vm?: number
  readonly hva?: number
  readonly gfn?: number
  readonly pfn?: number
}

/** Events that say nothing about why a page is as it is. */
const SILENT = new Set(['sched_switch', 'mem_load', 'mem_store', 'srcu_read_lock', 'srcu_read_unlock'])

export class EventHistory {
  static readonly opaque = true
  /** Grows up to `capacity`: most runs are short. */
  private readonly ring: PastEvent[] = []
  private readonly capacity: number
  private next = 0

  /** @param capacity events to keep */
  constructor(capacity: number = 8192) {
    this.capacity = capacity
  }

  record(event: TraceEvent, stamp: TraceStamp): void {
    if (SILENT.has(event.name)) return
    this.ring[this.next] = { event, stamp }
    this.next = (this.next + 1) % this.capacity
  }

  /** The last events that touched the page, oldest first. */
  touching(page: PageNames, count: number = 12): readonly PastEvent[] {
    const found: PastEvent[] = []
    for (let back = 1; back <= this.ring.length && found.length < count; back++) {
      const past = this.ring[(this.next - back + this.ring.length) % this.ring.length]
      if (past === undefined) break
      if (touches(past.event, page)) found.unshift(past)
    }
    return found
  }

  /** The last events whatever they touched, oldest first. */
  latest(count: number = 12): readonly PastEvent[] {
    const found: PastEvent[] = []
    for (let back = 1; back <= this.ring.length && found.length < count; back++) {
      const past = this.ring[(this.next - back + this.ring.length) % this.ring.length]
      if (past === undefined) break
      found.unshift(past)
    }
    return found
  }
}

function touches(event: TraceEvent, page: PageNames): boolean {
  const named = event as Partial<Record<'mm' | 'vm' | 'hva' | 'gfn' | 'pfn' | 'start' | 'end' | 'from', number>>
  if (page.pfn !== undefined && (named.pfn === page.pfn || named.from === page.pfn)) return true
  if (differ(named.vm, page.vm) || differ(named.mm, page.mm)) return false
  if (page.gfn !== undefined && named.gfn === page.gfn) return true
  if (page.hva === undefined) return false
  if (named.hva !== undefined && Math.floor(named.hva / PAGE_SIZE) === Math.floor(page.hva / PAGE_SIZE)) return true
  return named.start !== undefined && named.end !== undefined && named.start <= page.hva && page.hva < named.end
}

/** Both are known, and not the same. */
const differ = (one: number | undefined, other: number | undefined): boolean =>
  one !== undefined && other !== undefined && one !== other
