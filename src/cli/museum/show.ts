/** The story of an exhibit: its commit, the right and the wrong lines, and its shortest schedule as a race in columns. */
import { huntExhibit, replayExhibit, shortestOf } from '../../check/index.ts'
import type { Exhibit, Run } from '../../check/index.ts'
import { INVARIANT_TEXT, changeLines, columnLines, plural, wrap } from '../../view/index.ts'
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

/** Columns of a line: the terminal's, within reason. */
const widthOf = (output: Output): number => Math.max(80, Math.min(output.io.stdout.columns ?? 120, 200))

/** Prose is read in lines that are not too long. */
const PROSE = 100

/** The race of one run, a column a task. */
export function printRace(exhibit: Exhibit, run: Run, output: Output): void {
  const { bold, red } = output.chalk
  const lines = columnLines(run.trace, exhibit.scenario.tasks, run.violation, { width: widthOf(output) })
  for (const line of lines) {
    if (/^ +\S/.test(line) && line.includes('^ here')) output.line(red(line))
    else output.line(/^I\d+ violated/.test(line) ? bold(red(line)) : line)
  }
}

/** Tells the story. */
export async function show(exhibit: Exhibit, output: Output): Promise<void> {
  const found = await huntExhibit(exhibit)
  const short = found === null ? null : await shortestOf(exhibit, found.run)
  if (output.json) return showFacts(exhibit, output, { schedule: short?.run.schedule ?? null })
  const { bold, cyan, green, red } = output.chalk
  const { breaks, correct, fix, historical, leadsTo, name, rank, scenario, schedules, story } = exhibit
  const width = widthOf(output)
  const prose = (text: string): void => {
    for (const line of wrap(text, Math.min(width, PROSE))) output.line(line)
  }
  output.line(`${bold(name)} (rank ${rank})`)
  if (fix !== null) prose(`repaired by ${repairedBy(exhibit)}`)
  output.line()
  prose(story.join(' '))
  output.line()
  const paint = (text: string, side: 'before' | 'after'): string => (side === 'before' ? red(text) : green(text))
  for (const line of changeLines(historical, correct, { width, heads: ['with the bug', 'repaired'], paint }))
    output.line(line)
  output.line()
  prose(`scenario: ${scenario.what} (${plural(scenario.tasks.length, 'task')}: ${scenario.tasks.join(', ')})`)
  prose(`breaks ${breaks}, "${INVARIANT_TEXT[breaks]}", within ${plural(schedules, 'schedule')}`)
  if (short !== null) {
    output.line()
    output.line(bold(`the shortest schedule: ${plural(short.preemptions, 'preemption')}`))
    printRace(exhibit, await replayExhibit(exhibit, short.run.schedule), output)
    output.line()
    output.line(`see it again:  ${cyan(`umbra museum replay ${name} ${short.run.schedule}`)}`)
  }
  output.line(`without it:    ${cyan(`umbra museum run ${name}`)}`)
  if (leadsTo !== undefined) output.line(`what followed: ${cyan(`umbra museum show ${leadsTo}`)}`)
}
