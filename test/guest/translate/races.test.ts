/** Invalidations between every two instructions of translated code, and frames of code that change hands under it. */
import test from 'ava'
import { MiB, PAGE_SIZE, gpa } from '../../../src/base/index.ts'
import { Auditor, KernelWorld } from '../../../src/check/index.ts'
import { Assembler, Machine } from '../../../src/guest/index.ts'
import type { CodeCache, EngineName } from '../../../src/guest/index.ts'
import { Kernel, migratePage } from '../../../src/host/index.ts'
import type { Mapping, Mm } from '../../../src/host/index.ts'
import { BASE, elf } from './random-guest.ts'

const asm = new Assembler()
const HVA = 0x4000_0000
const DATA = 0x8000
const MEMORY = 2 * MiB

/** None has a factor in common with the nine instructions of the loop: cuts walk through all its places. */
const QUANTA: readonly number[] = process.env['UMBRA_LONG'] === undefined ? [1, 23] : [1, 2, 4, 5, 7, 8, 10, 13, 23]

/** Loads, stores, an atomic and arithmetic on a page of data, for ever. */
const LOOP: readonly number[] = [
  asm.word('auipc', { rd: 5, imm: DATA }),
  asm.word('lw', { rd: 6, rs1: 5, imm: 0 }),
  asm.word('addi', { rd: 6, rs1: 6, imm: 3 }),
  asm.word('sw', { rs1: 5, rs2: 6, imm: 0 }),
  asm.word('ld', { rd: 7, rs1: 5, imm: 8 }),
  asm.word('add', { rd: 10, rs1: 10, rs2: 6 }),
  asm.word('amoadd.w', { rd: 8, rs1: 5, rs2: 6 }),
  asm.word('xor', { rd: 11, rs1: 11, rs2: 10 }),
  asm.word('sd', { rs1: 5, rs2: 11, imm: 8 }),
  asm.word('jal', { rd: 0, imm: -32 }),
]

function image(pages: readonly (readonly number[])[]): Uint8Array {
  const bytes = new Uint8Array(16 * PAGE_SIZE)
  const view = new DataView(bytes.buffer)
  for (const [page, words] of pages.entries()) {
    for (const [i, word] of words.entries()) view.setUint32(page * PAGE_SIZE + 4 * i, word, true)
  }
  return elf(bytes, BASE, BASE)
}

interface Scene {
  readonly kernel: Kernel
  readonly mm: Mm
  readonly ram: Mapping
  readonly machine: Machine
}

interface Setting {
  readonly engine: EngineName
  readonly program: Uint8Array
  readonly quantum: number
  readonly budget: number
  readonly shadow?: boolean
  map(kernel: Kernel, mm: Mm): Promise<Mapping>
  /** Runs beside the guest until it has done what it wants, or the guest has ended. */
  storm(scene: Scene): Promise<void>
}

interface Ending {
  /** What both engines must agree on. */
  readonly end: string
  readonly events: ReadonlyMap<string, number>
  readonly violations: number
  readonly units: number
  readonly dropped: number
}

/** Runs a guest beside a storm, audited. What the storm takes away comes back: the guest goes on after an EFAULT. */
async function endingOf(setting: Setting): Promise<Ending> {
  const kernel = new Kernel({ frames: 1024, scratchBytes: 4 * MiB, swapPages: 64 })
  // An auditor that follows every access would have the reference interpreter do everything.
  const auditor = new Auditor(kernel.trace, new KernelWorld(kernel), { level: 'sampled', sweepEvery: 100 })
  const events = new Map<string, number>()
  kernel.trace.attach((event) => void events.set(event.name, (events.get(event.name) ?? 0) + 1))
  const ending = await kernel.run(async () => {
    const mm = await kernel.createMm('vmm')
    const ram = await setting.map(kernel, mm)
    const machine = await Machine.create(kernel, {
      name: 'm',
      program: setting.program,
      budget: setting.budget,
      quantum: setting.quantum,
      engine: setting.engine,
      threshold: 1,
      vm: { paging: setting.shadow === true ? 'shadow' : 'two-dimensional' },
      process: { mm, ram },
    })
    const storm = kernel.sched.spawn('storm', () => setting.storm({ kernel, mm, ram, machine }))
    let result = await machine.run()
    while (result.cause === 'efault') {
      await kernel.sched.sleep(50)
      machine.resume()
      result = await machine.wait()
    }
    await kernel.sched.join(storm)
    const registers = machine.runs[0]!.hart.state.cells.slice(0, 33).join()
    const data = await machine.vm.readGuest(gpa(BASE + DATA), 16)
    const { stats } = (kernel.memory.scratch.shared.get('translator') as CodeCache | undefined) ?? { stats: null }
    await machine.destroy()
    await mm.exit()
    return {
      end: `${result.cause} ${result.instructions.join()} ${result.nanoseconds} ${registers} ${data.join()}`,
      units: stats?.units ?? 0,
      dropped: stats?.droppedUnits ?? 0,
    }
  })
  const violations = auditor.finish().length
  return { ...ending, events, violations, end: `${ending.end} ${JSON.stringify([...events])}` }
}

const sharedRam = (kernel: Kernel, mm: Mm): Promise<Mapping> =>
  mm.mmap({
    addr: HVA,
    length: MEMORY,
    prot: 'rw',
    shared: true,
    file: kernel.createFile({ name: 'ram', size: MEMORY }),
  })

type Strike = (mm: Mm, at: number) => Promise<void>

const STRIKES: Readonly<Record<string, Strike>> = {
  dontneed: (mm, at) => mm.madvise(at, PAGE_SIZE, 'dontneed'),
  async munmap(mm, at) {
    const { file } = mm.vmas.find(at)!
    await mm.munmap(at, PAGE_SIZE)
    await mm.mmap({ addr: at, length: PAGE_SIZE, fixed: true, shared: true, file: file!, offset: at - HVA, prot: 'rw' })
  },
  async mprotect(mm, at) {
    await mm.mprotect(at, PAGE_SIZE, 'r')
    await mm.mprotect(at, PAGE_SIZE, 'rw')
  },
}

for (const [what, strike] of Object.entries(STRIKES)) {
  for (const [where, offset] of [
    ['code', 0],
    ['data', DATA],
  ] as const) {
    test(`${what} of the page of ${where} between every two instructions of a hot loop`, async (t) => {
      for (const quantum of QUANTA) {
        const run = (engine: EngineName): Promise<Ending> =>
          endingOf({
            engine,
            program: image([LOOP]),
            quantum,
            budget: 60 * Math.max(quantum, 4),
            shadow: quantum % 2 === 0,
            map: sharedRam,
            async storm({ kernel, mm, machine }) {
              for (let strikes = 0; machine.budgetLeft > 0 && strikes < 30; strikes++) {
                const until = machine.budgetLeft - quantum
                while (machine.budgetLeft > Math.max(0, until)) await kernel.sched.yieldNow()
                await strike(mm, HVA + offset)
              }
            },
          })
        const reference = await run('reference')
        const translator = await run('translator')
        t.is(translator.end, reference.end, `quantum ${quantum}`)
        t.is(translator.violations + reference.violations, 0)
        t.true(translator.units > 0)
      }
    })
  }
}

// Frames that change hands.

const RING = 6

/** Page `n` of a ring of pages of code, of which each jumps to the next. */
const ringPage = (n: number, step: number): readonly number[] => [
  asm.word('addi', { rd: 10, rs1: 10, imm: step }),
  asm.word('xor', { rd: 11, rs1: 11, rs2: 10 }),
  asm.word('add', { rd: 12, rs1: 12, rs2: 11 }),
  asm.word('beq', { rs1: 0, rs2: 0, imm: 8 }),
  asm.word('addi', { rd: 0, rs1: 0, imm: 0 }),
  asm.word('jal', { rd: 0, imm: n === RING - 1 ? -20 - n * PAGE_SIZE : PAGE_SIZE - 20 }),
]

const frameOf = (mm: Mm, page: number): number => mm.pageTable.read(HVA + page * PAGE_SIZE) >>> 10

interface Move {
  /** Every page has the same code at first. */
  readonly alike?: boolean
  readonly huge?: boolean
  /** An event without which the test says nothing. */
  readonly event: string
  act(scene: Scene, round: number): Promise<void>
}

const MOVES: Readonly<Record<string, Move>> = {
  'merged by KSM and written by the host': {
    alike: true,
    event: 'ksm_merge',
    async act({ kernel, mm }) {
      await mm.madvise(HVA, RING * PAGE_SIZE, 'mergeable')
      await kernel.ksm.scan()
      await kernel.ksm.scan()
    },
  },
  migrated: {
    event: 'migrate_page',
    async act({ kernel, mm }) {
      for (let page = 0; page < RING; page++) await migratePage(kernel, frameOf(mm, page) as never)
    },
  },
  'copied on write after a fork': {
    event: 'cow_copy',
    async act({ mm }, round) {
      const child = await mm.fork()
      const thread = mm.createThread()
      for (let page = 0; page < RING; page++) await thread.store32(HVA + page * PAGE_SIZE + 2048, round)
      thread.exit()
      await child.exit()
    },
  },
  'swapped out and in': {
    event: 'swap_write',
    act: ({ mm }) => mm.madvise(HVA, RING * PAGE_SIZE, 'pageout'),
  },
  'split off a huge page': {
    huge: true,
    event: 'mm_huge_page',
    act: ({ mm }, round) => mm.madvise(HVA + (round % RING) * PAGE_SIZE, 2 * PAGE_SIZE, 'pageout'),
  },
}

for (const [how, move] of Object.entries(MOVES)) {
  test(`pages of code that are ${how} under a running hart, and written in between, are executed as on the reference`, async (t) => {
    const pages = Array.from({ length: RING }, (_, n) => ringPage(n, move.alike === true && n < RING - 1 ? 1 : n + 1))
    const run = (engine: EngineName): Promise<Ending> =>
      endingOf({
        engine,
        program: image(pages),
        quantum: 97,
        budget: 12_000,
        async map(_kernel, mm) {
          const ram = await mm.mmap({ addr: HVA, length: MEMORY, prot: 'rw' })
          if (move.huge === true) await mm.madvise(HVA, MEMORY, 'hugepage')
          return ram
        },
        async storm(scene) {
          const { kernel, machine } = scene
          for (let round = 0; machine.budgetLeft > 0; round++) {
            const until = Math.max(0, machine.budgetLeft - 1000)
            while (machine.budgetLeft > until) await kernel.sched.yieldNow()
            await move.act(scene, round)
            if (!machine.running) break
            const bytes = new Uint8Array(4)
            new DataView(bytes.buffer).setUint32(0, asm.word('addi', { rd: 10, rs1: 10, imm: 100 + round }), true)
            await machine.vm.writeGuest(gpa(BASE + (round % RING) * PAGE_SIZE), bytes)
          }
        },
      })
    const reference = await run('reference')
    const translator = await run('translator')
    t.is(translator.end, reference.end)
    t.is(translator.violations + reference.violations, 0)
    t.true(reference.events.get(move.event)! > 0)
    t.true(translator.dropped > 0)
  })
}
