/**
 * Text tables: aligned columns, two blanks between, numbers to the right.
 *
 * R1 No colour codes and no box characters: a table can be piped into awk.
 * R2 Lines carry no trailing blanks.
 */
import { countText } from './units.ts'

export type Cell = string | number

export interface Column {
  readonly head: string
  /** Default: right when every cell of the column is a number. */
  readonly align?: 'left' | 'right'
}

const text = (cell: Cell): string => (typeof cell === 'number' ? countText(cell) : cell)

/**
 * Lines of a table with a header.
 * @param rows each with one cell a column; a missing cell is empty
 */
export function tableLines(columns: readonly (Column | string)[], rows: readonly (readonly Cell[])[]): string[] {
  const heads = columns.map((column): Column => (typeof column === 'string' ? { head: column } : column))
  const body = rows.map((row) => heads.map((_, i) => text(row[i] ?? '')))
  const widths = heads.map(({ head }, i) => Math.max(head.length, ...body.map((row) => row[i]!.length)))
  const right = heads.map(
    ({ align }, i) =>
      (align ?? (rows.length > 0 && rows.every((row) => typeof row[i] === 'number') ? 'right' : 'left')) === 'right',
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (right[i] === true ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd()
  return [line(heads.map(({ head }) => head)), ...body.map(line)]
}

/**
 * A table on its side: one line a figure, one column a subject, for few subjects with many figures.
 * @param subjects heads of the columns
 * @param figures name and one cell a subject; a figure whose cells are all 0 or empty is left out when `sparse`
 */
export function figureLines(
  subjects: readonly string[],
  figures: readonly (readonly [name: string, ...cells: Cell[]])[],
  options: { readonly sparse?: boolean } = {},
): string[] {
  const shown =
    options.sparse === true ? figures.filter(([, ...cells]) => cells.some((c) => c !== 0 && c !== '')) : figures
  const columns: Column[] = [{ head: '' }, ...subjects.map((head): Column => ({ head, align: 'right' }))]
  return tableLines(columns, shown)
}
