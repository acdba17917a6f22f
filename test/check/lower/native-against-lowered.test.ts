/** The same schedules give the same events, byte for byte, on native async functions and on frames. */
import { createHash } from 'node:crypto'
import test from 'ava'
import { scenarios } from '../../../src/check/index.ts'
import type { Run, Scenario } from '../../../src/check/index.ts'
import { importLowered, registerLowering } from '../../../src/cli/lower-hook.ts'
import { pct, random } from '../../../src/sched/index.ts'
import { eventTrace } from './event-trace.ts'

const isLong = process.env['UMBRA_LONG'] === '1'
/** Random schedules of each scenario; also set by UMBRA_SCHEDULES. */
const SCHEDULES = Number(process.env['UMBRA_SCHEDULES'] ?? (isLong ? 40 : 1))
/** Which so many of them: the gate takes another block for each commit, of BLOCKS that make 2,000 in all. */
const BLOCKS = 50
const FIRST = (Number(process.env['UMBRA_BLOCK'] ?? 0) % BLOCKS) * SCHEDULES
const SEEDS = isLong ? 600 : 5

registerLowering()
const load = <T>(path: string): Promise<T> => importLowered(new URL(path, import.meta.url).href) as Promise<T>
const traces = await load<typeof import('./event-trace.ts')>('./event-trace.js')
const checks = await load<typeof import('../../../src/check/index.ts')>('../../../src/check/index.js')
const policies = await load<typeof import('../../../src/sched/index.ts')>('../../../src/sched/index.js')
const digestOf = (lines: readonly string[]): string => createHash('sha256').update(lines.join('\n')).digest('hex')

test.serial(`${SEEDS} random worlds leave the same trace natively and lowered`, async (t) => {
  t.timeout(900_000)
  for (let seed = 0; seed < SEEDS; seed++) {
    const [native, lowered] = [await eventTrace(seed), await traces.eventTrace(seed)]
    if (digestOf(native) === digestOf(lowered)) continue
    const line = native.findIndex((one, at) => one !== lowered[at])
    return t.fail(`seed ${seed}, line ${line}: native ${native[line]}, lowered ${lowered[line]}`)
  }
  t.pass()
})

/** What two builds must have in common: everything that a run tells. */
function toldBy(run: Run): string {
  const { schedule, steps, digest, violation, failure } = run
  return JSON.stringify([schedule, steps, digest, violation?.invariant, violation?.what, failure?.message])
}

function policyOf(from: typeof policies, seed: number): ReturnType<typeof pct> {
  return seed % 2 === 0 ? from.random(seed) : from.pct(seed, 3)
}

for (const [at, scenario] of scenarios.entries()) {
  // One in four by default; all of them in the long form.
  if (!isLong && at % 4 !== 0) continue
  test.serial(
    `${scenario.name}: ${SCHEDULES} schedules from ${FIRST} tell the same natively and lowered, and no parked call goes unawaited`,
    async (t) => {
      t.timeout(900_000)
      const lowered: Scenario = checks.scenarios[at]!
      for (let seed = FIRST; seed < FIRST + SCHEDULES; seed++) {
        const native = toldBy(await scenario.run(policyOf({ ...policies, random, pct }, seed), { record: true }))
        const other = toldBy(await lowered.run(policyOf(policies, seed), { record: true }))
        if (native !== other) t.is(other, native, `seed ${seed}`)
      }
      t.pass()
    },
  )
}
