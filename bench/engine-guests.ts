/** The bench guests: what is measured of them, and how they are built and run under QEMU. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The classes in which speed is promised, as ratio to QEMU. */
export type SpeedClass = 'integer' | 'memory' | 'random' | 'mix' | 'float' | 'rotation' | 'cold'

export interface BenchGuest {
  readonly name: string
  readonly file: 'integer' | 'float'
  /** Its place in the table of kernels. */
  readonly kernel: number
  /** Chosen so that QEMU takes about a second. */
  readonly rounds: number
  readonly class: SpeedClass
}

const guest = (
  file: BenchGuest['file'],
  kernel: number,
  name: string,
  rounds: number,
  speedClass: SpeedClass,
): BenchGuest => ({ file, kernel, name, rounds, class: speedClass })

export const BENCH_GUESTS: readonly BenchGuest[] = [
  guest('integer', 0, 'CRC-32', 15_000, 'integer'),
  guest('integer', 1, 'sieve', 120, 'memory'),
  guest('integer', 2, 'matrix', 1200, 'integer'),
  guest('integer', 3, 'list', 400, 'memory'),
  guest('integer', 4, 'text', 40_000, 'integer'),
  guest('integer', 5, 'calls', 5000, 'integer'),
  guest('integer', 6, 'stream', 40, 'memory'),
  guest('integer', 7, 'walk', 25, 'random'),
  guest('integer', 8, 'muldiv', 100_000, 'integer'),
  guest('integer', 9, 'mix', 50_000, 'mix'),
  guest('integer', 10, '1,500 functions', 3200, 'rotation'),
  guest('float', 0, 'n-body', 300_000, 'float'),
  guest('float', 1, 'mandelbrot', 80, 'float'),
  guest('float', 2, 'Horner, single', 60_000, 'float'),
]

/** Executes 1,500 functions of fresh code a round; `COPIES` does everything but execute them. */
export const ONCE: BenchGuest = guest('integer', 11, 'executed once', 400, 'cold')
export const COPIES: BenchGuest = guest('integer', 12, 'executed once, the copying', 400, 'cold')

const inRepository = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))

/** Why the guests cannot be measured here, or null. */
export function missingTool(): string | null {
  for (const tool of ['riscv64-unknown-elf-gcc', 'qemu-system-riscv64', 'fdtput']) {
    if (spawnSync(tool, ['--version'], { stdio: 'ignore' }).error !== undefined) return `${tool} is not installed`
  }
  return null
}

/** Compiles the guests. @returns the directory of the ELF files */
export function buildGuests(): string {
  const directory = mkdtempSync(join(tmpdir(), 'umbra-bench-'))
  execFileSync(inRepository('bench/guests/build.sh'), [directory], { stdio: ['ignore', 'ignore', 'inherit'] })
  return directory
}

export interface GuestRun {
  /** CPU seconds, user and system, of all threads. */
  readonly seconds: number
  /** The line with the checksum. */
  readonly line: string
}

export const bootargsOf = (of: BenchGuest, rounds: number): string => `kernel=${of.kernel} rounds=${rounds}`

/** Runs a guest under qemu-system-riscv64 (TCG, OpenSBI); CPU time of the whole process. */
export function runUnderQemu(directory: string, of: BenchGuest, rounds: number): GuestRun {
  const script = inRepository('examples/guests/qemu.sh')
  const timed = spawnSync(
    'sh',
    ['-c', 'times; "$@"; times', 'sh', script, join(directory, `${of.file}.elf`), '1', bootargsOf(of, rounds)],
    { encoding: 'utf8', env: { ...process.env, TIMEOUT: '300' } },
  )
  const lines = timed.stdout
    .trim()
    .split('\n')
    .map((line) => line.trim())
  const [, children = ''] = lines.slice(-2)
  const first = /^(?<name>[a-z]+) [0-9a-f]+$/
  return { seconds: secondsOf(children), line: lines.find((line) => first.test(line)) ?? timed.stderr }
}

/** `0m1.250s 0m0.125s` in seconds. */
function secondsOf(times: string): number {
  return [...times.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, match) => sum + Number(match[1]) * 60 + Number(match[2]),
    0,
  )
}
