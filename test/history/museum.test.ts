/** Every exhibit: with its bug the named invariant breaks, by a schedule that replays; without it all is clean. */
import test from 'ava'
import { clearExhibit, exhibits, huntExhibit, replayExhibit } from '../../src/check/museum/index.ts'
import type { Exhibit } from '../../src/check/museum/index.ts'
import { readText } from '../docs/sources.ts'

for (const exhibit of exhibits) {
  const { name, breaks, schedules } = exhibit
  test(`${name}: the bug breaks ${breaks} within ${schedules} schedules, and the schedule replays`, async (t) => {
    const found = await huntExhibit(exhibit)
    t.truthy(found, 'not found')
    const again = await replayExhibit(exhibit, found!.schedule)
    t.is(again?.invariant, breaks)
    t.is(again?.what, found!.violation.what)
  })
}

/** Exhibits of one scenario are one and the same without their bugs: the one with the most schedules speaks for all. */
function mostOfEach(): readonly Exhibit[] {
  const most = new Map<object, Exhibit>()
  for (const exhibit of exhibits) {
    const other = most.get(exhibit.scenario)
    if (other === undefined || other.schedules < exhibit.schedules) most.set(exhibit.scenario, exhibit)
  }
  return [...most.values()]
}

for (const exhibit of mostOfEach()) {
  test(`${exhibit.name}: clean without the bug, over as many schedules`, async (t) => {
    const violation = await clearExhibit(exhibit)
    t.is(violation, null, violation?.what)
  })
}

test('docs/museum.md has every exhibit with its figures, and chains lead to exhibits', (t) => {
  const text = readText('docs/museum.md')
  for (const { name, breaks, schedules, leadsTo } of exhibits) {
    const entry = text.slice(text.indexOf(`### ${name}\n`))
    t.regex(entry, new RegExp(`^### ${name}\n\n.*Breaks ${breaks}, within ${schedules} schedules\\.`), name)
    if (leadsTo !== undefined)
      t.true(
        exhibits.some((exhibit) => exhibit.name === leadsTo),
        leadsTo,
      )
  }
})
