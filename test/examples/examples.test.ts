import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { ROOT, links, readText } from '../docs/sources.ts'

const run = promisify(execFile)

/** A line that the example must print: what it is there to show. */
const SHOWS: readonly (readonly [example: string, ...lines: RegExp[]])[] = [
  ['your-own-client', /^the GPU was told 1 time\(s\); 20000 ns have passed$/m],
  ['notifier-client', /^ {2}40000 ns {2}munmap has returned/m, /^unregistered: the card knows 0 pages/m],
  [
    'sleeping-hook',
    /one SRCU for all mms: +unregister waits 5000 us/,
    /an SRCU domain each mm: +unregister waits 0 us/,
  ],
  ['retry-protocol', /start over \(sequence\)/, /reads 0x0: a fresh page/, /reads 0xbad: it looks into a page/],
  [
    'cow-and-change-pte',
    /^bracketed[^]*rewrote: 0\n[^]*^unbracketed[^]*rewrote: 1\n[^]*afterwards: 0, it reads 0x2222/m,
  ],
  ['aging', /^after the guest loaded from 2, 5 +\. \. y \. \. y \. \.$/m, /^present after.* \. \. p \. \. p \. \.$/m],
  [
    'check-my-client',
    /^device: I2 violated after \d+ schedules?$/m,
    /^repaired-device: no violation within 2 preemptions \(\d+ schedules\)/m,
  ],
  ['dirty-log', /^round 0: .*all 256 pages/m, /its memory and the copy are equal/],
  ['two-paging-modes', /^paging: pass$/m, /^guest tables shadowed +\d+ +\d+$/m],
  [
    'shadow-tables',
    /^the shadow table:[^]*0000000040001000[^]*^the host takes[^]*^the shadow table:(?![^]*0000000040001000)/m,
  ],
]

for (const [example, ...lines] of SHOWS) {
  test(`examples/${example}.ts shows what it is there to show`, async (t) => {
    const { stdout } = await run(process.execPath, [join(ROOT, `build/examples/${example}.js`)])
    for (const line of lines) t.regex(stdout, line)
  })
}

test('every example is in examples/README.md, and in this test', (t) => {
  const files = readdirSync(join(ROOT, 'examples')).filter((name) => name.endsWith('.ts'))
  const listed = new Set(links(readText('examples/README.md')).map(({ target }) => target))
  t.deepEqual(
    files.filter((name) => !listed.has(name)),
    [],
  )
  t.deepEqual(
    files.filter((name) => name !== 'guest-access.ts').toSorted(),
    SHOWS.map(([example]) => `${example}.ts`).toSorted(),
  )
})
