/** `umbra check` on files of the user's own: what breaks a rule is named, with its place. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { umbra } from '../../src/cli/umbra.ts'

const FILE = fileURLToPath(new URL('careless.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'umbra-careless-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

async function check(
  name: string,
  policy: string = 'pct',
  schedules: string = '10',
): Promise<{ readonly code: number; readonly text: string }> {
  let text = ''
  const write = (piece: string | Uint8Array): void => void (text += String(piece))
  const args = ['check', `${FILE}#${name}`, '--schedules', schedules, '--policy', policy, '--violations', folder]
  const code = await umbra(args, { stdout: { write }, stderr: { write, isTTY: false, columns: 200 }, env: {} })
  return { code, text }
}

const named: Readonly<Record<string, readonly [number, RegExp]>> = {
  foreign: [2, /^failed at test\/cli\/careless\.ts:\d+:\d+: task careless failed: foreign await/m],
  endless: [1, /I11: no end: task careless goes round and round/],
  hangs: [1, /I11: no end: a loop without a switch point, at test\/cli\/careless\.ts:\d+:5$/m],
  'hangs-in-promises': [1, /I11: no end: a loop without a switch point, at test\/cli\/careless\.ts:\d+:12$/m],
  throws: [2, /^failed: task careless failed: the client is broken, at \S*test\/cli\/careless\.ts:\d+:\d+$/m],
  moody: [2, /#moody is not deterministic: event \d+ is \w+ of careless .* in the first run and .* in the second/],
  'unregister-in-hook': [1, /I8: task host unregisters notifier \S+ of mm 1 inside a hook/],
  'synchronize-in-hook': [1, /I8: task host calls synchronize inside its own read section of srcu/],
  'allocate-in-hook': [1, /I13: task host allocates memory inside a hook, and the allocation may reclaim/],
}

for (const [name, [code, words]] of Object.entries(named)) {
  test.serial(`${name} is named`, async (t) => {
    const report = await check(name)
    t.regex(report.text, words)
    t.is(report.code, code)
  })
}

test.serial('a loop that only a proof comes to is named by it', async (t) => {
  const { text, code } = await check('hangs-late', 'prove', '1')
  t.regex(text, /violated after 1 schedule and \d+ states?\n/)
  t.regex(text, /I11: no end: a loop without a switch point, at test\/cli\/careless\.ts:\d+:\d+$/m)
  t.is(code, 1)
})
