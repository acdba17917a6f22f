/**
 * Random host operations against random guest accesses under random schedules, in every mode, with the auditor on
 * everything. A seed fixes all of it: a failure prints the seed, and the same seed fails again.
 */
import test from 'ava'
import { stressWorld } from './stress-world.ts'

const SEEDS = process.env['UMBRA_LONG'] === '1' ? 1500 : 120

test(`no invariant breaks in ${SEEDS} random worlds`, async (t) => {
  t.timeout(300_000)
  for (let seed = 0; seed < SEEDS; seed++) {
    const { violations } = await stressWorld(seed)
    const first = violations[0]
    if (first !== undefined) t.fail(`seed ${seed}: ${first.invariant}: ${first.what} (task ${first.task})`)
  }
  t.pass()
})
