/** `umbra check`, `merge` and `replay`: exit codes, workers, shards, budgets. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { planUnits, scenarios } from '../../src/check/index.ts'
import { progressText, proofText, schedulesLeft } from '../../src/cli/progress.ts'
import { pageFlagNames, PG_ANON, PG_DIRTY, PG_KSM, PG_SWAPBACKED, PG_SWAPCACHE } from '../../src/host/index.ts'
import { unitsOfShard } from '../../src/cli/units.ts'
import { umbra as runCommand } from '../../src/cli/umbra.ts'

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))
const FILE = fileURLToPath(new URL('planted.js', import.meta.url))
/** Shipped scenarios beside the planted ones. */
const SOME: readonly string[] =
  process.env['UMBRA_LONG'] === '1'
    ? scenarios.filter((_, index) => index % 32 === 0).map(({ name }) => name)
    : ['srcu-tiny-cross-task']
const [clean, broken, failing, deadly] = ['clean', 'broken', 'failing', 'deadly'].map((name) => `${FILE}#${name}`)

interface Result {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function umbra(args: readonly (string | undefined)[], isTTY = false): Promise<Result> {
  let [out, err] = ['', '']
  const code = await runCommand(args as string[], {
    stdout: { write: (piece) => (out += String(piece)) },
    stderr: { write: (piece) => (err += String(piece)), isTTY, columns: 200 },
    env: {},
  })
  return { code, out, err }
}

const objects = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'umbra-check-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  return path
}

test('exit codes of check: 0 clean, 1 violated, 2 bad input or a mistake in a file, 3 budget, 4 failed', async (t) => {
  const zero = await umbra(['check', clean, '--policy', 'all', '--schedules', '20'])
  t.is(zero.code, 0, zero.err)
  t.regex(zero.out, /#clean +no violation within 2 preemptions \(6 schedules\); no violation in 15 schedules\n/)
  t.regex(zero.out, /\nno violation: 1 scenario, 27 schedules\n$/)
  const one = await umbra(['check', clean, broken, failing, '--policy', 'all', '--schedules', '20'])
  t.is(one.code, 1)
  t.regex(one.out, /#broken +I1 violated after \d+ schedules?\n/)
  t.regex(one.out, /\numbra replay \S+#broken u1:\S+ --digest [0-9a-f]{8}\n/)
  t.regex(one.out, /\nVIOLATION in 1 scenario: 3 scenarios/)
  const two = await umbra(['check', failing, '--policy', 'all', '--schedules', '20'])
  t.is(two.code, 2)
  t.regex(two.out, /#failing +failed: end failed: the steps alternate, at .*planted\.[jt]s:\d+:\d+/)
  const unsteady = await umbra(['check', `${FILE}#unsteady`])
  t.is(unsteady.code, 2)
  t.regex(unsteady.err, /#unsteady is not deterministic: event \d+ is mem_store of one /)
  for (const [args, message] of [
    [['nobody'], /^umbra: no scenario is named 'nobody'\n/],
    [[clean, '--shard', '3/2'], /^umbra: --shard is '3\/2'; expected I\/N/],
    [['./absent.js'], /^umbra: cannot load scenarios from '.\/absent.js': /],
    [[main.replace('main.js', 'exit-code.js')], /exports no scenario/],
    [[`${FILE}#nobody`], /no scenario is named/],
  ] as const) {
    const two = await umbra(['check', ...args])
    t.is(two.code, 2, two.out)
    t.regex(two.err, message)
  }
  const three = await umbra(['check', clean, '--policy', 'all', '--memory', '16', '--schedules', '10k'])
  t.is(three.code, 3)
  t.regex(three.out, /\(stopped\)\nno violation: 1 scenario, \d+ schedules?, 1 not finished \(memory is used up\)\n$/)
})

test('exit codes of replay: 0, 1, 2, and 4 when the trace is another', async (t) => {
  const { out } = await umbra(['check', broken, '--policy', 'all', '--json'])
  const command = String(objects(out).find(({ type }) => type === 'counterexample')!['replay'])
    .split(' ')
    .slice(1)
  t.is((await umbra(command)).code, 1)
  t.is((await umbra(['replay', clean, 'u1:'])).code, 0)
  t.is((await umbra(['replay', clean, 'u9:'])).code, 2)
  t.is((await umbra(['replay', `${FILE}#nobody`, 'u1:'])).code, 2)
  t.is((await umbra([...command.slice(0, -1), '00000000'])).code, 4)
  t.is((await umbra(['replay', clean, 'u1:ZAE'])).code, 4)
})

test('two workers print the same bytes as one, and a worker that dies is named', async (t) => {
  t.timeout(600_000)
  const args = ['check', clean, broken, ...SOME, '--schedules', '120', '--json', '--coverage']
  const alone = await umbra(args)
  const two = await umbra([...args, '--workers', '2'])
  t.is(two.out, alone.out)
  t.is(two.code, 1)
  const dies = await umbra(['check', deadly, clean, '--schedules', '20', '--policy', 'pct', '--workers', '2'])
  t.is(dies.code, 4)
  t.regex(dies.out, /\nLOST: unit '\S+#deadly pct 0' was run twice and gave no result: /)
  t.regex(dies.out, /#clean +no violation in 20 schedules\n/)
})

const verdicts = (text: string): unknown[] => objects(text).filter(({ type }) => type !== 'bug')

test('shards merged are the whole; what is missing is named; strangers are refused', async (t) => {
  const path = folder(t)
  const at = (name: string): string => join(path, name)
  const args = ['check', clean, broken, '--policy', 'all', '--schedules', '60']
  await umbra([...args, '--out', at('whole')])
  for (const shard of ['1', '2']) t.true((await umbra([...args, '--shard', `${shard}/2`, '--out', at(shard)])).code < 2)
  const whole = await umbra(['merge', at('whole'), '--json'])
  const parts = await umbra(['merge', at('1'), at('2'), '--json', '--out', at('both')])
  t.is(parts.code, 1)
  t.deepEqual(verdicts(parts.out), verdicts(whole.out))
  t.is((await umbra(['merge', at('both'), at('2'), at('1'), '--json'])).out, parts.out, 'a join')
  const half = await umbra(['merge', at('2')])
  t.regex(half.out, /\nMISSING: shard 1\/2 \(\d units?\)\n/)
  t.regex(half.out, /not finished \(shard 1\/2 is missing\)\n$/)
  const lines = readFileSync(at('1'), 'utf8').split('\n')
  const edited = (name: string, change: (lines: string[]) => string[]): string => {
    writeFileSync(at(name), change([...lines]).join('\n'))
    return at(name)
  }
  const lost = edited('lost', ([head]) => [head!, '{"type":"end","units":0}', ''])
  t.regex(
    (await umbra(['merge', lost, at('2')])).out,
    /\nMISSING: unit '\S+#clean pct 0' of shard 1\/2 did not come to/,
  )
  const seed = edited('seed', ([head, ...rest]) => [head!.replace('"seed":1', '"seed":2'), ...rest])
  const old = edited('old', ([head, ...rest]) => [head!.replace(/"version":"[^"]*"/, '"version":"0.0.1"'), ...rest])
  const cut = edited('cut', (all) => all.slice(0, -2))
  for (const [file, message] of [
    [seed, /'\S+' and '\S+' do not belong together: seed is 1, not 2\n$/],
    [old, /do not belong together: version is /],
    [at('whole'), /do not belong together: totalShards is 2, not 1\n$/],
    [cut, /it was cut: its end is missing\n$/],
    [FILE, /line 1 is not a JSON object\n$/],
    [at('absent'), /ENOENT\n$/],
  ] as const) {
    const refused = await umbra(['merge', file, at('2')])
    t.is(refused.code, 2, refused.out)
    t.regex(refused.err, message)
  }
})

/** Runs the built command as a process that is interrupted when it has printed something. */
function interrupted(args: readonly string[]): Promise<{ code: number | null; out: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [main, ...args])
    let out = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (out === '') child.kill('SIGINT')
      out += text
    })
    child.on('close', (code) => resolve({ code, out }))
  })
}

test('Ctrl-C ends a check with the verdict so far, with workers and without', async (t) => {
  const bounded = ['--policy', 'bounded', '--preemptions', '4', '--schedules', '1M']
  for (const workers of ['1', '2']) {
    const args = ['check', clean!, 'unmap-vs-fault', ...bounded, '--workers', workers]
    const { code, out } = await interrupted(args)
    t.is(code, 3, out)
    t.regex(out, /#clean +no violation within 4 preemptions \(6 schedules\)\n/)
    t.regex(out, /\nunmap-vs-fault +no (violation|schedule).*\(stopped\)\n/)
    t.regex(out, /\nno violation: 2 scenarios, \d+ schedules, 1 not finished \(interrupted\)\n$/)
  }
})

test('--why-states names the values that differ between states of the same places', async (t) => {
  const { code, out } = await umbra(['check', 'pfncache-vs-memslot-delete-shadow', '--why-states'])
  t.is(code, 0)
  t.regex(out, /^pfncache-vs-memslot-delete-shadow: \d+ states, the tasks at \d+ combinations of places\n/)
  t.regex(out, /\n {2}\d+ states with\n(?: {4}\w+: .*\n)+ {2}differ in\n {4}\S.*: .*, .*\n/)
  const few = await umbra(['check', 'unmap-vs-fault', '--why-states', '--states', '20', '--json'])
  t.is(few.code, 3)
  const [first] = objects(few.out)
  t.like(first, { type: 'why-states', scenario: 'unmap-vs-fault', states: 21, complete: false })
})

test('Ctrl-C ends a proof with the states so far', async (t) => {
  const { code, out } = await interrupted(['check', clean!, 'unmap-vs-fault', '--states', '1M'])
  t.is(code, 3, out)
  t.regex(out, /\nunmap-vs-fault +no (violation in \d+ (states?|schedules?)|schedule).*\(stopped\)\n/)
})

test('progress on a terminal: rate, and an estimate of what is left; none elsewhere', async (t) => {
  const args = ['check', 'unmap-vs-fault', '--policy', 'pct', '--schedules', '80']
  t.regex((await umbra(args, true)).err, /\[1\/1\] unmap-vs-fault: \d+ schedules?, \d+ a second, about \d+ left \(/)
  t.is((await umbra([...args, '--schedules', '20', '--json'], true)).err, '')
  t.is(progressText('[1/2]', 500, 1000, 2000), '[1/2] 500 schedules, 250 a second, about 1,000 left (4 s)')
  t.is(progressText('[1/2]', 500, Infinity, 2000), '[1/2] 500 schedules, 250 a second')
  t.is(proofText('[3/6]', 1200, 2, 3, 4000), '[3/6] 1,200 states, about 3 proofs left (6 s)')
  const proof = { states: 900, depth: 44, milliseconds: 500 }
  t.is(proofText('[6/6] x:', 2100, 5, 0, 4000, proof), '[6/6] x: 900 states so far, 1,800 a second, depth 44')
  const { err } = await umbra(['check', 'mmap-fixed-vs-warm'], true)
  t.regex(err, /\[1\/\d\] mmap-fixed-vs-warm: [\d,]+ states so far, [\d,]+ a second, depth \d+/)
})

test('what is left: hunts as planned, trees that have not begun as the mean of those that have ended', (t) => {
  const config = {
    policy: 'all',
    seed: 1,
    depth: 0,
    schedules: 400,
    preemptions: 1,
    states: 1,
    coverage: false,
  } as const
  const units = planUnits('x', config)
  const done = { schedules: 30, states: 0, complete: true, finding: null, coverage: null }
  t.is(schedulesLeft(units, []), 200 + 100 + 400)
  t.is(schedulesLeft(units, [{ ...done, unit: 'y bounded 0', words: 'no violation' }]), 200 + 100 + 30)
  t.is(schedulesLeft([], [], { schedules: 3, left: () => 7.4 }), 7)
})

test('page says what a page is at a step, who maps it, and what is wrong with the question', async (t) => {
  const swapped = objects((await umbra(['page', 'swap-vs-warm', '--json', '--page', '0'])).out)[0]!
  t.is(swapped['type'], 'page')
  const mapped = await umbra(['page', 'fork-vs-warm', 'u1:', '--until', '1', '--page', '0'])
  t.is(mapped.code, 0, mapped.err)
  t.regex(mapped.out, /^Address: 0x[0-9a-f]+ in mm 1: mapped\n/)
  t.regex(mapped.out, /\nTranslated by: spte of vm 1, gfn 0x80000 -> PFN 0x[0-9a-f]+ writable/)
  t.regex(mapped.out, /\nTranslated by: TLB of vm 1 vcpu 0, gfn 0x80000 -> /)
  t.regex(mapped.out, /\nFlags: (PG_\w+\|)*PG_anon\|PG_uptodate\n/)
  t.regex(mapped.out, /\nMap count: 1\n(.*\n)*Mapped at: .* in mm 1, VMA .*, PTE writable young dirty\n/)
  const frame = /PFN: (0x[0-9a-f]+)/.exec(mapped.out)![1]!
  t.true(mapped.out.includes(`-> PFN ${frame} `))
  for (const [option, value, message] of [
    ['--until', '100k', /^umbra: --until is 100000; this schedule has \d+ events\n$/],
    ['--page', '99', /^umbra: --page is 99; expected 0 to \d+\n$/],
  ] as const) {
    const refused = await umbra(['page', 'fork-vs-warm', 'u1:', option, value])
    t.is(refused.code, 2)
    t.regex(refused.err, message)
  }
})

test('each shard has its share of the proofs, and each unit is in one shard', (t) => {
  const config = {
    policy: 'prove',
    seed: 1,
    depth: 0,
    schedules: 400,
    preemptions: 1,
    states: 1,
    coverage: false,
  } as const
  const plan = ['a', 'b', 'c', 'd'].map((scenario) => ({ scenario, units: planUnits(scenario, config) }))
  const shards = [1, 2].map((number) => unitsOfShard(plan, { number, of: 2 }).flatMap(({ units }) => units))
  for (const units of shards) t.is(units.filter(({ policy }) => policy === 'prove').length, 2)
  t.is(new Set(shards.flat().map(({ id }) => id)).size, plan.flatMap(({ units }) => units).length)
})

test('each page flag has its name', (t) => {
  const named = { dirty: PG_DIRTY, swapcache: PG_SWAPCACHE, swapbacked: PG_SWAPBACKED, anon: PG_ANON, ksm: PG_KSM }
  for (const [name, flag] of Object.entries(named)) t.deepEqual(pageFlagNames(flag), [name])
})
