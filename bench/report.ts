/** What a subject reports: tables, and the targets that they meet or miss; as plain text and as Markdown. */

export interface Table {
  readonly title: string
  /** The first column names the row; the others are right-aligned. */
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** What a reader must know to read the figures. */
  readonly note?: string
}

/** A promise of the design about a figure. */
export interface Target {
  readonly promise: string
  readonly measured: string
  readonly isMet: boolean
}

export interface Report {
  readonly tables: readonly Table[]
  readonly targets?: readonly Target[]
}

export interface Subject {
  /** One word, for the filter. */
  readonly name: string
  readonly title: string
  measure(): Promise<Report>
}

/** `12.3 ns`, `1.23 us`, `45.6 ms`: three digits that mean something. */
export function time(nanoseconds: number): string {
  if (nanoseconds < 1e3) return `${digits(nanoseconds)} ns`
  if (nanoseconds < 1e6) return `${digits(nanoseconds / 1e3)} us`
  return `${digits(nanoseconds / 1e6)} ms`
}

export const ratio = (value: number): string => `${digits(value)}x`

export function bytes(count: number): string {
  return count < 100 ? `${digits(count)} B` : `${Math.round(count).toLocaleString('en')} B`
}

function digits(value: number): string {
  if (value >= 100) return value.toFixed(0)
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

export function asText(report: Report): string {
  const parts = report.tables.map((table) => [
    table.title,
    ...grid(table),
    ...(table.note === undefined ? [] : [table.note]),
  ])
  const targets = (report.targets ?? []).map((target) => `${verdict(target)}: ${target.promise} (${target.measured})`)
  return [...parts.map((lines) => lines.join('\n')), ...(targets.length === 0 ? [] : [targets.join('\n')])].join('\n\n')
}

export function asMarkdown(subject: Subject, report: Report): string {
  const tables = report.tables.map((table) => {
    const rule = table.columns.map((_, column) => (column === 0 ? ':--' : '--:'))
    const lines = [table.columns, rule, ...table.rows].map((cells) => `| ${cells.join(' | ')} |`)
    return [`**${table.title}**`, '', ...lines, ...(table.note === undefined ? [] : ['', table.note])].join('\n')
  })
  const targets = (report.targets ?? []).map((target) => `- ${verdict(target)}: ${target.promise} (${target.measured})`)
  return [`## ${subject.title}`, ...tables, ...(targets.length === 0 ? [] : [targets.join('\n')])].join('\n\n')
}

function verdict(target: Target): string {
  return target.isMet ? 'met' : 'MISSED'
}

function grid(table: Table): string[] {
  const rows = [table.columns, ...table.rows]
  const widths = table.columns.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)
  return rows.map((row) => `  ${row.map(pad).join('  ')}`.trimEnd())
}
