import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { umbra as runCommand } from '../../src/cli/umbra.ts'

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))
const prebuilt = fileURLToPath(new URL('../../../examples/guests/prebuilt/', import.meta.url))

interface Result {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** What was written, one character a byte. */
const text = (piece: string | Uint8Array): string =>
  typeof piece === 'string' ? piece : Buffer.from(piece).toString('latin1')

/** Runs a command in this process, with streams that are no terminals. */
async function umbra(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Result> {
  let [out, err] = ['', '']
  const code = await runCommand(args, {
    stdout: { write: (piece) => (out += text(piece)) },
    stderr: { write: (piece) => (err += text(piece)) },
    env,
  })
  return { code, out, err }
}

/** Runs the built command as a process. */
function spawnUmbra(args: readonly string[], onOutput?: (child: ChildProcess) => void): Promise<Result> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [main, ...args])
    let [out, err] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
      onOutput?.(child)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
    child.on('close', (code) => resolve({ code, out, err }))
  })
}

const objects = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)

/** The command fails with exit code 2 and exactly these lines on stderr; nothing goes to stdout. */
async function refuses(t: ExecutionContext, args: readonly string[], ...lines: (string | RegExp)[]): Promise<void> {
  const { code, out, err } = await umbra(args)
  t.is(code, 2, args.join(' '))
  t.is(out, '')
  const got = err.trimEnd().split('\n')
  t.is(got.length, lines.length, err)
  for (const [i, line] of lines.entries()) {
    if (typeof line === 'string') t.is(got[i], `umbra: ${line}`)
    else t.regex(got[i]!, line)
  }
}

test('help names every command and every exit code', async (t) => {
  const { code, out, err } = await umbra(['help'])
  t.is(code, 0)
  t.is(err, '')
  for (const word of ['demo', 'run', 'list', 'disasm', 'help', 'completion'])
    t.regex(out, new RegExp(`^  ${word} +\\w`, 'm'))
  for (const exit of ['0', '1', '2', '3', '4']) t.regex(out, new RegExp(`^  ${exit}  `, 'm'))
  t.is((await umbra(['--help'])).out, out)
  t.false(out.includes('\x1b'))
})

test('help on a command shows its options with choices and defaults, and every line fits', async (t) => {
  const { code, out } = await umbra(['help', 'run'])
  t.is(code, 0)
  for (const option of [
    '--memory',
    '--frames',
    '--harts',
    '--paging',
    '--swap',
    '--storm',
    '--srcu',
    '--audit',
    '--budget',
  ]) {
    t.true(out.includes(option), option)
  }
  t.regex(out, /--srcu tiny\|classic\|counted\n? +SRCU implementation \(default tiny\)/)
  t.true(out.split('\n').every((line) => line.length <= 100))
  t.is((await umbra(['run', '--help'])).out, out)
})

test('list shows the guests and the storms', async (t) => {
  const { code, out } = await umbra(['list'])
  t.is(code, 0)
  for (const name of ['hello', 'patterns', 'smp', 'sort', 'jump-nowhere', 'unmap', 'fork', 'ksm']) {
    t.regex(out, new RegExp(`^  ${name} `, 'm'), name)
  }
})

test('--version prints the version of package.json', async (t) => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  t.deepEqual(await spawnUmbra(['--version']), { code: 0, out: `umbra ${version}\n`, err: '' })
  t.deepEqual(objects((await umbra(['--version', '--json'])).out), [{ type: 'version', version }])
})

test('wrong usage is one clear line, a hint where there is one, and exit code 2', async (t) => {
  await refuses(t, ['rum', 'hello'], "unknown command 'rum'", "did you mean 'run'?")
  await refuses(t, ['patterns'], "unknown command 'patterns'", "did you mean 'umbra run patterns'?")
  await refuses(t, ['run', 'hello', '--memry', '4M'], "unknown option '--memry'", "did you mean '--memory'?")
  await refuses(t, ['run', 'hello', '--xyzzy'], "unknown option '--xyzzy'")
  await refuses(t, ['run', 'helo'], "unknown guest 'helo', and no file of that name", "did you mean 'hello'?")
  await refuses(t, ['run'], /ELF\|NAME is missing/, 'umbra help run')
  await refuses(t, ['run', 'hello', 'twice'], "unexpected argument 'twice'", 'umbra help run shows what it takes')
  await refuses(t, ['run', 'hello', '--memory', 'lots'], "--memory is 'lots'; expected a size such as 4096, 64K or 2M")
  await refuses(t, ['run', 'hello', '--memory'], /^umbra: --memory needs a value: guest memory/)
  await refuses(t, ['run', 'hello', '--memory', '--seed'], /^umbra: --memory needs a value: guest memory/)
  await refuses(t, ['run', 'hello', '--harts', '0'], "--harts is '0'; expected 1 to 32")
  await refuses(t, ['run', 'hello', '--json=yes'], "--json takes no value; it was given 'yes'")
  await refuses(
    t,
    ['run', 'hello', '--srcu', 'tinny'],
    "--srcu is 'tinny'; expected one of tiny, classic, counted",
    "did you mean 'tiny'?",
  )
  await refuses(
    t,
    ['run', 'hello', '--storm-kinds', 'unmap,frok'],
    /^umbra: --storm-kinds: unknown 'frok'; expected some of/,
    "did you mean 'fork'?",
  )
  await refuses(t, ['completion', 'tcsh'], "unknown shell 'tcsh'; expected one of bash, zsh, fish", /did you mean/)
  await refuses(t, ['list', '--trace'], "unknown option '--trace'")
})

test('a file that is no guest is one line that says why, and exit code 2', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'umbra-cli-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const hello = readFileSync(join(prebuilt, 'hello.elf'))
  const file = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes)
    return join(folder, name)
  }
  const foreign = Buffer.from(hello)
  foreign.writeUInt16LE(62, 18)
  const far = Buffer.from(hello)
  far.writeBigUInt64LE(0x1_0000_0000n, 64 + 24)
  await refuses(t, ['run', file('cut.elf', hello.subarray(0, 100))], /^umbra: .*(truncated|ends|beyond|outside)/)
  await refuses(t, ['run', file('header.elf', hello.subarray(0, 20))], /^umbra: .*ELF header/)
  await refuses(t, ['run', file('amd64.elf', foreign)], 'ELF machine is 62; expected 243 (RISC-V)')
  await refuses(t, ['run', file('far.elf', far)], /^umbra: .*0x100000000/)
  await refuses(t, ['run', file('text.txt', Buffer.from('just text'))], /^umbra: /)
  await refuses(t, ['run', file('empty', Buffer.alloc(0))], /^umbra: /)
  await refuses(t, ['run', join(folder, 'absent.elf')], /^umbra: cannot read guest '.*absent.elf': no such file$/)
  await refuses(t, ['run', folder], /^umbra: cannot read guest '.*': it is a directory$/)
  await refuses(
    t,
    ['run', 'hello', '--trace', join(folder, 'no', 'file')],
    /^umbra: --trace: cannot write '.*': ENOENT$/,
  )
  await refuses(t, ['run', 'hello', '--replay', 'u1:!!'], "not a schedule: letter '!'; expected u1:...")
})

test('disasm prints the instructions at the entry, and a JSON object for each with --json', async (t) => {
  const text = await umbra(['disasm', 'hello', '--count', '5'])
  t.is(text.code, 0)
  const lines = text.out.trimEnd().split('\n')
  t.is(lines.length, 5)
  for (const line of lines) t.regex(line, /^80[0-9a-f]{6}: {2}([0-9a-f]{4} {4}|[0-9a-f]{8}) {2}[a-z.]+/)
  const json = objects((await umbra(['disasm', 'hello', '--count', '5', '--json'])).out)
  t.deepEqual(
    json.map(({ address, text: instruction }) => `${Number(address).toString(16)} ${String(instruction)}`),
    lines.map((line) => `${line.slice(0, 8)} ${line.slice(21)}`),
  )
  await refuses(
    t,
    ['disasm', 'hello', '--from', '0x90000000'],
    /^umbra: nothing is loaded at 0x90000000; the file has 0x80000000/,
  )
  await refuses(
    t,
    ['disasm', 'hello', '--from', '0x80000001'],
    /^umbra: --from is 0x80000001; instructions are at even/,
  )
})

/** Whether a command prints colours to a pipe. */
const coloured = async (args: readonly string[], env: Record<string, string>): Promise<boolean> =>
  (await umbra(args, env)).out.includes('\x1b[')

test('colour only where it is asked for: NO_COLOR and --no-color win over FORCE_COLOR, a pipe has none', async (t) => {
  t.false(await coloured(['list'], {}))
  t.true(await coloured(['list'], { FORCE_COLOR: '1' }))
  t.false(await coloured(['list'], { FORCE_COLOR: '0' }))
  t.false(await coloured(['list'], { FORCE_COLOR: '1', NO_COLOR: '1' }))
  t.true(await coloured(['list'], { FORCE_COLOR: '1', NO_COLOR: '' }))
  t.false(await coloured(['list', '--no-color'], { FORCE_COLOR: '1' }))
  t.false(await coloured(['list', '--json'], { FORCE_COLOR: '1' }))
})

test('--json prints one object a line for every command', async (t) => {
  for (const args of [['help'], ['help', 'run'], ['list'], ['completion', 'fish']]) {
    const { code, out } = await umbra([...args, '--json'])
    t.is(code, 0)
    for (const object of objects(out)) t.is(typeof object['type'], 'string')
  }
  const { code, out, err } = await umbra(['run', 'nobody', '--json'])
  t.is(code, 2)
  t.is(objects(out)[0]!['type'], 'error')
  t.regex(err, /^umbra: unknown guest/)
})

const script = async (shell: string): Promise<string> => (await umbra(['completion', shell])).out

test('the completion scripts are accepted by their shells, and bash completes from the table', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'umbra-completion-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'umbra.bash')
  writeFileSync(path, await script('bash'))
  const complete = (...words: string[]): string[] =>
    spawnSync('bash', [
      '-c',
      `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _umbra; printf '%s\\n' "\${COMPREPLY[@]}"`,
      'bash',
      path,
      ...words,
    ])
      .stdout.toString()
      .trim()
      .split('\n')
  t.deepEqual(complete('umbra', 'ru'), ['run'])
  t.deepEqual(
    complete('umbra', 'run', '--pag'),
    ['--paging', '--page-table-lock'].filter((name) => name.startsWith('--pag')),
  )
  t.deepEqual(complete('umbra', 'run', 'hello', '--srcu', 'c'), ['classic', 'counted'])
  t.deepEqual(complete('umbra', 'run', 'patt'), ['patterns'])
  t.deepEqual(complete('umbra', 'help', 'dis'), ['disasm'])
  for (const shell of ['zsh', 'fish']) {
    const other = join(folder, `umbra.${shell}`)
    writeFileSync(other, await script(shell))
    const check = spawnSync(shell, ['-n', other])
    if (check.error === undefined) t.is(check.status, 0, check.stderr.toString())
    else t.log(`skipped: ${shell} is not installed`)
  }
})

test('a reader that goes away ends the command quietly', (t) => {
  const { status, stderr } = spawnSync('bash', [
    '-c',
    `set -o pipefail; "$0" "$1" disasm sort --count 5000 | head -1`,
    process.execPath,
    main,
  ])
  t.is(stderr.toString(), '')
  t.is(status, 0)
})

test('run prints the guest on stdout and everything else on stderr', async (t) => {
  const { code, out, err } = await spawnUmbra(['run', 'hello'])
  t.is(code, 0)
  t.is(out, 'hello: a guest in S mode, with a device tree\nhello: pass\n')
  t.regex(err, /^instructions +[\d,]+$/m)
  t.regex(err, /\nCONSISTENT: [\d,]+ checks, 0 violations\n$/)
})

test('run under storms in every mode ends consistent, with what the guest would print alone', async (t) => {
  const alone = await umbra(['run', 'patterns', '--bootargs', 'kib=64 rounds=1'])
  for (const options of [
    ['--paging', 'shadow', '--srcu', 'classic'],
    ['--paging', 'two-dimensional', '--srcu', 'counted', '--page-table-lock', 'spin'],
  ]) {
    const args = [
      'run',
      'patterns',
      '--bootargs',
      'kib=64 rounds=1',
      '--frames',
      '128',
      '--storm',
      '7',
      '--audit',
      'all',
    ]
    const { code, out, err } = await umbra([...args, ...options])
    t.is(code, 0, err)
    t.is(out, alone.out)
    t.regex(err, /^unmap +\d+ +\d+$/m)
  }
})

test('a spent budget is exit code 3, a guest that cannot go on is exit code 2, and each says why', async (t) => {
  const spin = await umbra(['run', 'spin', '--budget', '100k'])
  t.is(spin.code, 3)
  t.regex(spin.err, /\nUNFINISHED: guest spin: .*budget.*\n$/)
  const nowhere = await umbra(['run', 'jump-nowhere'])
  t.is(nowhere.code, 2)
  t.regex(nowhere.err, /\nconsistent, but guest jump-nowhere: .*\n$/)
  const memory = await umbra(['run', 'patterns', '--frames', '96', '--swap', '0'])
  t.is(memory.code, 3)
  t.regex(memory.err, /\nUNFINISHED: guest patterns: .*no memory left/)
})

test('--json on run: console text, figures and the verdict as objects', async (t) => {
  const { code, out, err } = await umbra(['run', 'hello', '--json'])
  t.is(code, 0)
  t.is(err, '')
  const rows = objects(out)
  const console = rows.filter(({ type }) => type === 'console').map(({ text }) => String(text))
  t.is(console.join(''), 'hello: a guest in S mode, with a device tree\nhello: pass\n')
  t.is(rows.find(({ type }) => type === 'guest')!['outcome'], 'finished')
  t.like(rows.at(-1)!, { type: 'verdict', verdict: 'consistent', exitCode: 0, violations: 0 })
})

test('a trace file has the header and one line an event; a recorded schedule replays to the same trace', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'umbra-trace-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = (name: string): string => join(folder, name)
  const guest = ['run', 'patterns', '--bootargs', 'kib=64 rounds=1', '--storm', '3', '--frames', '128']
  const first = await umbra([...guest, '--trace', path('a'), '--record', path('schedule')])
  t.is(first.code, 0, first.err)
  const second = await umbra([...guest, '--trace', path('b'), '--replay', path('schedule')])
  t.is(second.code, 0, second.err)
  const lines = readFileSync(path('a'), 'utf8').trimEnd().split('\n')
  t.regex(lines[0]!, /^# tracer: umbra$/)
  for (const line of lines.slice(12)) t.regex(line, /^ *\S.*-\d+ +\[\d{3}\] \.{5} +\d+\.\d{6}: \w+:/)
  t.deepEqual(readFileSync(path('b'), 'utf8').trimEnd().split('\n'), lines)
  t.regex(readFileSync(path('schedule'), 'utf8'), /^u1:[\w-]+\n$/)
})

test('Ctrl-C ends a run cleanly with the verdict so far', async (t) => {
  const { code, out, err } = await spawnUmbra(['run', 'spin', '--storm', '1'], (child) => child.kill('SIGINT'))
  t.is(out, 'spin: spinning\n')
  t.is(code, 3)
  t.regex(err, /\nUNFINISHED: guest spin: .*stopped.*0 violations\)\n$/)
})

test('the demo is consistent, and shows every mechanism at work', async (t) => {
  const { code, out } = await umbra(process.env['UMBRA_LONG'] === undefined ? ['demo', '--audit', 'sampled'] : ['demo'])
  t.is(code, 0, out)
  t.regex(out, /\nCONSISTENT: [\d,]+ checks, 0 violations\n$/)
  t.false(out.includes('not exercised'), out)
  for (const line of ['hook slept under SRCU', 'remote flush waited for a vCPU', 'fault retried: sequence'])
    t.true(out.includes(line))
})

test('the demo with a bug injected ends with exit code 1 and names invariant, page and events; twice the same bytes', async (t) => {
  const [first, second] = [
    await spawnUmbra(['demo', '--inject', 'stale-spte']),
    await umbra(['demo', '--inject', 'stale-spte']),
  ]
  t.is(first.code, 1)
  t.regex(first.out, /\nI[12] violated: /)
  t.regex(first.out, /\n {2}page: hva 0x[0-9a-f]+, gfn 0x[0-9a-f]+, pfn 0x[0-9a-f]+\n/)
  t.regex(first.out, /\n {2}last events that touched the page:\n(.+\[\d{3}\].+\n){3,}VIOLATION: I[12] /)
  t.deepEqual(second, first)
})

test('a museum exhibit is found, told, replayed by the line that it prints, and gone without its bug', async (t) => {
  const run = await umbra(['museum', 'run', 'second-delete'])
  t.is(run.code, 0, run.out)
  t.regex(run.out, /\n +exit +\| unregister\n/)
  t.regex(run.out, /\nwithout it: proved: all \d+ states\n$/)
  const line = /^umbra (museum replay second-delete u1:\S*)$/m.exec(run.out)![1]!
  const replayed = await umbra(line.split(' '))
  t.is(replayed.code, 1)
  t.regex(replayed.out, /\nI5 violated: /)
  const chain = await umbra(['museum', 'chain'])
  t.regex(chain.out, /(?:^|\n\n)delist-before-release: .*\n {2}-> second-delete: .*\n {2}-> unlink-then-release: /)
  await refuses(t, ['museum', 'replay', 'second-delete', 'u2:A'], /not a schedule: it begins with 'u2:'/)
  await refuses(t, ['museum', 'chain', 'no-retry'], /no-retry is in no chain/, /in chains are /)
  await refuses(t, ['museum', 'run', 'second-delet'], /no exhibit is named 'second-delet'/, /second-delete/)
})
