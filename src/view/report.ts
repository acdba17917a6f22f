/**
 * A run's report as text: a column a guest, the SRCU figures, the audit, and one line of verdict.
 *
 * R1 Virtual time only: two runs of one seed print the same bytes.
 */
import { checksMade, describePage, ranked, total, vacuity, verdictOf } from '../check/index.ts'
import type { MmFigures, RunReport, Violation } from '../check/index.ts'
import type { Invariant } from '../base/index.ts'
import { histogramLines } from './histogram.ts'
import { figureLines, tableLines } from './table.ts'
import type { Cell } from './table.ts'
import { traceLine } from './trace-line.ts'
import { bytesText, countText, plural, timeText } from './units.ts'

/** What each invariant says, in a few words (docs/architecture.md, section 5). */
export const INVARIANT_TEXT: Readonly<Record<Invariant, string>> = {
  I1: 'every translation agrees with the host page table',
  I2: 'no frame is freed while a translation names it',
  I3: 'no guest write is lost when a translation goes',
  I4: 'a page used since the last look is never called old',
  I5: 'no callout after unregister; release before exit frees',
  I6: 'each start has its end, counters return to zero',
  I7: 'every load returns the last value stored',
  I8: 'no deadlock; every grace period ends',
  I9: 'writable only where the host page table is',
  I10: 'sptes are built from what is still current',
  I11: 'a fault on a stable page ends',
  I12: 'guest fences hold on every hart before they report done',
  I13: 'no sleep where sleep is forbidden',
  I14: 'references balance',
  I15: 'memory and faults stay in their bounds',
}

const seconds = (nanoseconds: number): string => (nanoseconds === 0 ? '' : timeText(nanoseconds))

/** All hooks of an mm together. */
function hooks(mm: MmFigures): { calls: number; slept: number; time: number; longest: number } {
  let [calls, slept, time, longest] = [0, 0, 0, 0]
  for (const hook of Object.values(mm.hooks)) {
    calls += hook.calls
    slept += hook.slept
    time += hook.sleptTime
    longest = Math.max(longest, hook.longest)
  }
  return { calls, slept, time, longest }
}

/** One column a guest, one row a figure; rows that are zero for all are left out. */
export function guestLines(report: RunReport): string[] {
  const { guests, figures } = report
  const mms = guests.map(({ mm }) => figures.mm(mm))
  const row = (name: string, of: (mm: MmFigures) => Cell): [string, ...Cell[]] => [name, ...mms.map(of)]
  const tallied = (title: string, of: (mm: MmFigures) => Readonly<Record<string, number>>): [string, ...Cell[]][] => {
    const names = [...new Set(mms.flatMap((mm) => Object.keys(of(mm))))].toSorted()
    return names.map((name) => row(`  ${title} ${name}`, (mm) => of(mm)[name] ?? 0))
  }
  return figureLines(
    guests.map(({ name }) => name),
    [
      ['paging', ...guests.map(({ paging }) => paging)],
      ['harts', ...guests.map(({ harts }) => harts)],
      ['memory', ...guests.map(({ memory }) => bytesText(memory))],
      ['outcome', ...guests.map(({ outcome }) => outcome)],
      ['instructions', ...guests.map(({ instructions }) => instructions)],
      row('guest faults', (mm) => mm.guestFaults),
      ...tallied('ended as', (mm) => mm.faultOutcomes),
      row('retries', (mm) => total(mm.retries)),
      ...tallied('because', (mm) => mm.retries),
      row('spte fills', (mm) => mm.sptesFilled),
      row('spte zaps', (mm) => total(mm.zaps)),
      ...tallied('by', (mm) => mm.zaps),
      row('sptes write-protected', (mm) => mm.sptesWriteProtected),
      row('sptes changed by change_pte', (mm) => mm.sptesChanged),
      row('young answers', (mm) => mm.youngAnswers),
      row('table pages built', (mm) => mm.tablePages),
      row('  shadows of guest tables', (mm) => mm.shadowPages),
      row('guest table stores trapped', (mm) => mm.tableWrites),
      row('invalidation windows', (mm) => total(mm.windows)),
      row('hooks called', (mm) => hooks(mm).calls),
      row('hooks that slept', (mm) => hooks(mm).slept),
      row('  longest sleep', (mm) => seconds(hooks(mm).longest)),
      row('  slept together', (mm) => seconds(hooks(mm).time)),
      row('remote TLB flushes', (mm) => mm.remoteFlushes),
      row('  waited for a vCPU', (mm) => mm.remoteFlushesWaited),
      row('  vCPU TLB entries removed', (mm) => mm.tlbEntriesRemoved),
      row('host faults', (mm) => mm.hostFaults),
      row('host TLB flushes', (mm) => mm.hostFlushes),
      row('copies on write', (mm) => mm.cowCopies),
      row('forks', (mm) => mm.forks),
      row('pages swapped out', (mm) => mm.swappedOut),
      row('pages merged by KSM', (mm) => mm.ksmMerged),
      row('pages unmerged', (mm) => mm.ksmUnmerged),
    ],
    { sparse: true },
  )
}

/** The host as a whole, a few lines. */
export function hostLines(report: RunReport): string[] {
  const { host } = report.figures
  const verdicts = ranked(host.reclaim).map(([verdict, times]) => `${countText(times)} ${verdict}`)
  return [
    `memory   ${plural(report.frames, 'frame')} (${bytesText(report.frames * 4096)}), swap ${bytesText(report.swapPages * 4096)}`,
    `frames   ${countText(host.framesAllocated)} allocated, ${countText(host.framesFreed)} freed`,
    `reclaim  ${verdicts.length === 0 ? 'idle' : verdicts.join(', ')}`,
    `swap     ${countText(host.swapWrites)} pages written, ${countText(host.swapReads)} read`,
    `moved    ${countText(host.migrated)} pages to other frames`,
    ...(host.outOfMemory === 0 ? [] : [`out of memory ${countText(host.outOfMemory)} times`]),
  ]
}

/** SRCU domains: grace periods and how long anybody waited for one. */
export function srcuLines(report: RunReport): string[] {
  const domains = [...report.figures.srcu.values()]
  const lines = tableLines(
    ['srcu', 'read sections', 'grace periods', 'longest', 'synchronize', 'longest wait'],
    domains.map((domain) => [
      domain.name,
      domain.readSections,
      domain.gracePeriods,
      timeText(domain.longestGracePeriod),
      domain.synchronizes,
      timeText(domain.longestWait),
    ]),
  )
  const busiest = domains.toSorted((a, b) => b.waits.count - a.waits.count)[0]
  if (busiest === undefined || busiest.waits.count < 2) return lines
  return [
    ...lines,
    `nanoseconds waited in synchronize_srcu (${busiest.name})`,
    ...histogramLines(busiest.waits.buckets),
  ]
}

/** Checks made for each invariant, and how many failed. */
export function auditLines(report: RunReport): string[] {
  const { checks, violations } = report.audit
  return tableLines(
    ['', 'checks', 'violations', 'invariant'],
    checks.map(([invariant, times]) => [
      invariant,
      times,
      violations.filter((violation) => violation.invariant === invariant).length,
      INVARIANT_TEXT[invariant],
    ]),
  )
}

/** What each mechanism did, and which were never put to the test. */
export function vacuityLines(report: RunReport): string[] {
  const work = vacuity(report.figures)
  const idle = work.filter(({ times }) => times === 0).map(({ what }) => what)
  return [
    ...tableLines(
      ['mechanism', 'times'],
      work.filter(({ times }) => times > 0).map(({ what, times }) => [what, times]),
    ),
    ...(idle.length === 0 ? [] : [`not exercised in this run: ${idle.join('; ')}`]),
  ]
}

/** Storm operations by kind. */
export function stormLines(report: RunReport): string[] {
  return tableLines(
    ['storm', 'operations', 'refused'],
    report.storms.map(({ kind, operations, refused }) => [kind, operations, refused]),
  )
}

/** A violation: the invariant, the page, who was running, and the last events that touched the page. */
export function violationLines(violation: Violation): string[] {
  const page = describePage(violation.page)
  return [
    `${violation.invariant} violated: ${INVARIANT_TEXT[violation.invariant]}`,
    `  ${violation.what}`,
    ...(page === '' ? [] : [`  page: ${page}`]),
    `  running: task ${violation.task} at ${timeText(violation.now)}`,
    ...(violation.history.length === 0
      ? []
      : [page === '' ? '  last events:' : '  last events that touched the page:']),
    ...violation.history.map(({ event, stamp }) => `  ${traceLine(event, stamp)}`),
  ]
}

/** The last line of a run. */
export function verdictLine(report: RunReport): string {
  const { audit, guests } = report
  const checks = `${countText(checksMade(audit))} checks`
  const audited = audit.level === 'off' ? 'nothing was audited' : checks
  const first = audit.violations[0]
  switch (verdictOf(report)) {
    case 'violation': {
      if (first !== undefined)
        return `VIOLATION: ${first.invariant} (${plural(audit.violations.length, 'violation')}, ${checks})`
      const failed = guests.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name)
      return `VIOLATION: guest ${failed.join(', ')} found wrong values in its own memory`
    }
    case 'internal':
      return `INTERNAL ERROR: ${report.failure instanceof Error ? report.failure.message : String(report.failure)}`
    case 'crashed':
      return `consistent, but ${guests.find(({ outcome }) => outcome === 'crashed')!.detail} (${audited}, 0 violations)`
    case 'budget': {
      const unfinished = guests.filter(({ outcome }) => outcome !== 'finished')
      return `UNFINISHED: ${unfinished.map(({ detail }) => detail).join('; ')} (${audited}, 0 violations)`
    }
    case 'consistent':
      return audit.level === 'off' ? 'finished; nothing was audited' : `CONSISTENT: ${checks}, 0 violations`
  }
}
