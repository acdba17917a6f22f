/** Every exhibit: with its bug the named invariant breaks, by a schedule that replays; without it all is clean. */
import test from 'ava'
import { clearExhibit, exhibits, huntExhibit, replayExhibit } from '../../src/check/museum/index.ts'

for (const exhibit of exhibits) {
  const { name, breaks, schedules } = exhibit

  test(`${name}: the bug breaks ${breaks} within ${schedules} schedules, and the schedule replays`, async (t) => {
    const found = await huntExhibit(exhibit)
    t.truthy(found, 'not found')
    const again = await replayExhibit(exhibit, found!.schedule)
    t.is(again?.invariant, breaks)
    t.is(again?.what, found!.violation.what)
  })

  test(`${name}: clean without the bug, over as many schedules`, async (t) => {
    const violation = await clearExhibit(exhibit)
    t.is(violation, null, violation?.what)
  })
}
