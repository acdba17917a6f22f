/** Guests at speed: kernels compiled from C, under Sv39 with 4 KiB pages, against qemu-system-riscv64 on the same file. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BENCH_GUESTS, COPIES, ONCE, bootargsOf, buildGuests, missingTool, runUnderQemu } from './engine-guests.ts'
import type { BenchGuest, SpeedClass } from './engine-guests.ts'
import type { EngineRun, Translation } from './engine-run.ts'
import { MiB } from '../src/base/index.ts'
import type { Report, Subject, Table, Target } from './report.ts'

const TIMES = 3
/** A threshold that no place reaches. */
const NEVER = 65_000
/** What is promised of each class: the geometric mean of its ratios to QEMU. */
const PROMISES: readonly (readonly [SpeedClass, number, number])[] = [
  ['integer', 1, 1.5],
  ['memory', 0.8, 1.1],
  ['random', 2, 4],
  ['mix', 0.8, 1.2],
  ['float', 0.5, 1],
  ['rotation', 0.5, 0.8],
]

interface Measured {
  readonly guest: BenchGuest
  readonly instructions: number
  readonly qemu: number
  readonly ours: number
  /** Milliseconds: the median of several runs; the run with the shortest longest batch. */
  readonly startUp: number
  readonly translation: Translation
}

export const engine: Subject = {
  name: 'engine',
  title: 'Guests at speed',
  async measure(): Promise<Report> {
    const missing = missingTool()
    if (missing !== null) return { tables: [{ title: `not measured: ${missing}`, columns: ['guest'], rows: [] }] }
    const directory = buildGuests()
    const name = process.env['UMBRA_ENGINE'] ?? 'translator'
    const only = process.env['UMBRA_GUESTS']?.split(',')
    const guests = BENCH_GUESTS.filter((guest) => only === undefined || only.some((word) => guest.name.includes(word)))
    const measured: Measured[] = []
    const failed: string[][] = []
    for (const guest of guests) {
      const result = compareWithQemu(directory, name, guest)
      if (typeof result === 'string') failed.push([guest.name, result])
      else measured.push(result)
      console.error(`${guest.name}: ${typeof result === 'string' ? result : (result.qemu / result.ours).toFixed(2)}`)
    }
    const cold = only === undefined || only.includes('once') ? coldSpeed(directory, name) : NaN
    const resident = only === undefined || only.includes('resident') ? residentCode(directory) : []
    return {
      tables: [
        {
          title: `${name} against qemu-system-riscv64 (TCG); CPU seconds of all threads, medians of ${TIMES}, start-up subtracted`,
          columns: ['guest', 'million instructions', 'QEMU', 'Umbra', 'MIPS', 'ratio'],
          rows: measured.map(({ guest, instructions, qemu, ours }) => [
            guest.name,
            (instructions / 1e6).toFixed(0),
            qemu.toFixed(2),
            ours.toFixed(2),
            (instructions / 1e6 / ours).toFixed(0),
            `${(qemu / ours).toFixed(2)}x`,
          ]),
          note: 'Every checksum is the one that QEMU computes. Both have the memory of the guest in huge pages where they can (MADV_HUGEPAGE).',
        },
        ...classTable(measured),
        ...translationTable(measured),
        ...(failed.length === 0 ? [] : [{ title: 'not measured', columns: ['guest', 'why'], rows: failed }]),
      ],
      targets: [
        ...PROMISES.flatMap((promise) => targetOf(promise, measured)),
        ...coldTarget(cold),
        ...stallTargets(measured),
        ...resident.map(({ what, mib, code }) => ({
          promise: `the code cache takes less than 64 MiB: ${what}`,
          measured: `${mib.toFixed(0)} MiB, of them ${code.toFixed(1)} MiB of modules`,
          isMet: mib < 64,
        })),
      ],
    }
  },
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

function compareWithQemu(directory: string, name: string, guest: BenchGuest): Measured | string {
  const qemu: number[] = []
  const ours: number[] = []
  const startUps: number[] = []
  const translations: Translation[] = []
  let instructions = 0
  for (let i = 0; i < TIMES; i++) {
    const theirs = runUnderQemu(directory, guest, guest.rounds)
    const base = runUnderQemu(directory, guest, 0)
    const run = runHere(directory, name, guest, guest.rounds)
    if (typeof run === 'string') return run
    if (run.console !== theirs.line) return `prints "${run.console}" (${run.cause}), QEMU "${theirs.line}"`
    const idle = runHere(directory, name, guest, 0)
    if (typeof idle === 'string') return idle
    qemu.push(theirs.seconds - base.seconds)
    ours.push(run.seconds - idle.seconds)
    instructions = run.instructions - idle.instructions
    startUps.push(run.startUp)
    translations.push(run.translation)
  }
  return {
    guest,
    instructions,
    qemu: median(qemu),
    ours: median(ours),
    startUp: median(startUps),
    translation: translations.toSorted((a, b) => a.longest - b.longest)[0]!,
  }
}

/** Instructions a second of code that runs once. */
function coldSpeed(directory: string, name: string): number {
  const speeds: number[] = []
  for (let i = 0; i < TIMES; i++) {
    const once = runHere(directory, name, ONCE, ONCE.rounds)
    const copies = runHere(directory, name, COPIES, COPIES.rounds)
    if (typeof once === 'string' || typeof copies === 'string') return NaN
    speeds.push((once.instructions - copies.instructions) / (once.seconds - copies.seconds))
  }
  return median(speeds)
}

/**
 * MiB that the code cache adds to the process, after a collection: full of units of different functions, and while it is
 * filled anew again and again.
 */
function residentCode(
  directory: string,
): readonly { readonly what: string; readonly mib: number; readonly code: number }[] {
  const rotation = BENCH_GUESTS.find((guest) => guest.class === 'rotation')!
  const cases: readonly (readonly [string, BenchGuest, number, number])[] = [
    ['full of units of 1,500 functions', rotation, 300, 20],
    ['filled again and again by code that is executed once, all of it translated', ONCE, 16, 1],
  ]
  return cases.flatMap(([what, guest, rounds, threshold]) => {
    const bare = runHere(directory, 'translator', guest, rounds, NEVER)
    const full = runHere(directory, 'translator', guest, rounds, threshold)
    if (typeof bare === 'string' || typeof full === 'string') return []
    return [{ what, mib: (full.resident - bare.resident) / MiB, code: full.codeBytes / MiB }]
  })
}

function runHere(
  directory: string,
  name: string,
  guest: BenchGuest,
  rounds: number,
  threshold?: number,
): EngineRun | string {
  const script = fileURLToPath(new URL('engine-run.js', import.meta.url))
  const args = ['--expose-gc', script, name, join(directory, `${guest.file}.elf`), bootargsOf(guest, rounds)]
  if (threshold !== undefined) args.push('two-dimensional', String(threshold))
  const child = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (child.status !== 0)
    return `failed: ${child.stderr.split('\n').find((line) => /Error|Bug/.test(line)) ?? child.stderr}`
  return JSON.parse(child.stdout) as EngineRun
}

/** The geometric mean of the ratios to QEMU of a class, NaN if nothing of it was measured. */
function meanOf(speedClass: SpeedClass, all: readonly Measured[]): number {
  const ratios = all.filter(({ guest }) => guest.class === speedClass).map(({ qemu, ours }) => qemu / ours)
  return Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length)
}

function classTable(all: readonly Measured[]): Table[] {
  const rows = PROMISES.filter(([speedClass]) => !Number.isNaN(meanOf(speedClass, all))).map(
    ([speedClass, least, aim]) => {
      const mean = meanOf(speedClass, all)
      const verdict = mean >= aim ? 'aim met' : mean >= least ? 'met' : 'missed'
      return [speedClass, `${mean.toFixed(2)}x`, `${least}x`, `${aim}x`, verdict]
    },
  )
  if (rows.length === 0) return []
  return [{ title: 'classes: geometric means of the ratios', columns: ['class', 'ratio', 'at least', 'aim', ''], rows }]
}

/** How long harts wait for translations. */
function translationTable(all: readonly Measured[]): Table[] {
  const made = all.filter(({ translation }) => translation.batches > 0)
  if (made.length === 0) return []
  return [
    {
      title: 'translation: milliseconds, the best of the runs',
      columns: ['guest', 'batches', 'units', 'instructions', 'all', 'longest', 'discover', 'write', 'compile'],
      rows: made.map(({ guest, translation: { batches, units, instructions, ...times } }) => [
        guest.name,
        ...[batches, units, instructions].map(String),
        ...[times.total, times.longest, times.discover, times.write, times.compile].map((time) => time.toFixed(1)),
      ]),
      note: 'A hart waits for one batch at a time; discover, write and compile are parts of the longest.',
    },
  ]
}

function targetOf([speedClass, least, aim]: readonly [SpeedClass, number, number], all: readonly Measured[]): Target[] {
  const mean = meanOf(speedClass, all)
  if (Number.isNaN(mean)) return []
  const promise = `${speedClass}: at least ${least} x QEMU, aim ${aim}`
  return [{ promise, measured: `${mean.toFixed(2)}x`, isMet: mean >= least }]
}

function coldTarget(speed: number): Target[] {
  if (Number.isNaN(speed)) return []
  const measured = `${(speed / 1e6).toFixed(0)} MIPS`
  return [{ promise: 'code executed once: at least 100 MIPS, aim 200', measured, isMet: speed >= 100e6 }]
}

const under = (promise: string, milliseconds: number, most: number): Target => ({
  promise,
  measured: `${milliseconds.toFixed(1)} ms`,
  isMet: milliseconds < most,
})

function stallTargets(all: readonly Measured[]): Target[] {
  if (all.length === 0) return []
  const startUp = median(all.map((guest) => guest.startUp))
  const longest = Math.max(...all.map(({ translation }) => translation.longest))
  return [
    under('start-up of the engine: under 30 ms', startUp, 30),
    under('translating stalls a hart for less than 5 ms', longest, 5),
  ]
}
