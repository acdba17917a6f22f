/**
 * A curve as text: both axes logarithmic, one letter a series.
 *
 * R1 Series that meet in a cell show the later one.
 */

export interface CurveSeries {
  /** One character. */
  readonly mark: string
  /** Positive numbers, in the order of x. */
  readonly points: readonly { readonly x: number; readonly y: number }[]
}

const HEIGHT = 12
const WIDTH = 60

/** Position of a value between two others, on a logarithmic axis of so many cells. */
function place(value: number, least: number, most: number, cells: number): number {
  if (most === least) return 0
  return Math.round((Math.log(value / least) / Math.log(most / least)) * (cells - 1))
}

/**
 * The lines of a plot, the largest y first.
 * @param x how a value of the x axis is written; @param y the same for the y axis
 */
export function curveLines(
  series: readonly CurveSeries[],
  { x, y }: { readonly x: (value: number) => string; readonly y: (value: number) => string },
): string[] {
  const points = series.flatMap((each) => each.points)
  if (points.length === 0) return []
  const xs = points.map((point) => point.x)
  const ys = points.map((point) => point.y)
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)]
  const cells = Array.from({ length: HEIGHT }, () => Array.from({ length: WIDTH }, () => ' '))
  for (const { mark, points: own } of series) {
    for (const point of own) cells[place(point.y, low, high, HEIGHT)]![place(point.x, left, right, WIDTH)] = mark
  }
  const label = Math.max(y(low).length, y(high).length)
  const lines = cells.toReversed().map((row, at) => {
    const named = at === 0 ? y(high) : at === HEIGHT - 1 ? y(low) : ''
    return `${named.padStart(label)} |${row.join('')}`.trimEnd()
  })
  const scale = `${x(left)}${x(right).padStart(WIDTH - x(left).length)}`
  return [...lines, `${' '.repeat(label)} +${'-'.repeat(WIDTH)}`, `${' '.repeat(label)}  ${scale}`]
}
