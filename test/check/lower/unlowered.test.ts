/** Files that are not lowered hold no protocol state: each one that writes fields is named here, with the reason. */
import { readFileSync, readdirSync } from 'node:fs'
import test from 'ava'
import { writtenFields } from '../../../src/check/lower/fields.ts'
import { parseModule } from '../../../src/check/lower/syntax.ts'
import { isLowered } from '../../../src/cli/lower-hook.ts'

const build = new URL('../../../src/', import.meta.url)

const WATCHES = 'watches a run from outside: its objects are opaque'
const NO_PART = 'has no part in the run of a scenario'

/** Files, or folders, and why they may write fields that no table has. */
const NAMED: Readonly<Record<string, string>> = {
  'check/auditor.js': WATCHES,
  'check/coverage/': WATCHES,
  'check/event-history.js': WATCHES,
  'check/golden-memory.js': WATCHES,
  'check/protocol.js': WATCHES,
  'check/translations.js': WATCHES,
  'check/figure-collector.js': WATCHES,
  'check/figures.js': WATCHES,
  'check/histogram.js': WATCHES,
  'check/frames/': 'is the machinery: what frames write is written and read by it, and its iterators name their fields',
  'check/explore/': 'works between two runs',
  'check/litmus/': NO_PART,
  'check/lower/': 'works before any run',
  'check/inject.js': NO_PART,
  'check/session.js': NO_PART,
  'check/storm/': NO_PART,
  'guest/': NO_PART,
  'view/': NO_PART,
}

const reasonOf = (file: string): string | undefined =>
  Object.entries(NAMED).find(([name]) => (name.endsWith('/') ? file.startsWith(name) : file === name))?.[1]

test('every file that writes fields is lowered, or named with its reason', (t) => {
  const files = readdirSync(build, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js'))
  const writers = files.filter((file) => {
    if (file.startsWith('cli/') || isLowered(new URL(file, build).href)) return false
    const { names, computed } = writtenFields(parseModule(readFileSync(new URL(file, build), 'utf8'), file))
    return names.length + computed.size > 0
  })
  t.true(writers.length > 10)
  t.deepEqual(
    writers.filter((file) => reasonOf(file) === undefined),
    [],
  )
})
