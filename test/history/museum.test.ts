/** Every exhibit: with its bug the named invariant breaks, by a schedule that replays; without it all is clean. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import {
  Coverage,
  chains,
  clearWithinBound,
  equivalentMutants,
  exhibits,
  huntExhibit,
  measureGlobalSrcu,
  mutationScore,
  replayExhibit,
  searchBounded,
  shortestOf,
  withBug,
} from '../../src/check/index.ts'
import type { Exhibit, Fate, Mutant, Scenario, Worked } from '../../src/check/index.ts'
import { random } from '../../src/sched/index.ts'
import { museumText } from '../docs/museum-text.ts'
import { ROOT, readText } from '../docs/sources.ts'

const LONG = process.env['UMBRA_LONG'] === '1'
/** Hunts of an exhibit, each with schedules of its own. */
const SEEDS = LONG ? 25 : 1
/** Schedules that half of the hunts may need, and every hunt. */
const MEDIAN = 60
const WORST = 500

for (const [index, exhibit] of exhibits.entries()) {
  const { name, breaks, schedules } = exhibit
  test.serial(`${name}: PCT breaks ${breaks} within ${schedules} schedules`, async (t) => {
    t.timeout(900_000)
    t.true(schedules <= WORST)
    const needed: number[] = []
    for (let seed = 1; seed <= SEEDS; seed++) {
      const found = await huntExhibit(exhibit, { seed })
      if (found === null) return t.fail(`seed ${seed}: not found in ${schedules} schedules`)
      needed.push(found.schedules)
    }
    needed.sort((a, b) => a - b)
    t.true(needed[SEEDS >> 1]! <= (LONG ? MEDIAN : schedules), `needed ${needed.join(' ')}`)
  })

  // One in four by default; all of them in the long form.
  if (!LONG && index % 4 !== 0) continue
  test.serial(`${name}: the shortest schedule is as short as stated, and replays`, async (t) => {
    t.timeout(900_000)
    const found = await huntExhibit(exhibit)
    if (found === null) return t.fail('not found')
    const short = await shortestOf(exhibit, found.run, LONG ? {} : { runs: 150 })
    t.true(short.preemptions <= exhibit.shortest.preemptions, `${short.preemptions} preemptions`)
    t.true(short.run.steps <= exhibit.shortest.steps, `${short.run.steps} steps`)
    const again = await replayExhibit(exhibit, short.run.schedule)
    t.is(again.violation?.invariant, breaks)
    t.is(again.violation?.what, short.run.violation?.what)
    t.is(again.schedule, short.run.schedule)
    t.true((again.violation?.history.length ?? 0) > 0, 'a violation comes with the events that led to it')
  })
}

/** Exhibits of one scenario are one and the same without their bugs: the one that claims most speaks for all. */
function mostOfEach(): readonly Exhibit[] {
  const most = new Map<object, Exhibit>()
  for (const exhibit of exhibits) {
    const other = most.get(exhibit.scenario)
    if (other === undefined || (other.cleanWithin ?? 2) < (exhibit.cleanWithin ?? 2))
      most.set(exhibit.scenario, exhibit)
  }
  return [...most.values()]
}

for (const exhibit of mostOfEach()) {
  test.serial(`${exhibit.name}: clean without the bug, as far as it claims`, async (t) => {
    t.timeout(900_000)
    // By default what three tasks do is run without preemptions.
    const most = exhibit.scenario.tasks.length > 2 ? 0 : 1
    const { violation, complete } = await clearWithinBound(exhibit, LONG ? Infinity : most)
    t.is(violation, null, violation?.what)
    t.true(complete)
  })
}

const named = (fates: readonly Fate[]): string[] =>
  fates.map(({ mutant }) => `${mutant.operation}/${mutant.mutation.name}`)

test.serial('the mutation score: generated bugs are killed, but for those that can break nothing', async (t) => {
  t.timeout(900_000)
  // By default the family whose bugs need the fewest schedules; all of them in the long form.
  const only = LONG ? {} : { only: ({ mutation }: Mutant) => mutation.name === 'missing-notifier' }
  const { killed, total, survivors, refuted } = await mutationScore(only)
  t.log(`mutation score ${killed}/${total}; survivors: ${named(survivors).join(', ') || 'none'}`)
  t.deepEqual(named(survivors), [])
  t.deepEqual(named(refuted), [])
  t.true(total > 5)
})

for (const { name, reason, scenarios } of equivalentMutants) {
  test.serial(`equivalent: ${name}, for ${reason.slice(0, 60)}..`, async (t) => {
    t.timeout(900_000)
    for (const scenario of scenarios) {
      const { found, complete } = await searchBounded(scenario, { preemptions: LONG ? 1 : 0 })
      t.is(found?.violation?.what, undefined, scenario.name)
      t.true(complete)
    }
  })
}

/** How often change_pte rewrote an spte in ten random schedules. */
async function rewrites(scenario: Scenario): Promise<Worked> {
  const coverage = new Coverage()
  for (let seed = 1; seed <= 10; seed++) await coverage.watch(scenario).run(random(seed))
  return coverage.data().work.find(({ what }) => what === 'change_pte rewrites an spte')!
}

test.serial('change_pte inside a window never rewrites an spte; without one it does in every schedule', async (t) => {
  const vacuous = exhibits.find(({ name }) => name === 'change-pte-made-vacuous')!
  const [without, inside] = [await rewrites(vacuous.scenario), await rewrites(withBug(vacuous))]
  t.is(without.did, without.tried)
  t.is(inside.did, 0)
  t.true(without.tried === 10 && inside.tried > 0)
})

test.serial('the three claims of the global SRCU, measured', async (t) => {
  const { bytes, histograms, rcuCaughtAfter, srcuClean, waits, waitsAsClaimed } = await measureGlobalSrcu()
  t.true(rcuCaughtAfter !== null && srcuClean, 'a hook that sleeps is caught under RCU, and safe under SRCU')
  for (const { kind, cpus, domain, perMm } of bytes) {
    if (kind !== 'tiny') t.true(domain >= 16 * cpus, `${kind}: counters for each CPU`)
    for (const each of perMm) t.is(each.bytes, domain * each.mms)
  }
  t.true(waitsAsClaimed)
  t.deepEqual([...new Set(waits.map(({ who }) => who))], ['unregister', 'exit'])
  t.true(histograms.global.length > histograms.perMm.length, 'the waits of one for all are longer')
})

test.serial('docs/museum.md tells what the exhibits say (UMBRA_UPDATE=1 writes it)', (t) => {
  const written = readText('docs/museum.md')
  const text = museumText(written, exhibits)
  if (process.env['UMBRA_UPDATE'] === '1') writeFileSync(join(ROOT, 'docs/museum.md'), text)
  else t.is(written, text)
  for (const { name } of exhibits) t.true(text.includes(`\n### ${name}\n`), name)
})

test.serial('chains lead to exhibits, and a name stands for one exhibit', (t) => {
  const names = exhibits.map(({ name }) => name)
  t.is(new Set(names).size, names.length)
  for (const { leadsTo } of exhibits) if (leadsTo !== undefined) t.true(names.includes(leadsTo), leadsTo)
  for (const chain of chains()) t.true(chain.length > 1)
})
