/** Whole machines on every engine: same trace, same virtual time, same memory, to the last instruction. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { KernelError, MiB } from '../../../src/base/index.ts'
import { Session, stormKinds } from '../../../src/check/index.ts'
import type { AuditLevel } from '../../../src/check/index.ts'
import { Kernel } from '../../../src/host/index.ts'
import { CODE_CACHE_BYTES, DEFAULT_ENGINE, ENGINE_NAMES, Machine, engineBytes } from '../../../src/guest/index.ts'
import type { EngineName } from '../../../src/guest/index.ts'
import { EXPANSIONS_BYTES, WasmInterpreter } from '../../../src/guest/wasm/index.ts'
import { random } from '../../../src/sched/index.ts'

const LONG = process.env['UMBRA_LONG'] === '1'
const FAST = ENGINE_NAMES.filter((name) => name !== 'reference')

const guestProgram = (name: string): Uint8Array => readFileSync(`examples/guests/prebuilt/${name}.elf`)

/** A hash of all that is put in. */
class Digest {
  private readonly hash = createHash('sha1')
  count = 0

  text(text: string): void {
    this.hash.update(text)
    this.count++
  }
  words(words: Readonly<ArrayBufferView>): void {
    this.hash.update(words as NodeJS.ArrayBufferView)
  }
  get value(): string {
    return this.hash.digest('hex')
  }
}

const json = (value: unknown): string =>
  JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item))

interface Step {
  readonly instructions: number
  readonly digest: string
}

/** The state of a machine every `piece` instructions: registers and CSRs, and now and then all of memory. */
async function digests(
  engine: EngineName,
  guest: string,
  bootargs: string,
  piece: number,
  program: Uint8Array = guestProgram(guest),
  memory: number = guest === 'paging' ? 8 * MiB : 2 * MiB,
): Promise<Step[]> {
  const kernel = new Kernel({ frames: memory / 4096 + 256, scratchBytes: engineBytes([2]) })
  const steps: Step[] = []
  await kernel.run(async () => {
    const machine = await Machine.create(kernel, {
      name: guest,
      program,
      memory,
      bootargs,
      harts: guest === 'smp' ? 2 : 1,
      engine,
      quantum: 977,
      budget: piece,
    })
    for (;;) {
      const result = await machine.run()
      const digest = new Digest()
      for (const { hart } of machine.runs) digest.words(hart.state.halves)
      if (steps.length % 16 === 0 || result.cause !== 'budget') digest.words(kernel.memory.words)
      steps.push({ instructions: result.instructions.reduce((sum, count) => sum + count, 0), digest: digest.value })
      if (result.cause !== 'budget' || steps.length > 20_000) break
      machine.budgetLeft += piece
    }
    await machine.destroy()
  })
  return steps
}

for (const engine of FAST) {
  for (const [guest, bootargs, piece] of [
    ['hello', '', 23],
    ['selfmod', 'rounds=20', 101],
    ['timer', '', 97],
    ...(LONG ? [['paging', '', 997] as const] : []),
    ['smp', 'rounds=100 remaps=4', LONG ? 101 : 997],
    ['sort', LONG ? 'count=2000' : 'count=100', LONG ? 499 : 9973],
  ] as const) {
    test(`${engine}: ${guest} has the same registers and memory as on the reference every ${piece} instructions`, async (t) => {
      const expected = await digests('reference', guest, bootargs, piece)
      const actual = await digests(engine, guest, bootargs, piece)
      t.true(expected.length > 3)
      t.deepEqual(actual, expected)
    })
  }
}

/** The floating-point kernels of the benchmarks, compiled; null where they are not to be run. */
function floatKernels(): Uint8Array | null {
  if (!LONG || spawnSync('riscv64-unknown-elf-gcc', ['--version']).error !== undefined) return null
  const directory = mkdtempSync(join(tmpdir(), 'umbra-kernels-'))
  try {
    execFileSync(join('bench', 'guests', 'build.sh'), [directory])
    return readFileSync(join(directory, 'float.elf'))
  } finally {
    rmSync(directory, { recursive: true })
  }
}

test('the floating-point kernels of the benchmarks run alike on every engine', async (t) => {
  const kernels = floatKernels()
  if (kernels === null) {
    t.log('skipped: set UMBRA_LONG=1, and install riscv64-unknown-elf-gcc')
    t.pass()
    return
  }
  // Rounds enough for their loops to be translated.
  for (const bootargs of ['kernel=0 rounds=1500', 'kernel=1 rounds=1', 'kernel=2 rounds=400']) {
    const [expected, ...others] = await Promise.all(
      ENGINE_NAMES.toSorted((a) => (a === 'reference' ? -1 : 1)).map((engine) =>
        digests(engine, 'kernels', bootargs, 50_021, kernels, 64 * MiB),
      ),
    )
    t.true(expected!.length > 8)
    for (const other of others) t.deepEqual(other, expected)
  }
})

/** Everything that happened in a session under storms: each event with its time, and the memory at the end. */
async function stormDigest(engine: EngineName, seed: number, audit: AuditLevel): Promise<string> {
  const digest = new Digest()
  const session = new Session({
    seed,
    frames: 700,
    swapPages: 4096,
    pageTableLock: 'sleep',
    srcu: 'tiny',
    audit,
    engine,
    policy: seed % 2 === 0 ? random(seed) : undefined,
    probe: (event, stamp) => digest.text(json([event, stamp])),
    storm: { seed, kinds: stormKinds, pace: { shortest: 20_000, longest: 100_000 } },
    guests: [
      ['patterns', 'two-dimensional', 1, 'kib=64 rounds=1'],
      ['sort', 'shadow', 1, 'count=100'],
      ['smp', 'two-dimensional', 2, 'rounds=50 remaps=2'],
    ].map(([name, paging, harts, bootargs]) => ({
      name: name as string,
      program: guestProgram(name as string),
      memory: 2 * MiB,
      harts: harts as number,
      paging: paging as 'shadow' | 'two-dimensional',
      bootargs: bootargs as string,
      budget: 1e9,
    })),
  })
  const report = await session.run()
  digest.text(json(report))
  digest.words(session.kernel.memory.words)
  return `${digest.count} ${digest.value}: ${report.guests.map(({ outcome }) => outcome).join()}`
}

for (const engine of FAST) {
  for (const [seed, audit] of [
    [2, 'sampled'] as const,
    ...(LONG ? [[1, 'off'] as const, [3, 'all'] as const, [4, 'off'] as const] : []),
  ]) {
    test(`${engine}: storms and swap leave the same trace as on the reference, seed ${seed}, audit ${audit}`, async (t) => {
      const expected = await stormDigest('reference', seed, audit)
      t.regex(expected, /finished,finished,finished/)
      t.is(await stormDigest(engine, seed, audit), expected)
    })
  }
}

test('an engine can be changed at any quantum, and the run does not show it', async (t) => {
  const run = async (change: boolean): Promise<string> => {
    const kernel = new Kernel({ frames: 2600, scratchBytes: engineBytes([1]) })
    const digest = new Digest()
    kernel.trace.attach((event, stamp) => {
      // The task that changes engines is seen in who runs, but nowhere else.
      if (!event.name.startsWith('sched')) digest.text(json([event, stamp.now]))
    })
    await kernel.run(async () => {
      const machine = await Machine.create(kernel, {
        name: 'paging',
        program: guestProgram('paging'),
        memory: 8 * MiB,
        quantum: 3001,
      })
      let changes = 0
      kernel.spawn('changer', async () => {
        while (machine.running || changes === 0) {
          if (change) machine.setEngine(ENGINE_NAMES[changes++ % ENGINE_NAMES.length] ?? DEFAULT_ENGINE)
          else changes++
          await kernel.sched.yieldNow()
        }
      })
      digest.text(json(await machine.run()))
      t.true(changes > 20)
      await machine.destroy()
    })
    return digest.value
  }
  t.is(await run(true), await run(false))
})

/** What the demo prints. */
const demo = (engine: EngineName): string =>
  spawnSync(process.execPath, ['build/src/cli/main.js', 'demo', '--audit', 'sampled', '--engine', engine], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  }).stdout

test('the demo prints the same on every engine', (t) => {
  if (!LONG) {
    t.log('skipped: set UMBRA_LONG=1')
    t.pass()
    return
  }
  const expected = demo('reference')
  t.regex(expected, /CONSISTENT/)
  for (const engine of FAST) t.is(demo(engine), expected)
})

test('without room for its tables a fast engine is refused, and the default is the reference', async (t) => {
  const kernel = new Kernel({ frames: 1024, scratchBytes: engineBytes([1]) - CODE_CACHE_BYTES - 64 })
  const { available } = kernel.memory.scratch
  const options = { name: 'hello', program: guestProgram('hello'), memory: 2 * MiB }
  await kernel.run(async () => {
    for (const engine of FAST) {
      const error = await t.throwsAsync(Machine.create(kernel, { ...options, engine }), { instanceOf: KernelError })
      t.is(error?.code, 'ENOMEM')
      t.regex(error?.message ?? '', /no room for its tables .* take engine reference/)
    }
    const machine = await Machine.create(kernel, options)
    t.is((await machine.run()).cause, 'shutdown')
    t.throws(() => machine.setEngine('interpreter'), { instanceOf: KernelError })
    await machine.destroy()
  })
  t.is(kernel.memory.scratch.available, available)
})

test('without room for translated code the translator is refused, and the default is the interpreter', async (t) => {
  const kernel = new Kernel({ frames: 1024, scratchBytes: engineBytes([1]) - EXPANSIONS_BYTES - 64 })
  const options = { name: 'hello', program: guestProgram('hello'), memory: 2 * MiB }
  await kernel.run(async () => {
    const error = await t.throwsAsync(Machine.create(kernel, { ...options, engine: 'translator' }), {
      instanceOf: KernelError,
    })
    t.is(error?.code, 'ENOMEM')
    t.regex(error?.message ?? '', /^engine translator: no room for translated code .* take engine interpreter$/)
    const machine = await Machine.create(kernel, options)
    t.true(machine.runs[0]!.engine instanceof WasmInterpreter)
    t.throws(() => machine.setEngine('translator'), { instanceOf: KernelError, code: 'ENOMEM' })
    t.is((await machine.run()).cause, 'shutdown')
    await machine.destroy()
  })
})

test('machines that come and go give their tables back', async (t) => {
  const kernel = new Kernel({ frames: 1024, scratchBytes: engineBytes([1]) })
  await kernel.run(async () => {
    for (let n = 0; n < 3; n++) {
      const machine = await Machine.create(kernel, {
        name: 'hello',
        program: guestProgram('hello'),
        memory: 2 * MiB,
        engine: 'interpreter',
      })
      t.is((await machine.run()).cause, 'shutdown')
      await machine.destroy()
    }
  })
})
