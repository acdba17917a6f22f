/** Coverage of a search as tables. */
import { uncoveredPairs } from '../check/index.ts'
import type { CoverageData, PairCount, StepFacts, UncoveredPair } from '../check/index.ts'
import { tableLines } from './table.ts'
import { countText } from './units.ts'

/** Coverage of one scenario. */
export interface ScenarioCoverage {
  readonly scenario: string
  readonly data: CoverageData
}

/** Rows of the table of pairs that are shown. */
const MOST_PAIRS = 60

/** One row of it: a pair of places, whichever tasks and scenarios were there. */
interface Row {
  readonly pair: UncoveredPair
  scenarios: number
}

const accessText = ({ task, access, site }: StepFacts, lineOf: (site: string) => string): string =>
  `${lineOf(site)} ${access} (${task})`

/** The places of a pair, in the order in which they are listed. */
function placesOf({ object, first, second, ran }: UncoveredPair): string {
  const sites = [`${first.access} ${first.site}`, `${second.access} ${second.site}`]
  return [object, ...(ran ? sites : sites.toSorted()), ran].join('\t')
}

/**
 * A line for each scenario, the pairs that did not run in both orders, and what never had anything to do.
 * @param lineOf names the line of source of a site
 */
export function coverageLines(coverage: readonly ScenarioCoverage[], lineOf: (site: string) => string): string[] {
  const rows = new Map<string, Row>()
  const counts: [string, PairCount][] = []
  for (const { scenario, data } of coverage) {
    const { count, uncovered } = uncoveredPairs(data.orders)
    counts.push([scenario, count])
    for (const key of new Map(uncovered.map((pair) => [placesOf(pair), pair]))) {
      const row = rows.get(key[0])
      if (row === undefined) rows.set(key[0], { pair: key[1], scenarios: 1 })
      else row.scenarios++
    }
  }
  return [
    'pairs of dependent steps, by the orders in which they ran side by side',
    ...countLines(counts),
    ...pairLines([...rows.values()], lineOf),
    ...vacuousLines(coverage),
  ]
}

function countLines(counts: readonly (readonly [string, PairCount])[]): string[] {
  const sum = (of: (count: PairCount) => number): number => counts.reduce((all, [, count]) => all + of(count), 0)
  const all: PairCount = {
    pairs: sum(({ pairs }) => pairs),
    both: sum(({ both }) => both),
    one: sum(({ one }) => one),
    never: sum(({ never }) => never),
  }
  const shown = counts.length > 1 ? [...counts, ['together', all] as const] : counts
  return tableLines(
    ['scenario', 'pairs', 'both orders', 'one order', 'never'],
    shown.map(([name, { pairs, both, one, never }]) => [name, pairs, both, one, never]),
  )
}

function pairLines(rows: readonly Row[], lineOf: (site: string) => string): string[] {
  if (rows.length === 0) return ['', 'every pair ran in both orders']
  const sorted = rows.toSorted((a, b) => b.scenarios - a.scenarios || (placesOf(a.pair) < placesOf(b.pair) ? -1 : 1))
  const shown = sorted.slice(0, MOST_PAIRS).map(({ pair, scenarios }) => {
    const { object, first, second, ran } = pair
    return [ran ? 'one order' : 'never', object, accessText(first, lineOf), accessText(second, lineOf), scenarios]
  })
  const lines = ['', 'pairs that did not run in both orders: the first before the second only, or never']
  lines.push(...tableLines(['ran', 'object', 'first', 'second', 'scenarios'], shown))
  if (sorted.length > MOST_PAIRS) lines.push(`and ${countText(sorted.length - MOST_PAIRS)} more (--json has all)`)
  return lines
}

function vacuousLines(coverage: readonly ScenarioCoverage[]): string[] {
  const rows = coverage.flatMap(({ scenario, data }) =>
    data.work.filter(({ did }) => did === 0).map(({ what, tried }) => [scenario, what, tried]),
  )
  if (rows.length === 0) return ['', 'everything that was called had something to do in some run']
  return ['', 'called, and never had anything to do', ...tableLines(['scenario', 'never happened', 'chances'], rows)]
}
