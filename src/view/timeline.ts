/**
 * A run as a timeline: one lane a task, one line an event, time downwards, the violation last.
 *
 * ```
 *        munmap                vcpu
 *    11  munmap: unmapPageRange src/host/zap.ts:47:5 start=0x10000000 < munmap src/host/munmap.ts:61:3
 *    12  clear_pte: mm=1 hva=0x10000000 pfn=0x7                                     src/host/zap.ts:61
 * *  13                        kvm_mmu_set_spte: vm=1 gfn=0x80000 pfn=0x7           src/mmu/tdp-mmu.ts:112
 * ```
 * R1 A step begins in its task's lane and may run on into the next: only one task steps at a time. What does not fit
 *    ends in `..`.
 * R2 Where a task goes on after another, its calls are shown first, innermost first, each with its place and locals.
 * R3 A star marks the two steps that race.
 */
import type { CallView, RecordedEvent, Violation } from '../check/index.ts'
import { describePage } from '../check/index.ts'
import { INVARIANT_TEXT } from './report.ts'
import { eventText } from './trace-line.ts'

/** Columns of a line, unless the caller knows better. */
const WIDTH = 140
/** Columns from one lane to the next, where there is room. */
const LANE = 22
/** Columns that a text has at least. */
const NARROWEST = 40
/** Columns of a source line. */
const SOURCE = 36
/** Columns before the lanes: mark and number. */
const MARGIN = 8
/** Calls shown where a task goes on. */
const MOST_CALLS = 3
/** Events that only say who runs: the lanes show it. */
const SHOWN_BY_LANES = new Set(['sched_switch', 'sched_process_exit'])

/** An event, and what may be known about it. */
export interface TimelineStep extends RecordedEvent {
  /** `src/host/zap.ts:61` */
  readonly source?: string | null
  /** Innermost first. */
  readonly calls?: readonly CallView[]
}

export interface TimelineOptions {
  /** Columns of a line. Default 140. */
  readonly width?: number
  /** Events at most, the last ones. Default 120. */
  readonly most?: number
  /** Indices of the two steps that race. */
  readonly race?: readonly [number, number] | null
}

const fit = (text: string, width: number): string =>
  text.length <= width ? text.padEnd(width) : `${text.slice(0, width - 2)}..`

/** `munmap src/host/munmap.ts:61:3 start=0x10000000` */
export function callText({ call, file, line, column, locals }: CallView): string {
  const values = locals.map(([name, value]) => ` ${name}=${value}`).join('')
  return `${call} ${file}:${line}:${column}${values}`
}

/** The lines of a timeline. The number of a line is that of its event in the trace, from 1. */
export function timelineLines(
  trace: readonly TimelineStep[],
  violation: Violation | null,
  options: TimelineOptions = {},
): string[] {
  const { most = 120, width = WIDTH, race = null } = options
  const steps = trace
    .map((step, at) => ({ ...step, at }))
    .filter(({ event, at }) => !SHOWN_BY_LANES.has(event.name) || race?.includes(at) === true)
  const shown = steps.slice(Math.max(0, steps.length - most))
  const lanes = [...new Set(shown.map(({ stamp }) => stamp.task))]
  const stride = Math.max(6, Math.min(LANE, Math.floor((width - 60) / Math.max(1, lanes.length - 1))))
  const margin = ' '.repeat(MARGIN)
  const lines = [`${margin}${lanes.map((name) => fit(name, stride - 1)).join(' ')}`.trimEnd()]
  if (shown.length < steps.length) lines.push(`${margin}... ${steps.length - shown.length} earlier steps`)
  let last = ''
  for (const { event, stamp, at, source, calls } of shown) {
    const indent = margin.length + lanes.indexOf(stamp.task) * stride
    if (stamp.task !== last && calls !== undefined && calls.length > 0) {
      const text = calls.slice(0, MOST_CALLS).map(callText).join(' < ')
      lines.push(`${' '.repeat(indent)}${fit(`at ${text}`, Math.max(NARROWEST, width - indent))}`.trimEnd())
    }
    last = stamp.task
    const mark = race?.includes(at) === true ? '*' : ' '
    const room = width - indent - (typeof source === 'string' ? SOURCE + 1 : 0)
    const text = fit(eventText(event), Math.max(NARROWEST, room))
    const number = `${mark} ${String(at + 1).padStart(4)}`.padEnd(indent)
    lines.push(`${number}${text}${typeof source === 'string' ? ` ${source}` : ''}`.trimEnd())
  }
  return violation === null ? lines : [...lines, ...violationEnd(violation, race)]
}

function violationEnd(violation: Violation, race: readonly [number, number] | null): string[] {
  const page = describePage(violation.page)
  return [
    `${violation.invariant} violated: ${INVARIANT_TEXT[violation.invariant]}`,
    ...violation.what.split('\n').map((text) => `  ${text}`),
    ...(page === '' ? [] : [`  page: ${page}`]),
    ...(violation.task === '' ? [] : [`  running: task ${violation.task}`]),
    ...(race === null ? [] : [`  race: steps ${race[0] + 1} and ${race[1] + 1} (marked *)`]),
  ]
}
