/**
 * Tracepoints: typed events that any number of probes may watch, as in Linux.
 *
 * The trace file, the auditor, the golden memory and the event-order tests are all probes; no other channel of
 * observation exists. An event carries plain values, never a live object that a probe could change.
 *
 * R1 With no probe attached a tracepoint costs one test: `if (trace.on) trace.emit({ ... })`.
 * R2 Memory accesses are so many that they have a switch of their own, `trace.accesses`.
 * R3 Opaque: nothing here is part of the protocol state.
 */
import type { GuestEvent } from './events/guest.ts'
import type { HostEvent } from './events/host.ts'
import type { MmuEvent } from './events/mmu.ts'
import type { NotifierEvent } from './events/notifier.ts'
import type { SchedEvent } from './events/sched.ts'

export type TraceEvent = SchedEvent | NotifierEvent | HostEvent | MmuEvent | GuestEvent

/** Who was running, and when, as an event happened. */
export interface TraceStamp {
  /** Name and number of the running task; `swapper` and 0 outside any task. */
  readonly task: string
  readonly pid: number
  /** CPU the task was on. */
  readonly cpu: number
  /** Virtual nanoseconds since the kernel started. */
  readonly now: number
}

export type Probe = (event: TraceEvent, stamp: TraceStamp) => void

export class Trace {
  static readonly opaque = true
  /** True while any probe is attached. */
  on = false
  /** True while a probe wants every single load and store. */
  accesses = false
  private readonly probes: { readonly probe: Probe; readonly accesses: boolean }[] = []
  private readonly stamp: () => TraceStamp

  constructor(stamp: () => TraceStamp) {
    this.stamp = stamp
  }

  /**
   * Attaches a probe. Probes run in the order of attachment, inside the step that emits.
   * @returns a function that detaches it
   */
  attach(probe: Probe, options: { accesses?: boolean } = {}): () => void {
    const row = { probe, accesses: options.accesses ?? false }
    this.probes.push(row)
    this.refresh()
    return () => {
      this.probes.splice(this.probes.indexOf(row), 1)
      this.refresh()
    }
  }

  emit(event: TraceEvent): void {
    const stamp = this.stamp()
    const access = event.name === 'mem_load' || event.name === 'mem_store'
    for (const row of this.probes) if (!access || row.accesses) row.probe(event, stamp)
  }

  private refresh(): void {
    this.on = this.probes.length > 0
    this.accesses = this.probes.some((row) => row.accesses)
  }
}
