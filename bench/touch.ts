/**
 * What memory costs a guest: a load that the fast TLB answers, a translation that has to be walked for, an exit and the
 * way back, and a page that the host has invalidated.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { KernelError, MiB, PAGE_SIZE } from '../src/base/index.ts'
import { Machine } from '../src/guest/index.ts'
import type { MmioDevice } from '../src/guest/index.ts'
import { Kernel, type Mm } from '../src/host/index.ts'
import { buildGuests, missingTool } from './engine-guests.ts'
import { engineNamed } from './engine-choice.ts'
import { time } from './report.ts'
import type { Report, Subject } from './report.ts'

const MEMORY = 64 * MiB
const KERNEL = 13
const DEVICE = 0x1000_0000
const TIMES = 3

type Paging = 'two-dimensional' | 'shadow'

interface Setting {
  readonly paging: Paging
  readonly pages: number
  /** That are measured; half as many come before them, for the first touch of everything and the compilers. */
  readonly rounds: number
  readonly extra?: string
  /** What the host does when the guest stores to the device. */
  readonly onStore?: (mm: Mm, arena: number, length: number) => Promise<void>
}

/** CPU nanoseconds a round, after a warm-up. */
async function nanosecondsOf(program: Uint8Array, setting: Setting): Promise<number> {
  const long = await run(program, setting, setting.rounds * 1.5)
  const short = await run(program, setting, setting.rounds * 0.5)
  return ((long - short) * 1e9) / setting.rounds
}

/** CPU seconds of this process for so many rounds. */
async function run(program: Uint8Array, setting: Setting, rounds: number): Promise<number> {
  const { paging, pages, extra = '', onStore } = setting
  const kernel = new Kernel({ frames: MEMORY / PAGE_SIZE + 2048 })
  let seconds = 0
  await kernel.run(async () => {
    let machine: Machine | null = null
    const host: MmioDevice = {
      name: 'host',
      base: DEVICE,
      length: PAGE_SIZE,
      load: () => Promise.resolve(0n),
      store: async () => {
        const { mm, ram } = machine!
        await onStore?.(mm, ram.start, ram.length)
      },
    }
    machine = await Machine.create(kernel, {
      name: 'touch',
      program,
      memory: MEMORY,
      bootargs: `kernel=${KERNEL} rounds=${rounds} pages=${pages} ${extra}`,
      budget: 1e12,
      vm: { paging },
      engine: engineNamed(process.env['UMBRA_ENGINE'] ?? 'translator'),
      devices: [host],
    })
    const before = process.cpuUsage()
    const { cause, message } = await machine.run()
    const { user, system } = process.cpuUsage(before)
    seconds = (user + system) / 1e6
    await machine.destroy()
    if (cause !== 'shutdown') throw new KernelError('EIO', `the guest ended with ${cause}: ${message}`)
  })
  return seconds
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

async function medianOf(program: Uint8Array, setting: Setting): Promise<number> {
  const all: number[] = []
  for (let i = 0; i < TIMES; i++) all.push(await nanosecondsOf(program, setting))
  return median(all)
}

/** The host takes the right to use the pages away and gives it back: they stay, their translations go. */
async function invalidate(mm: Mm, start: number, length: number): Promise<void> {
  await mm.mprotect(start, length, '-')
  await mm.mprotect(start, length, 'rw')
}

async function rowOf(program: Uint8Array, paging: Paging): Promise<string[]> {
  const few = { paging, pages: 512 }
  const warm = await medianOf(program, { ...few, rounds: 100_000 })
  const fenced = await medianOf(program, { ...few, rounds: 1000, extra: 'fence=1' })
  const called = await medianOf(program, { paging, pages: 0, rounds: 40_000, extra: 'call=1' })
  const device = `device=${DEVICE}`
  const stored = await medianOf(program, { ...few, rounds: 80, extra: device })
  const taken = await medianOf(program, { ...few, rounds: 80, extra: device, onStore: invalidate })
  return [
    paging,
    time(warm / few.pages),
    time((fenced - warm) / few.pages),
    time(called),
    time((taken - stored) / few.pages),
  ]
}

export const touch: Subject = {
  name: 'engine-memory',
  title: 'What memory costs a guest',
  async measure(): Promise<Report> {
    const missing = missingTool()
    if (missing !== null) return { tables: [{ title: `not measured: ${missing}`, columns: ['paging'], rows: [] }] }
    const program = readFileSync(join(buildGuests(), 'integer.elf'))
    const rows = [await rowOf(program, 'two-dimensional'), await rowOf(program, 'shadow')]
    return {
      tables: [
        {
          title: `CPU time of one, on the translator, 512 pages of 4 KiB touched in turn, medians of ${TIMES}`,
          columns: ['paging', 'warm load', 'refill', 'exit and re-entry', 'page invalidated, touched again'],
          rows,
          note: 'A warm load is one iteration of a loop of four instructions, each on another page than the one before. A refill is what such a load costs more after sfence.vma, a share of the fence included. The exit is a call of the SBI. Invalidated pages stay in the host; what is shown is the callout, the exit, the fault and the new spte.',
        },
      ],
    }
  },
}
