/**
 * Violations, and the ledger that counts how often each invariant was looked at.
 *
 * R1 A check counts when it compared something; a run whose ledger shows zero proves nothing.
 */
import { KernelBug, hex } from '../base/index.ts'
import type { Invariant } from '../base/index.ts'
import type { PageNames, PastEvent } from './event-history.ts'

export interface Violation {
  readonly invariant: Invariant
  /** One line: what was seen, and what it contradicts. */
  readonly what: string
  readonly page: PageNames
  /** Who was running. */
  readonly task: string
  /** Virtual nanoseconds. */
  readonly now: number
  /** The last events that touched the page, oldest first. */
  readonly history: readonly PastEvent[]
}

/** Thrown inside the offending step when the auditor is to stop the run. */
export class ViolationError extends KernelBug {
  readonly violation: Violation

  constructor(violation: Violation) {
    super(violation.what, violation.invariant)
    this.name = 'ViolationError'
    this.violation = violation
  }
}

/** `hva 0x10000000, gfn 0x80000, pfn 0x2f` */
export function describePage(page: PageNames): string {
  const names: string[] = []
  if (page.hva !== undefined) names.push(`hva ${hex(page.hva)}`)
  if (page.gfn !== undefined) names.push(`gfn ${hex(page.gfn)}`)
  if (page.pfn !== undefined) names.push(`pfn ${hex(page.pfn)}`)
  return names.join(', ')
}

export type Report = (invariant: Invariant, what: string, page?: PageNames) => void

/** Checks made, per invariant. */
export class Ledger {
  static readonly opaque = true
  readonly checks: Map<Invariant, number> = new Map()

  count(invariant: Invariant, times: number = 1): void {
    this.checks.set(invariant, (this.checks.get(invariant) ?? 0) + times)
  }
}
