/**
 * The README's transcript of the demo is what the demo prints, cut to the rows that matter: a demo is the same for its
 * seed, byte for byte. In long runs only; UMBRA_UPDATE=1 writes the README.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { ROOT, readText } from './sources.ts'

/** First words of the rows that the README shows, between the heads and the audit, which it shows whole. */
const SHOWN =
  /^(guests, after| {10,}patterns|paging |harts|memory +\d+ MiB|outcome|instructions|guest faults|retries|spte fills|spte zaps|hooks|  longest sleep|  slept together|remote TLB|copies on write|forks|pages swapped)/
const TABLES = /^(storms|audit, level|CONSISTENT)/

function transcript(output: string, progress: string): string {
  const head = progress.split('\n').filter((line) => /^umbra: |^ {2}\w+> /.test(line))
  const lines = output.trimEnd().split('\n')
  const first = lines.findIndex((line) => line.startsWith('guests, after'))
  const end = lines.findIndex((line) => line === 'host')
  const guests = lines.slice(first, end).filter((line) => SHOWN.test(line))
  const tables = lines
    .join('\n')
    .split('\n\n')
    .filter((table) => TABLES.test(table))
  return [[...head].join('\n'), [...guests, '  ...'].join('\n'), ...tables].join('\n\n')
}

test("the README's transcript is what the demo prints", (t) => {
  const update = process.env['UMBRA_UPDATE'] === '1'
  if (process.env['UMBRA_LONG'] !== '1' && !update) {
    t.log('skipped: set UMBRA_LONG=1')
    t.pass()
    return
  }
  const { stdout, stderr } = spawnSync(process.execPath, [join(ROOT, 'build/src/cli/main.js'), 'demo'], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  })
  const wanted = `\`\`\`\n$ npm start\n${transcript(stdout, stdout.startsWith('umbra:') ? stdout : stderr)}\n\`\`\``
  const readme = readText('README.md')
  const block = /```\n\$ npm start\n[^]*?\n```/
  if (update)
    writeFileSync(
      join(ROOT, 'README.md'),
      readme.replace(block, () => wanted),
    )
  else t.is(block.exec(readme)?.[0], wanted)
  t.regex(wanted, /CONSISTENT: [\d,]+ checks, 0 violations/)
})
