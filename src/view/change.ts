/**
 * What a repair changed in a few lines: two columns where they fit, else a diff.
 *
 * R1 Lines that both have stand in one row. A line that was taken out shares its row with the one that came in its place.
 */

/** One row: null where that side has no line. */
interface Row {
  readonly before: string | null
  readonly after: string | null
}

export interface ChangeOptions {
  /** Columns of a line. */
  readonly width: number
  /** Headings of the two columns. */
  readonly heads: readonly [before: string, after: string]
  /** Paints a line that was taken out, or one that came in. */
  readonly paint: (text: string, side: 'before' | 'after') => string
}

/** Length of the longest common subsequence of the lines from `i` and from `j` on. */
function commonLengths(before: readonly string[], after: readonly string[]): number[][] {
  const lengths = Array.from({ length: before.length + 1 }, () => Array.from({ length: after.length + 1 }, () => 0))
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      const [below, right] = [lengths[i + 1]![j]!, lengths[i]![j + 1]!]
      lengths[i]![j] = before[i] === after[j] ? lengths[i + 1]![j + 1]! + 1 : Math.max(below, right)
    }
  }
  return lengths
}

function rowsOf(before: readonly string[], after: readonly string[]): Row[] {
  const lengths = commonLengths(before, after)
  const rows: Row[] = []
  let [out, into]: [string[], string[]] = [[], []]
  const flush = (): void => {
    for (let at = 0; at < Math.max(out.length, into.length); at++) {
      rows.push({ before: out[at] ?? null, after: into[at] ?? null })
    }
    ;[out, into] = [[], []]
  }
  for (let i = 0, j = 0; i < before.length || j < after.length;) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      flush()
      rows.push({ before: before[i++]!, after: after[j++]! })
    } else if (j === after.length || (i < before.length && lengths[i + 1]![j]! >= lengths[i]![j + 1]!)) {
      out.push(before[i++]!)
    } else into.push(after[j++]!)
  }
  flush()
  return rows
}

/** The lines of a change. */
export function changeLines(before: readonly string[], after: readonly string[], options: ChangeOptions): string[] {
  const { heads, paint, width } = options
  const rows = rowsOf(before, after)
  const left = Math.max(heads[0].length, ...before.map((line) => line.length))
  const right = Math.max(heads[1].length, ...after.map((line) => line.length))
  if (left + 3 + right <= width) {
    const body = rows.map((row) => {
      const same = row.before === row.after
      const old = (row.before ?? '').padEnd(left)
      const fresh = row.after ?? ''
      return `${same ? old : paint(old, 'before')} | ${same ? fresh : paint(fresh, 'after')}`.trimEnd()
    })
    return [`${heads[0].padEnd(left)} | ${heads[1]}`, `${'-'.repeat(left)}-+-${'-'.repeat(right)}`, ...body]
  }
  const diff = rows.flatMap((row) => {
    if (row.before === row.after) return [`  ${row.after}`]
    const old = row.before === null ? [] : [paint(`- ${row.before}`, 'before')]
    return row.after === null ? old : [...old, paint(`+ ${row.after}`, 'after')]
  })
  return [`${paint(`- ${heads[0]}`, 'before')}   ${paint(`+ ${heads[1]}`, 'after')}`, ...diff]
}
