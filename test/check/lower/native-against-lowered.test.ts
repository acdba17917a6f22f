/** The same schedules give the same events, byte for byte, on native async functions and on frames. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { eventTrace } from './event-trace.ts'

const SEEDS = process.env['UMBRA_LONG'] === '1' ? 2000 : 10
const run = promisify(execFile)

async function lowered(...words: readonly string[]): Promise<readonly string[]> {
  const script = fileURLToPath(new URL('lowered-traces.js', import.meta.url))
  const { stdout } = await run(process.execPath, [script, ...words], { maxBuffer: 1 << 28 })
  return stdout.trim().split('\n')
}

test(`${SEEDS} random worlds leave the same trace natively and lowered`, async (t) => {
  t.timeout(900_000)
  const running = lowered('0', String(SEEDS))
  const native: string[] = []
  for (let seed = 0; seed < SEEDS; seed++) {
    const text = (await eventTrace(seed)).join('\n')
    native.push(createHash('sha256').update(text).digest('hex'))
  }
  const others = await running
  t.is(others.length, SEEDS)
  const seed = native.findIndex((digest, at) => digest !== others[at])
  if (seed < 0) return
  const [ours, theirs] = [await eventTrace(seed), await lowered(String(seed), '1', 'whole')]
  const line = ours.findIndex((one, at) => one !== theirs[at])
  t.fail(`seed ${seed}, line ${line}: native ${ours[line]}, lowered ${theirs[line]}`)
})
