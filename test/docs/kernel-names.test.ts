import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { ROOT, declares, linkedPath, readText, roomExports } from './sources.ts'

const DOCUMENT = 'docs/kernel-names.md'

interface Row {
  readonly kernel: string
  readonly ours: string
  readonly file: string
}

const ROW = /^\| `([^`]+)` \| `([^`]+)` \| \[[^\]]+\]\(([^)]+)\) \|$/

const lines = readText(DOCUMENT)
  .split('\n')
  .filter((line) => line.startsWith('| `'))
const rows = lines.map((line): Row => {
  const [, kernel, ours, target] = ROW.exec(line) ?? []
  return {
    kernel: kernel ?? line,
    ours: ours ?? '',
    file: linkedPath(DOCUMENT, target ?? '') ?? '',
  }
})

test('every row has a kernel name, a name of ours, and a file that exists', (t) => {
  t.true(rows.length > 200)
  for (const row of rows) {
    t.truthy(row.ours, row.kernel)
    t.true(existsSync(join(ROOT, row.file)), `${row.kernel}: ${row.file}`)
  }
})

test('every name is declared and exported by the file that its row names', (t) => {
  for (const { kernel, ours, file } of rows) t.true(declares(file, ours), `${kernel}: ${ours} in ${file}`)
})

test('no kernel name has two rows', (t) => {
  const names = rows.map((row) => row.kernel)
  t.deepEqual(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
  )
})

test('every call of the notifier list that the room exports has its row', (t) => {
  const listed = new Set(rows.map((row) => row.ours))
  const calls = [...roomExports('notifier')].filter((name) => /^mmu(?:Notifier|Interval)[A-Z]/.test(name))
  t.deepEqual(
    calls.filter((name) => !listed.has(name) && name !== 'mmuNotifierSrcu'),
    [],
  )
})
