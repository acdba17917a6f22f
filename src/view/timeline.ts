/**
 * A run as a timeline: one lane a task, one line a step, time downwards, the violation last.
 *
 * R1 A step begins in its task's lane and may run on into the next: only one task steps at a time. What does not fit
 *    ends in `..`.
 */
import type { RecordedEvent, Violation } from '../check/index.ts'
import { describePage } from '../check/index.ts'
import { INVARIANT_TEXT } from './report.ts'
import { eventText } from './trace-line.ts'

/** Columns of a line, unless the caller knows better. */
const WIDTH = 140
/** Columns from one lane to the next, where there is room. */
const LANE = 22
/** Columns that a text has at least. */
const NARROWEST = 40
/** Events that only say who runs: the lanes show it. */
const SHOWN_BY_LANES = new Set(['sched_switch', 'sched_process_exit'])

const fit = (text: string, width: number): string =>
  text.length <= width ? text.padEnd(width) : `${text.slice(0, width - 2)}..`

/**
 * The lines of a timeline.
 * @param options.width columns of a line; default 140
 * @param options.most events at most, the last ones; default 120
 */
export function timelineLines(
  trace: readonly RecordedEvent[],
  violation: Violation | null,
  options: { readonly width?: number; readonly most?: number } = {},
): string[] {
  const steps = trace.filter(({ event }) => !SHOWN_BY_LANES.has(event.name))
  const most = options.most ?? 120
  const width = options.width ?? WIDTH
  const shown = steps.slice(Math.max(0, steps.length - most))
  const lanes = [...new Set(shown.map(({ stamp }) => stamp.task))]
  const stride = Math.max(6, Math.min(LANE, Math.floor((width - 60) / Math.max(1, lanes.length - 1))))
  const line = (number: string, lane: number, text: string): string => {
    const indent = lane * stride
    return `${number.padStart(4)}  ${' '.repeat(indent)}${fit(text, Math.max(NARROWEST, width - 6 - indent))}`.trimEnd()
  }
  const lines = [`      ${lanes.map((name) => fit(name, stride - 1)).join(' ')}`.trimEnd()]
  if (shown.length < steps.length) lines.push(`      ... ${steps.length - shown.length} earlier steps`)
  const first = steps.length - shown.length
  for (const [index, { event, stamp }] of shown.entries()) {
    lines.push(line(String(first + index + 1), lanes.indexOf(stamp.task), eventText(event)))
  }
  if (violation === null) return lines
  const page = describePage(violation.page)
  return [
    ...lines,
    `${violation.invariant} violated: ${INVARIANT_TEXT[violation.invariant]}`,
    ...violation.what.split('\n').map((text) => `  ${text}`),
    ...(page === '' ? [] : [`  page: ${page}`]),
    ...(violation.task === '' ? [] : [`  running: task ${violation.task}`]),
  ]
}
