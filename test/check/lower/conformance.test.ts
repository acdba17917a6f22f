/** A program gives the same when it is lowered, or is refused with its position: never something else. */
import test from 'ava'
import { TaskHandle, begin, park, step } from '../../../src/check/frames/park.ts'
import { LowerError } from '../../../src/check/lower/syntax.ts'
import { lower } from '../../../src/check/lower/lower.ts'
import { programs, refused, refusedAtRun } from './programs.ts'

type Log = (...values: unknown[]) => void
type Suspend = (value: unknown) => Promise<unknown>
interface Program {
  readonly main: (log: Log, y: Suspend) => Promise<void>
}

const runtime = new URL('../../../src/check/frames/runtime.js', import.meta.url).href

function moduleOf(code: string): Promise<unknown> {
  return import(`data:text/javascript,${encodeURIComponent(code)}`)
}

async function runNative(code: string): Promise<readonly string[]> {
  const lines: string[] = []
  const { main } = (await moduleOf(code)) as Program
  try {
    await main(
      (...values) => void lines.push(JSON.stringify(values)),
      async (value) => {
        await Promise.resolve()
        return value
      },
    )
  } catch (failure) {
    lines.push(thrown(failure))
  }
  return lines
}

function thrown(failure: unknown): string {
  return `threw ${failure instanceof Error ? failure.message : JSON.stringify(failure)}`
}

/** Steps a task until it ends; `lowered` is its module, `suspender` the lowered `y`. */
async function runLowered(lowered: string): Promise<readonly string[]> {
  const lines: string[] = []
  const { main } = (await moduleOf(lowered)) as Program
  const source = 'export const make = (park) => async (value) => { await park(); return value }'
  const { make } = (await moduleOf(lower(source, 'suspend.js', runtime).code)) as {
    readonly make: (park: () => unknown) => Suspend
  }
  const handle = new TaskHandle()
  let ended = false
  const log: Log = (...values) => void lines.push(JSON.stringify(values))
  const finish = (failure: unknown): void => {
    ended = true
    if (failure !== null) lines.push(thrown(failure))
  }
  begin(
    handle,
    () =>
      main(
        log,
        make(() => park(handle)),
      ),
    finish,
  )
  for (let steps = 0; !ended && steps < 1000; steps++) step(handle)
  if (!ended) lines.push('never ended')
  return lines
}

for (const [name, body] of Object.entries(programs)) {
  test(name, async (t) => {
    const code = `export async function main(log, y) {\n${body}\n}`
    const word = refused[name]
    if (word !== undefined) {
      const failure = t.throws(() => lower(code, 'program.js', runtime), { instanceOf: LowerError })
      t.regex(failure.message, /^program\.js:[12]:\d+: /)
      t.true(failure.message.includes(word), failure.message)
      return
    }
    const lowered = await runLowered(lower(code, 'program.js', runtime).code)
    const words = refusedAtRun[name]
    if (words !== undefined) t.regex(lowered.join('\n'), new RegExp(`threw .*(${words}).*program\\.js:\\d+:\\d+`))
    else t.deepEqual(lowered, await runNative(code))
  })
}

test('an error in the text of a module has its position', (t) => {
  t.throws(() => lower('const a =\n  ;', 'bad.js', runtime), { instanceOf: LowerError, message: /^bad\.js:2:3: / })
})

test('a site says which locals live at each suspension', (t) => {
  const code =
    'export async function f(y) {\n  const dead = await y(1)\n  const kept = dead + 1\n  await y(2)\n  return kept\n}'
  const { sites } = lower(code, 'live.js', runtime)
  const { locals, live, places } = sites[0]!
  const second = places.findIndex(([line]) => line === 4)
  t.deepEqual(
    live[second]!.map((at) => locals[at]),
    ['kept'],
  )
})
