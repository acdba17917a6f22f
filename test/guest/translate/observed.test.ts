/** Who follows every access hears of those of translated code, and finds out a stale row at its first use. */
import { createHash } from 'node:crypto'
import test from 'ava'
import { MiB, PAGE_SIZE } from '../../../src/base/index.ts'
import { Auditor, KernelWorld } from '../../../src/check/index.ts'
import { Assembler, Machine } from '../../../src/guest/index.ts'
import type { CodeCache, EngineName, HartArea } from '../../../src/guest/index.ts'
import { Kernel } from '../../../src/host/index.ts'
import { randomFloatProgram } from './random-float.ts'
import { BASE, MEMORY, elf, randomProgram } from './random-guest.ts'

const LONG = process.env['UMBRA_LONG'] === '1'
const ENGINES: readonly EngineName[] = ['interpreter', 'translator']

interface Run {
  readonly events: number
  readonly digest: string
  readonly units: number
}

/** All events of a run, accesses among them, and its end. */
async function eventsOf(engine: EngineName, program: Uint8Array, threshold: number): Promise<Run> {
  const kernel = new Kernel({ frames: 1024, scratchBytes: 4 * MiB })
  const auditor = new Auditor(kernel.trace, new KernelWorld(kernel), { level: 'all' })
  const hash = createHash('sha1')
  let events = 0
  kernel.trace.attach(
    (event, stamp) => {
      events++
      hash.update(
        JSON.stringify([event, stamp], (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)),
      )
    },
    { accesses: true },
  )
  const units = await kernel.run(async () => {
    const options = { name: 'm', program, memory: MEMORY, budget: 3000, quantum: 397, engine, threshold }
    const machine = await Machine.create(kernel, options)
    const result = await machine.run()
    hash.update(`${result.cause} ${result.instructions.join()} ${machine.runs[0]!.hart.state.cells.join()}`)
    const cache = kernel.memory.scratch.shared.get('translator') as CodeCache | undefined
    await machine.destroy()
    return cache?.stats.units ?? 0
  })
  auditor.finish()
  return { events, digest: hash.digest('hex'), units }
}

test('every load and store of random programs is told in the same order on all engines', async (t) => {
  let units = 0
  for (let seed = 1; seed <= (LONG ? 40 : 1); seed++) {
    for (const program of [randomProgram(seed), randomFloatProgram(seed)]) {
      const expected = await eventsOf('reference', program, 2)
      for (const engine of ENGINES) {
        const actual = await eventsOf(engine, program, 1 + (seed % 3))
        t.is(`${actual.events} ${actual.digest}`, `${expected.events} ${expected.digest}`, `${engine}, seed ${seed}`)
        if (engine === 'translator') units += actual.units
      }
    }
  }
  t.true(units > 10)
})

const asm = new Assembler()
/** Loads and stores in a loop without end: units do nothing else. */
const LOOP = [
  asm.word('auipc', { rd: 5, imm: 0x1000 }),
  asm.word('ld', { rd: 6, rs1: 5, imm: 16 }),
  asm.word('addi', { rd: 6, rs1: 6, imm: 1 }),
  asm.word('sd', { rs1: 5, rs2: 6, imm: 24 }),
  asm.word('jal', { rd: 0, imm: -12 }),
]

for (const access of ['read', 'write'] as const) {
  for (const engine of ENGINES) {
    test(`${engine}: a stale ${access} row is found out at its first use`, async (t) => {
      const image = new Uint8Array(4 * PAGE_SIZE)
      const view = new DataView(image.buffer)
      for (const [i, word] of LOOP.entries()) view.setUint32(4 * i, word, true)
      const kernel = new Kernel({ frames: 1024, scratchBytes: 4 * MiB })
      // Every auditor of level `all` follows accesses as this does.
      kernel.trace.attach(() => {}, { accesses: true })
      const run = kernel.run(async () => {
        const program = elf(image, BASE, BASE)
        const options = { name: 'm', program, memory: MiB, budget: 5000, quantum: 101, engine, threshold: 2 }
        const machine = await Machine.create(kernel, options)
        await machine.run()
        const cache = kernel.memory.scratch.shared.get('translator') as CodeCache | undefined
        t.is(engine === 'translator', (cache?.stats.units ?? 0) > 0)
        const { area } = machine.runs[0]!.engine as unknown as { readonly area: HartArea }
        const page = BASE / PAGE_SIZE + 1
        const base = area[access].lookup(page)
        t.true(base > 0)
        area[access].fill(page, base + PAGE_SIZE)
        machine.resume(100)
        await machine.wait()
      })
      await t.throwsAsync(run, { message: /stale fast TLB: hart 0 (?:loads from|stores to) gva 0x80001.* TLB says/ })
    })
  }
}
