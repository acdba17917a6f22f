/** docs/museum.md, with the entries of its exhibits made from what the exhibits say. */
import type { Exhibit, Family } from '../../src/check/index.ts'

/** Headings of the document begin with these. */
const HEADINGS: Readonly<Record<Family, string>> = {
  lifetime: '## Lifetime:',
  retry: '## Retry:',
  order: '## Order:',
  flush: '## Flush:',
  tables: '## Tables:',
  bookkeeping: '## Bookkeeping:',
  context: '## Context:',
}

function sideBySide(left: readonly string[], right: readonly string[]): string[] {
  const width = Math.max(18, ...left.map((line) => line.length)) + 3
  const rows = Math.max(left.length, right.length)
  const lines = [`${'/* with the bug */'.padEnd(width)}/* repaired */`]
  for (let at = 0; at < rows; at++) lines.push(`${(left[at] ?? '').padEnd(width)}${right[at] ?? ''}`.trimEnd())
  return lines
}

function entryOf(exhibit: Exhibit): string[] {
  const { name, fix, breaks, schedules, shortest, cleanWithin, story, correct, historical, leadsTo } = exhibit
  const repaired = fix === null ? 'A relative.' : `Repaired by ${fix.commit} "${fix.subject}", ${fix.version}.`
  const least = `Shortest schedule: at most ${shortest.steps} steps and ${shortest.preemptions} preemptions.`
  const clean =
    cleanWithin === undefined ? [] : [`Clean within ${cleanWithin} preemption${cleanWithin === 1 ? '' : 's'}.`]
  return [
    `### ${name}`,
    '',
    [repaired, `Breaks ${breaks}, within ${schedules} schedules.`, least, ...clean].join(' '),
    '',
    ...story,
    '',
    '```c',
    ...sideBySide(historical, correct),
    '```',
    '',
    ...(leadsTo === undefined ? [] : [`The next link of the chain: [${leadsTo}](#${leadsTo}).`, '']),
  ]
}

/** The document anew: prose stays, entries are made again. */
export function museumText(document: string, exhibits: readonly Exhibit[]): string {
  const sections = document.split(/^(?=## )/m)
  return sections
    .map((section) => {
      const family = (Object.keys(HEADINGS) as Family[]).find((each) => section.startsWith(HEADINGS[each]))
      if (family === undefined) return section
      const prose = section.split(/^### /m)[0]!
      const entries = exhibits.filter((exhibit) => exhibit.family === family).flatMap(entryOf)
      return `${prose.trimEnd()}\n\n${entries.join('\n').trimEnd()}\n\n`
    })
    .join('')
}
