/** Results of the host's own arithmetic, as its C compiler makes it, in the form of the records of program.ts. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FloatFormat, type FloatOperation } from '../../../src/guest/index.ts'
import type { Segment } from './program.ts'

/** What native.c calls each operation. */
const OPERATIONS: Partial<Record<FloatOperation, number>> = {
  add: 0,
  sub: 1,
  mul: 2,
  div: 3,
  sqrt: 4,
  madd: 5,
  eq: 6,
  lt: 7,
  le: 8,
  toL: 9,
  fromL: 10,
  fromW: 11,
  convert: 12,
}
const REQUEST_BYTES = 40
const UPPER = 0xffff_ffffn << 32n
const NAN = {
  s: { infinity: 0x7f80_0000n, sign: 0x8000_0000n, canonical: 0x7fc0_0000n },
  d: { infinity: 0x7ff0n << 48n, sign: 1n << 63n, canonical: 0x7ff8n << 48n },
} as const

/** @returns undefined if the host can be asked, else why not */
export function nativeMissing(): string | undefined {
  // Others detect tininess before rounding, or have other rules for NaN operands.
  if (process.arch !== 'x64') return `the rules of ${process.arch} for flags are not those of RISC-V`
  return spawnSync('cc', ['--version']).status === 0 ? undefined : 'no C compiler is installed'
}

/** The compiled program, to be used and then removed. */
export class Native {
  private readonly directory = mkdtempSync(join(tmpdir(), 'umbra-native-'))
  private readonly path = join(this.directory, 'native')

  constructor() {
    const flags = ['-O1', '-frounding-math', '-fsignaling-nans', '-ffp-contract=off', '-fno-builtin']
    const built = spawnSync('cc', [...flags, '-o', this.path, 'test/guest/float/native.c', '-lm'], { encoding: 'utf8' })
    if (built.status !== 0) throw new Error(built.stderr)
  }

  remove(): void {
    rmSync(this.directory, { recursive: true })
  }

  /**
   * Overwrites result and fcsr of every record that the host can compute by its own.
   * @param records after a run @returns how many those are
   */
  answer(list: readonly Segment[], records: BigUint64Array): number {
    const count = records.length / 6 / list.length
    const asked: { readonly at: number; readonly format: FloatFormat; readonly operation: FloatOperation }[] = []
    const requests = new DataView(new ArrayBuffer((records.length / 6) * REQUEST_BYTES))
    list.forEach(({ operation, format, rm }, n) => {
      const code = OPERATIONS[operation]
      if (code === undefined) return
      for (let at = n * count * 6; at < (n + 1) * count * 6; at += 6) {
        const mode = rm === 7 ? Number((records[at + 3] as bigint) >> 5n) : rm
        if (mode > 3 || !usable(operation, format, records.subarray(at, at + 6))) continue
        const to = asked.length * REQUEST_BYTES
        ;[code, format === 's' ? 0 : 1, mode].forEach((value, i) => requests.setUint32(to + 4 * i, value, true))
        for (let i = 0; i < 3; i++) requests.setBigUint64(to + 16 + 8 * i, records[at + i] as bigint, true)
        asked.push({ at, format, operation })
      }
    })
    const run = spawnSync(this.path, {
      input: new Uint8Array(requests.buffer, 0, asked.length * REQUEST_BYTES),
      maxBuffer: 1 << 28,
    })
    if (run.stdout.length !== asked.length * 16) throw new Error(`the native program gave ${run.stdout.length} bytes`)
    asked.forEach(({ at, format, operation }, n) => {
      const [result, flags] = [run.stdout.readBigUInt64LE(n * 16), run.stdout.readBigUInt64LE(n * 16 + 8)]
      records[at + 4] = canonical(result, format, operation)
      records[at + 5] = (records[at + 3] as bigint) | flags
    })
    return asked.length
  }
}

/** Not so: broken boxes, conversions out of range, and infinity times zero plus NaN, where the host's rules are its own. */
function usable(operation: FloatOperation, format: FloatFormat, record: BigUint64Array): boolean {
  const [a, b, c] = record as unknown as [bigint, bigint, bigint]
  const invalid = ((record[5] as bigint) & 16n) !== 0n
  if (operation === 'toL') return !invalid && (format === 'd' || isBoxed(a))
  if (operation.startsWith('from')) return true
  if (operation === 'convert') return format === 's' || isBoxed(a)
  if (format === 's' && ![a, b, c].every(isBoxed)) return false
  return operation !== 'madd' || !invalid || !isNan(c, format)
}

const isBoxed = (bits: bigint): boolean => (bits & UPPER) === UPPER
const isNan = (bits: bigint, format: FloatFormat): boolean => {
  const low = format === 's' ? bits & ~UPPER : bits
  return (low & ~NAN[format].sign) > NAN[format].infinity
}

/** The host passes payloads of NaNs on. */
function canonical(result: bigint, format: FloatFormat, operation: FloatOperation): bigint {
  if (operation === 'eq' || operation === 'lt' || operation === 'le' || operation === 'toL') return result
  const bits = isNan(result, format) ? NAN[format].canonical : result
  return format === 's' ? bits | UPPER : bits
}
