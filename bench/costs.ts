/**
 * What an engine pays at its edges: a load that hits, one that misses each kind of table, a call out of guest mode and back,
 * and a page that the host has taken away.
 */
import { MiB, PAGE_SIZE, hva } from '../src/base/index.ts'
import { Assembler, CSR_ADDRESS, ENGINE_NAMES, Machine, RAM_BASE } from '../src/guest/index.ts'
import type { EngineName, Operands } from '../src/guest/index.ts'
import { Kernel } from '../src/host/index.ts'
import type { Paging } from '../src/mmu/index.ts'
import { time } from './report.ts'
import type { Report, Subject } from './report.ts'

const MEMORY = 128 * MiB
const MODES: readonly Paging[] = ['two-dimensional', 'shadow']
/** Pages so far apart share a set of every table. */
const STRIDE_PAGES = 8192
const ROUNDS = 5
const UNROLLED = 48
const INVALIDATIONS = 400

type Line = readonly [string, Partial<Operands>]

/** Address space, and x10, x11, x12 in three pages of one set; then the body for ever. */
function image(body: readonly Line[]): Uint8Array {
  const asm = new Assembler()
  const lines: Line[] = [
    // x5 = 0x80000000, x6 = a root table, in which a leaf of 1 GiB maps the memory at its own address.
    ['addi', { rd: 5, imm: 1 }],
    ['slli', { rd: 5, rs1: 5, imm: 31 }],
    ['lui', { rd: 6, imm: 0x10_000 }],
    ['add', { rd: 6, rs1: 6, rs2: 5 }],
    ['lui', { rd: 7, imm: 0x2000_0000 }],
    ['addi', { rd: 7, rs1: 7, imm: 0xcf }],
    ['sd', { rs1: 6, rs2: 7, imm: 16 }],
    ['addi', { rd: 8, imm: 8 }],
    ['slli', { rd: 8, rs1: 8, imm: 60 }],
    ['srli', { rd: 9, rs1: 6, imm: 12 }],
    ['or', { rd: 8, rs1: 8, rs2: 9 }],
    ['csrrw', { rs1: 8, imm: CSR_ADDRESS.satp }],
    ['sfence.vma', {}],
    ['lui', { rd: 10, imm: 0x20_0000 }],
    ['add', { rd: 10, rs1: 10, rs2: 5 }],
    ['lui', { rd: 13, imm: STRIDE_PAGES * PAGE_SIZE }],
    ['add', { rd: 11, rs1: 10, rs2: 13 }],
    ['add', { rd: 12, rs1: 11, rs2: 13 }],
    ['addi', { rd: 17, imm: 0x10 }],
    ...body,
    ['jal', { imm: -4 * body.length }],
  ]
  const bytes = new Uint8Array(64 + 4 * lines.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, asm.word('jal', { imm: 64 }), true)
  view.setUint32(16, bytes.length, true)
  view.setUint32(56, 0x0543_5352, true)
  lines.forEach(([name, operands], n) => view.setUint32(64 + 4 * n, asm.word(name, operands), true))
  return bytes
}

const repeated = (...lines: readonly Line[]): Line[] =>
  Array.from({ length: UNROLLED / lines.length }, () => lines).flat()
const load = (rs1: number): Line => ['ld', { rd: 6, rs1 }]

interface Subcase {
  readonly name: string
  readonly body: readonly Line[]
  /** Instructions of a measured run. */
  readonly instructions: number
}
const CASES: readonly Subcase[] = [
  { name: 'a register instruction', body: repeated(['addi', { rd: 6, rs1: 6, imm: 1 }]), instructions: 4e6 },
  { name: 'a load that hits', body: repeated(load(10)), instructions: 4e6 },
  { name: 'a load that only the TLB knows', body: repeated(load(10), load(11)), instructions: 4e5 },
  { name: 'a load that walks the tables', body: repeated(load(10), load(11), load(12)), instructions: 2e5 },
]
const CALL: Subcase = { name: 'an SBI call and back', body: repeated(['ecall', {}]), instructions: 1e9 }
const TOUCH: Subcase = { name: 'a page taken away and touched again', body: [load(10)], instructions: 1e9 }

async function withMachine<T>(
  engine: EngineName,
  paging: Paging,
  { body }: Subcase,
  quantum: number,
  use: (machine: Machine, kernel: Kernel) => Promise<T>,
): Promise<T> {
  const kernel = new Kernel({ frames: MEMORY / PAGE_SIZE + 1024 })
  return kernel.run(async () => {
    const options = { name: 'costs', program: image(body), memory: MEMORY, engine, quantum, vm: { paging } }
    const machine = await Machine.create(kernel, { ...options, budget: 200_000 })
    const result = await use(machine, kernel)
    await machine.destroy()
    return result
  })
}

/** CPU nanoseconds of a call. */
async function cpu(run: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage()
  await run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) * 1e3
}

/** Nanoseconds an instruction. */
function perInstruction(engine: EngineName, paging: Paging, subcase: Subcase): Promise<number> {
  return withMachine(engine, paging, subcase, 20_000, async (machine) => {
    await machine.run()
    let best = Infinity
    for (let round = 0; round < ROUNDS; round++) {
      machine.budgetLeft = subcase.instructions
      best = Math.min(best, (await cpu(() => machine.run())) / subcase.instructions)
    }
    return best
  })
}

/** Nanoseconds a call; one instruction in so many is none. */
function perCall(engine: EngineName, paging: Paging): Promise<number> {
  return withMachine(engine, paging, CALL, 20_000, async (machine, kernel) => {
    let best = Infinity
    for (let round = 0; round < ROUNDS; round++) {
      machine.budgetLeft = 1e9
      const before = machine.exits.sbi
      const nanoseconds = await cpu(async () => {
        kernel.spawn('stop', async () => {
          while (machine.exits.sbi - before < 20_000) await kernel.sched.yieldNow()
          machine.budgetLeft = 0
        })
        await machine.run()
      })
      best = Math.min(best, nanoseconds / (machine.exits.sbi - before))
    }
    return best
  })
}

/** Nanoseconds from MADV_DONTNEED until the guest has read the page again, with a quantum of 100 instructions. */
function perInvalidation(engine: EngineName, paging: Paging): Promise<number> {
  return withMachine(engine, paging, TOUCH, 100, async (machine, kernel) => {
    const page = hva(machine.ram.start + 0x20_0000)
    let best = Infinity
    for (let round = 0; round < ROUNDS; round++) {
      machine.budgetLeft = 1e9
      const nanoseconds = await cpu(async () => {
        kernel.spawn('host', async () => {
          for (let n = 0; n < INVALIDATIONS; n++) {
            const { faults } = machine.vm.stats
            await machine.mm.madvise(page, PAGE_SIZE, 'dontneed')
            while (machine.vm.stats.faults === faults) await kernel.sched.yieldNow()
          }
          machine.budgetLeft = 0
        })
        await machine.run()
      })
      best = Math.min(best, nanoseconds / INVALIDATIONS)
    }
    return best
  })
}

export const costs: Subject = {
  name: 'costs',
  title: 'Edges of the engines',
  async measure(): Promise<Report> {
    const rows: string[][] = []
    const row = async (
      name: string,
      measure: (engine: EngineName, paging: Paging) => Promise<number>,
    ): Promise<void> => {
      for (const paging of MODES) {
        const cells: string[] = []
        for (const engine of ENGINE_NAMES) cells.push(time(await measure(engine, paging)))
        rows.push([`${name}, ${paging}`, ...cells])
      }
    }
    for (const subcase of CASES) await row(subcase.name, (engine, paging) => perInstruction(engine, paging, subcase))
    await row(CALL.name, perCall)
    await row(TOUCH.name, perInvalidation)
    return {
      tables: [
        {
          title: `CPU time, under Sv39 with a leaf of 1 GiB, RAM at ${RAM_BASE.toString(16)}`,
          columns: ['', ...ENGINE_NAMES],
          rows,
          note: 'Each figure is the best of five runs. The last two are the whole way through run loop and host.',
        },
      ],
    }
  },
}
