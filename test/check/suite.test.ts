/**
 * The shipped scenarios on the correct code: those in which two or three tasks meet in one page are proved, every other
 * one is clean within two preemptions.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { scenarios } from '../../src/check/index.ts'
import type { Scenario } from '../../src/check/index.ts'
import { importLowered, registerLowering } from '../../src/cli/lower-hook.ts'

const isLong = process.env['UMBRA_LONG'] === '1'

/** The smallest of each kind, in both ways of paging. */
const SUBSET = [
  'unmap-vs-warm',
  'unmap-vs-warm-shadow',
  'migrate-vs-warm',
  'reclaim-vs-warm-shadow',
  'exit-vs-fault',
  'exit-vs-destroy-shadow',
  'memslot-add-vs-fault',
  'memslot-move-vs-fault',
  'memslot-delete-vs-fault-shadow',
  'soft-dirty-vs-writer',
  'pfncache-vs-dontneed-shadow',
  'unregister-vs-unmap',
  'failed-start-two-clients',
  'get-put',
  'interval-read-vs-dontneed',
  'interval-remove-vs-dontneed',
  'interval-would-block',
  'interval-insert-vs-dontneed',
  'srcu-tiny-synchronize',
  'srcu-classic-cross-task',
  'srcu-counted-cross-task',
]

const checks = async (): Promise<typeof import('../../src/check/index.ts')> => {
  registerLowering()
  return (await importLowered(
    new URL('../../src/check/index.js', import.meta.url).href,
  )) as typeof import('../../src/check/index.ts')
}

const isSmall = ({ tasks, pages }: Scenario): boolean => tasks.length <= 3 && pages === 1

test('a scenario of each kind is proved', async (t) => {
  const { prove, scenarios: lowered } = await checks()
  for (const name of SUBSET) {
    const { complete, found } = await prove(
      lowered.find((scenario) => scenario.name === name)!,
      { states: 2000 },
    )
    t.deepEqual([name, complete, found], [name, true, null])
  }
})

test('the default suite: up to three tasks and one page are proved, the rest is clean within two preemptions', async (t) => {
  if (!isLong) {
    t.log('skipped: set UMBRA_LONG=1')
    t.pass()
    return
  }
  t.timeout(1_500_000)
  const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [main, 'check', '--workers', '2', '--json'], {
    maxBuffer: 2 ** 26,
  })
  const verdicts = new Map<string, string>()
  for (const line of stdout.trim().split('\n')) {
    const { type, name, verdict } = JSON.parse(line) as Record<string, string>
    if (type === 'scenario') verdicts.set(name!, verdict!)
  }
  t.is(verdicts.size, scenarios.length)
  const poor = scenarios.filter((scenario) => {
    const verdict = verdicts.get(scenario.name) ?? ''
    return !(
      verdict.startsWith('proved: ') ||
      (!isSmall(scenario) && /within (?:[2-9]|\d\d) preemptions/.test(verdict))
    )
  })
  t.deepEqual(
    poor.map(({ name }) => `${name}: ${verdicts.get(name) ?? 'nothing'}`),
    [],
  )
})
