/** The story of an exhibit: its commit, the right and the wrong lines, and its shortest schedule as a race in columns. */
import { huntExhibit, replayExhibit, shortestOf } from '../../check/index.ts'
import type { Exhibit, Run } from '../../check/index.ts'
import { INVARIANT_TEXT, columnLines } from '../../view/index.ts'
import type { Output } from '../output.ts'

/** `3ad3d901bbcf "mm: ...", v3.6`. */
export const repairedBy = ({ fix, scenario }: Exhibit): string =>
  fix === null ? `a relative: ${scenario.what}` : `${fix.commit} "${fix.subject}", ${fix.version}`

/** All that is stated of an exhibit, as one object. */
export function showFacts(exhibit: Exhibit, output: Output, more: object = {}): void {
  const { name, rank, family, fix, story, correct, historical, breaks, schedules, shortest, leadsTo } = exhibit
  const stated = { name, rank, family, fix, story, correct, historical, breaks, schedules, shortest }
  output.object({ type: 'exhibit', ...stated, leadsTo: leadsTo ?? null, ...more })
}

/** The race of one run, a column a task. */
export function printRace(exhibit: Exhibit, run: Run, output: Output): void {
  const width = Math.max(100, Math.min(output.io.stdout.columns ?? 120, 200))
  for (const line of columnLines(run.trace, exhibit.scenario.tasks, run.violation, { width })) output.line(line)
}

/** Tells the story. */
export async function show(exhibit: Exhibit, output: Output): Promise<void> {
  const found = await huntExhibit(exhibit)
  const short = found === null ? null : await shortestOf(exhibit, found.run)
  if (output.json) return showFacts(exhibit, output, { schedule: short?.run.schedule ?? null })
  const { bold } = output.chalk
  const { breaks, correct, fix, historical, leadsTo, name, rank, scenario, schedules, story } = exhibit
  output.line(bold(`${name} (rank ${rank})`))
  if (fix !== null) output.line(`repaired by ${repairedBy(exhibit)}`)
  output.line()
  for (const line of story) output.line(line)
  output.line()
  const width = Math.max(20, ...historical.map((line) => line.length))
  output.line(bold(`${'with the bug'.padEnd(width)} | repaired`))
  for (let at = 0; at < Math.max(correct.length, historical.length); at++) {
    output.line(`${(historical[at] ?? '').padEnd(width)} | ${correct[at] ?? ''}`.trimEnd())
  }
  output.line()
  output.line(`scenario: ${scenario.what} (tasks ${scenario.tasks.join(', ')})`)
  output.line(`breaks ${breaks}, ${INVARIANT_TEXT[breaks]}, within ${schedules} schedules`)
  if (short !== null) {
    output.line()
    printRace(exhibit, await replayExhibit(exhibit, short.run.schedule), output)
  }
  if (leadsTo !== undefined) output.line(`its repair was followed by: umbra museum show ${leadsTo}`)
}
