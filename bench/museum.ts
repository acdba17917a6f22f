/** Time to kill: how many schedules, and how long, until the auditor sees each bug of the museum. */
import { exhibits, huntExhibit } from '../src/check/index.ts'
import { time } from './report.ts'
import type { Report, Subject } from './report.ts'

const SEEDS = 9
/** More than any exhibit states. */
const MOST = 500

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

export const museum: Subject = {
  name: 'museum',
  title: 'Time to kill',
  async measure(): Promise<Report> {
    const rows: string[][] = []
    const medians: number[] = []
    let worst = 0
    for (const exhibit of exhibits) {
      const schedules: number[] = []
      const times: number[] = []
      for (let seed = 1; seed <= SEEDS; seed++) {
        const began = process.hrtime.bigint()
        const found = await huntExhibit(exhibit, { seed, most: MOST })
        times.push(Number(process.hrtime.bigint() - began))
        schedules.push(found?.schedules ?? Infinity)
      }
      medians.push(median(schedules))
      worst = Math.max(worst, ...schedules)
      rows.push([
        exhibit.name,
        exhibit.breaks,
        `${median(schedules)}`,
        `${Math.max(...schedules)}`,
        time(median(times)),
      ])
    }
    const slowest = Math.max(...medians)
    return {
      tables: [
        {
          title: `schedules of PCT, depth 3, until the named invariant breaks (${SEEDS} seeds)`,
          columns: ['', 'breaks', 'median', 'worst', 'time, median'],
          rows,
          note: 'Every schedule is a run of the real code in a new world, with all invariants judged at every event.',
        },
      ],
      targets: [
        { promise: 'the median is at most 60 for every bug', measured: `${slowest}`, isMet: slowest <= 60 },
        { promise: 'no hunt needs more than 500', measured: `${worst}`, isMet: worst <= 500 },
      ],
    }
  },
}
