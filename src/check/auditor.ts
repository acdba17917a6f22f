/**
 * The auditor: proves at run time that no stale translation was ever usable, or says which one was, and when.
 *
 * It is a probe on the kernel's trace. At level `all` every event that can break an invariant is judged in the step
 * in which it happens, every load is compared with golden memory, and every `sweepEvery` events all translations are
 * compared with the host page tables. At level `sampled` the events are judged as well, but single accesses are not
 * traced and sweeps are rarer. An invariant is stated in docs/architecture.md.
 *
 * R1 Reading only: a run is the same with and without the auditor, except that a violation may end it.
 * R2 Everything judged is counted, per invariant; `finish` adds what only the end of a run can show.
 */
import { KernelBug } from '../base/index.ts'
import type { Invariant, Trace, TraceEvent, TraceStamp } from '../base/index.ts'
import { TaskFailure } from '../sched/index.ts'
import { AgingAudit } from './aging.ts'
import type { AuditedWorld } from './audited-world.ts'
import { BookkeepingAudit } from './bookkeeping.ts'
import { EventHistory } from './event-history.ts'
import type { PageNames } from './event-history.ts'
import { GoldenMemory, describeMismatch } from './golden-memory.ts'
import { ProtocolAudit } from './protocol.ts'
import { TranslationAudit } from './translations.ts'
import { Ledger, ViolationError } from './violation.ts'
import type { Violation } from './violation.ts'

export type AuditLevel = 'off' | 'sampled' | 'all'

export interface AuditorOptions {
  /** Default `all`. */
  readonly level?: AuditLevel
  /** Throw in the offending step. Default true; false keeps going and collects. */
  readonly stop?: boolean
  /** Events between two sweeps over all translations. Default 2,000 at level `all`, 50,000 at level `sampled`. */
  readonly sweepEvery?: number
}

const SWEEP_EVERY = { off: Infinity, sampled: 50_000, all: 2_000 }

export class Auditor {
  /** What is judged depends on the five audits and the world, never on these. */
  static readonly opaque: readonly string[] = ['violations', 'stop', 'untilSweep', 'stamp', 'detach']
  readonly level: AuditLevel
  readonly violations: Violation[] = []
  readonly ledger: Ledger = new Ledger()
  readonly history: EventHistory = new EventHistory()
  readonly golden: GoldenMemory = new GoldenMemory()
  private readonly protocol: ProtocolAudit
  private readonly translations: TranslationAudit
  private readonly aging: AgingAudit
  private readonly bookkeeping: BookkeepingAudit
  private readonly world: AuditedWorld
  private stop: boolean
  private readonly sweepEvery: number
  private untilSweep: number
  private stamp: TraceStamp = { task: 'swapper', pid: 0, cpu: 0, now: 0 }
  private readonly detach: () => void

  /** Attaches to the trace; attach before the first mm is made, so that golden memory is complete. */
  constructor(trace: Trace, world: AuditedWorld, options: AuditorOptions = {}) {
    this.level = options.level ?? 'all'
    this.stop = options.stop ?? true
    this.world = world
    this.sweepEvery = options.sweepEvery ?? SWEEP_EVERY[this.level]
    this.untilSweep = this.sweepEvery
    const report = (invariant: Invariant, what: string, page: PageNames = {}): void =>
      this.report(invariant, what, page)
    this.protocol = new ProtocolAudit(this.ledger, report)
    this.translations = new TranslationAudit(world, this.protocol, this.ledger, report)
    this.aging = new AgingAudit(world, this.ledger, report)
    this.bookkeeping = new BookkeepingAudit(world, this.ledger, report)
    this.detach =
      this.level === 'off'
        ? () => undefined
        : trace.attach((event, stamp) => this.observe(event, stamp), { accesses: this.level === 'all' })
  }

  /**
   * The run has ended: what is still open, unbalanced or leaked?
   * @returns the violations of the whole run
   */
  finish(): readonly Violation[] {
    this.detach()
    this.stop = false
    this.judgeEnd()
    return this.violations
  }

  /**
   * Judges the present moment as a whole.
   * @param sleeping names of the tasks that sleep
   */
  judgeState(sleeping: readonly string[]): void {
    this.translations.sweep()
    this.protocol.judgeSleep(sleeping)
  }

  /** Judges what may not be open, unbalanced or leaked when everything has ended. */
  judgeEnd(): void {
    if (this.level === 'off') return
    this.translations.finish()
    this.protocol.finish()
    this.ledger.count('I14')
    for (const leak of this.world.leaks()) this.report('I14', leak, {})
    for (const open of this.world.openCounters()) this.report('I6', open, {})
  }

  private observe(event: TraceEvent, stamp: TraceStamp): void {
    this.stamp = stamp
    this.history.record(event, stamp)
    this.protocol.observe(event, stamp.task)
    this.translations.observe(event, stamp.task)
    this.bookkeeping.observe(event)
    if (this.level === 'all') {
      this.aging.observe(event, stamp.task)
      const wrong = this.golden.observe(event)
      if (event.name === 'mem_load') this.ledger.count('I7')
      if (wrong !== null) this.report('I7', describeMismatch(wrong), { hva: wrong.hva })
    }
    if (--this.untilSweep > 0) return
    this.untilSweep = this.sweepEvery
    this.translations.sweep()
  }

  private report(invariant: Invariant, what: string, page: PageNames): void {
    const violation: Violation = {
      invariant,
      what,
      page: namesOf(page),
      task: this.stamp.task,
      now: this.stamp.now,
      history: namesPage(page) ? this.history.touching(page) : this.history.latest(),
    }
    this.violations.push(violation)
    if (this.stop) throw new ViolationError(violation)
  }
}

const namesPage = ({ hva, gfn, pfn }: PageNames): boolean => hva !== undefined || gfn !== undefined || pfn !== undefined

/** The names alone: what is reported outlives the object that was judged. */
function namesOf(page: PageNames): PageNames {
  const names: { mm?: number; vm?: number; hva?: number; gfn?: number; pfn?: number } = {}
  if (page.mm !== undefined) names.mm = page.mm
  if (page.vm !== undefined) names.vm = page.vm
  if (page.hva !== undefined) names.hva = page.hva
  if (page.gfn !== undefined) names.gfn = page.gfn
  if (page.pfn !== undefined) names.pfn = page.pfn
  return names
}

/**
 * The violation that a failed run stands for, or null when the failure is something else: the auditor's own, or a
 * rule that the scheduler or a room enforces itself (deadlock, sleep in atomic context, a reference count), which names
 * no page: its evidence is the last events, if the auditor that watched the run is given.
 */
export function violationOf(failure: unknown, auditor?: Auditor): Violation | null {
  for (let cause = failure; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof ViolationError) return cause.violation
    if (cause instanceof KernelBug && cause.invariant !== undefined) {
      const task = failure instanceof TaskFailure ? failure.task : ''
      const history = auditor?.history.latest() ?? []
      const now = history.at(-1)?.stamp.now ?? 0
      return { invariant: cause.invariant, what: cause.message, page: {}, task, now, history }
    }
  }
  return null
}
