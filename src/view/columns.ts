/**
 * A race as it is drawn in a comment: one column a task, time downwards, the violation last.
 *
 * ```
 *  munmap                                   | vcpu0
 *  kvm_mmu_zap_spte: gfn=0x80000 pfn=0xd    |
 *                                           | kvm_page_fault: gvn=0x80000
 * ```
 * R1 A text that is wider than its column goes on in the next line, between words, two blanks further in; a word that is
 *    wider goes on behind an underscore.
 * R2 What a run has only one of (one mm, one VM, one vCPU) is said once, above the columns, and not in every step.
 */
import type { RecordedEvent, Violation } from '../check/index.ts'
import { describePage } from '../check/index.ts'
import { INVARIANT_TEXT } from './report.ts'
import { eventText } from './trace-line.ts'

/** Columns of a line, unless the caller knows better. */
const WIDTH = 120
/** A column has at least as many. */
const NARROWEST = 24
/** Events that only say who runs: the columns show it. */
const SHOWN_BY_COLUMNS = new Set(['sched_switch', 'sched_process_exit'])
/** Fields that tell objects of one kind apart. */
const IDENTITIES = [
  'mm',
  'vm',
  'vcpu',
  'notifier',
  'client',
  'srcu',
  'owner',
  'slot',
  'size',
  'order',
  'blockable',
] as const

/** A word, broken behind underscores where it is too wide. */
function piecesOf(word: string, width: number): string[] {
  const pieces: string[] = []
  let rest = word
  while (rest.length > width) {
    const at = rest.lastIndexOf('_', width - 1)
    if (at <= 0) break
    pieces.push(rest.slice(0, at + 1))
    rest = rest.slice(at + 1)
  }
  return [...pieces, rest]
}

function wrapInColumn(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    for (const [at, piece] of piecesOf(word, width - 2).entries()) {
      const longer = line === '' ? piece : `${line} ${piece}`
      if (line === '' || (at === 0 && longer.length <= width)) line = longer
      else {
        lines.push(line)
        line = `  ${piece}`
      }
    }
  }
  lines.push(line)
  return lines.map((each) => (each.length <= width ? each : `${each.slice(0, width - 2)}..`))
}

/** Identities of which the trace names only one: `mm` -> `1`. */
function commonOf(trace: readonly RecordedEvent[]): Map<string, unknown> {
  const common = new Map<string, unknown>()
  for (const name of IDENTITIES) {
    const values = new Set<unknown>()
    for (const { event } of trace) {
      const value = (event as unknown as Record<string, unknown>)[name]
      if (value !== undefined) values.add(value)
    }
    if (values.size === 1) common.set(name, [...values][0])
  }
  return common
}

function withoutCommon({ event }: RecordedEvent, common: ReadonlyMap<string, unknown>): string {
  const rest = Object.entries(event).filter(([key]) => !common.has(key))
  return eventText(Object.fromEntries(rest) as unknown as RecordedEvent['event']).replace(/:$/, '')
}

/**
 * The lines of a run in columns.
 * @param tasks who gets a column, in this order; whoever else runs comes behind them
 * @param options.width columns of a line; default 120
 */
export function columnLines(
  trace: readonly RecordedEvent[],
  tasks: readonly string[],
  violation: Violation | null,
  options: { readonly width?: number } = {},
): string[] {
  const steps = trace.filter(({ event }) => !SHOWN_BY_COLUMNS.has(event.name))
  const names = [...new Set([...tasks, ...steps.map(({ stamp }) => stamp.task)])]
  const common = commonOf(steps)
  const each = Math.max(NARROWEST, Math.floor(((options.width ?? WIDTH) - 4) / names.length) - 3)
  const row = (column: number, text: string): string =>
    names
      .map((_, at) => (at === column ? text : '').padEnd(each))
      .join(' | ')
      .trimEnd()
  const lines = [
    `     ${names
      .map((name) => name.padEnd(each))
      .join(' | ')
      .trimEnd()}`,
    `     ${names.map(() => '-'.repeat(each)).join('-+-')}`,
  ]
  for (const [index, step] of steps.entries()) {
    const column = names.indexOf(step.stamp.task)
    for (const [at, text] of wrapInColumn(withoutCommon(step, common), each).entries()) {
      lines.push(`${at === 0 ? String(index + 1).padStart(4) : '    '} ${row(column, text)}`)
    }
  }
  if (common.size > 0) {
    const said = eventText({ name: 'all', ...Object.fromEntries(common) } as unknown as RecordedEvent['event'])
    lines.unshift(...wrapInColumn(said.replace('all:', 'in every step:'), options.width ?? WIDTH))
  }
  if (violation === null) return lines
  const page = describePage(violation.page)
  const last = names.indexOf(violation.task)
  if (last >= 0) lines.push(`     ${row(last, `^ here ${violation.invariant} breaks`)}`)
  return [
    ...lines,
    `${violation.invariant} violated: ${INVARIANT_TEXT[violation.invariant]}`,
    ...violation.what
      .replace(`${violation.invariant}: `, '')
      .split('\n')
      .map((text) => `  ${text}`),
    ...(page === '' ? [] : [`  page: ${page}`]),
    ...(violation.task === '' ? [] : [`  running: task ${violation.task}`]),
  ]
}
