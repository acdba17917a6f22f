/** Figures of one notifier: how often each hook ran, and what it slept. Opaque. */
import type { Task } from '../sched/index.ts'
import type { Callout } from './ops.ts'

export class CalloutFigures {
  calls = 0
  /** Calls now running. */
  running = 0
  /** Calls in which the task blocked at least once. */
  slept = 0
  /** Virtual nanoseconds that those calls took: all together, and the longest. */
  sleptTotal = 0
  sleptLongest = 0
}

/** What the task was like when the hook began. Opaque: a clock reading is no part of the protocol. */
export class CalloutMark {
  static readonly opaque = true
  readonly waits: number
  readonly now: number

  constructor(waits: number, now: number) {
    this.waits = waits
    this.now = now
  }
}

export class CalloutStats {
  static readonly opaque = true
  /** Hooks that were ever called, by name. */
  readonly byCallout: Map<Callout, CalloutFigures> = new Map()

  begin(callout: Callout, task: Task, now: number): CalloutMark {
    let figures = this.byCallout.get(callout)
    if (figures === undefined) this.byCallout.set(callout, (figures = new CalloutFigures()))
    figures.calls++
    figures.running++
    return new CalloutMark(task.waitNumber, now)
  }

  end(callout: Callout, task: Task, now: number, mark: CalloutMark): void {
    const figures = this.byCallout.get(callout)!
    figures.running--
    if (task.waitNumber === mark.waits) return
    figures.slept++
    figures.sleptTotal += now - mark.now
    figures.sleptLongest = Math.max(figures.sleptLongest, now - mark.now)
  }

  calls(callout: Callout): number {
    return this.byCallout.get(callout)?.calls ?? 0
  }
}
