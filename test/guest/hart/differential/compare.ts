/** Compares outcomes, shrinks cases that differ, and prints them as assembly. */
import { type Disassembler, FLOAT_REGISTER_NAMES, isShort, REGISTER_NAMES } from '../../../../src/guest/index.ts'
import { type Case, CASE_CSRS, type Outcome } from './case.ts'

const hex = (value: bigint): string => `0x${BigInt.asUintN(64, value).toString(16)}`

const FS = 3n << 13n
const SD = 1n << 63n

/** sstatus as QEMU 7.2 has it, which leaves FS Initial or Clean where a comparison or a conversion to integer raises a flag. */
function statusLike(theirs: Outcome, ours: Outcome): bigint {
  const [mine, other] = [ours.csrs.sstatus, theirs.csrs.sstatus]
  const missed = (mine & FS) === FS && (other & FS) !== 0n && (ours.csrs.fcsr & 0x1fn) !== 0n
  return missed ? (mine & ~(FS | SD)) | (other & (FS | SD)) : mine
}

/** What differs, one line each. */
export function compare(ours: Outcome, theirs: Outcome): string[] {
  if (ours.endless && theirs.endless) return []
  const lines: string[] = []
  const check = (name: string, a: bigint, b: bigint): void => {
    if (a !== b) lines.push(`${name}: ours ${hex(a)}, QEMU ${hex(b)}`)
  }
  for (let n = 1; n < 32; n++)
    check(REGISTER_NAMES[n] as string, ours.registers[n] as bigint, theirs.registers[n] as bigint)
  for (let n = 0; n < 32; n++)
    check(FLOAT_REGISTER_NAMES[n] as string, ours.floats[n] as bigint, theirs.floats[n] as bigint)
  for (const name of CASE_CSRS) {
    check(name, name === 'sstatus' ? statusLike(theirs, ours) : ours.csrs[name], theirs.csrs[name])
  }
  check('pc', ours.pc, theirs.pc)
  if (ours.hash !== theirs.hash) lines.push('memory differs')
  if (ours.endless !== theirs.endless) lines.push(`endless: ours ${ours.endless}, QEMU ${theirs.endless}`)
  return lines
}

/** The register or CSR that a line of `compare` is about. */
export const fieldOf = (line: string): string => line.split(/[ :]/)[0] as string

const NOP = 0x13
const C_NOP = 1

/**
 * Replaces instructions by nops, halves first, as long as the case still differs; then drops the nops if that is possible.
 * @param differs runs many candidates at once
 */
export function shrink(c: Case, differs: (candidates: readonly Case[]) => readonly boolean[]): Case {
  let best = c
  for (let progress = true; progress;) {
    const candidates: Case[] = []
    const { program } = best
    for (let size = program.length; size >= 1; size = Math.floor(size / 2)) {
      for (let from = 0; from < program.length; from += size) {
        const blank = program.map((word, n) => (n >= from && n < from + size ? (isShort(word) ? C_NOP : NOP) : word))
        if (blank.some((word, n) => word !== program[n])) candidates.push({ ...best, program: blank })
      }
    }
    for (let n = 0; n < program.length; n++) {
      if (program[n] === NOP || program[n] === C_NOP) {
        candidates.push({ ...best, program: program.filter((_, m) => m !== n) })
      }
    }
    for (let n = 1; n < 32; n++) {
      if (best.registers[n] !== 0n) {
        candidates.push({ ...best, registers: best.registers.map((value, m) => (m === n ? 0n : value)) })
      }
    }
    for (let n = 0; n < 32; n++) {
      if (best.floats[n] !== 0n) {
        candidates.push({ ...best, floats: best.floats.map((value, m) => (m === n ? 0n : value)) })
      }
    }
    for (const name of ['fcsr', 'sie', 'sip', 'sstatus', 'sscratch'] as const) {
      if (best.csrs[name] !== 0n) candidates.push({ ...best, csrs: { ...best.csrs, [name]: 0n } })
    }
    const results = candidates.length === 0 ? [] : differs(candidates)
    const found = candidates.find((_, n) => results[n])
    progress = found !== undefined
    best = found ?? best
  }
  return best
}

/** The case as assembly with its state and the differences. */
export function describe(c: Case, ours: Outcome, theirs: Outcome, disassembler: Disassembler): string {
  let pc = BigInt(c.entry)
  const lines = [...c.program, 0x73].map((word) => {
    const line = `  ${hex(pc)}: ${word.toString(16).padStart(isShort(word) ? 4 : 8, '0')}  ${disassembler.print(word, pc)}`
    pc += isShort(word) ? 2n : 4n
    return line
  })
  const registers = c.registers.flatMap((value, n) =>
    value === 0n ? [] : [`${REGISTER_NAMES[n] ?? ''}=${hex(value)}`],
  )
  const floats = c.floats.flatMap((value, n) =>
    value === 0n ? [] : [`${FLOAT_REGISTER_NAMES[n] ?? ''}=${hex(value)}`],
  )
  const csrs = CASE_CSRS.map((name) => `${name}=${hex(c.csrs[name])}`)
  return [
    `${c.supervisor ? 'S' : 'U'}-mode, ${[...registers, ...floats].join(' ')}`,
    csrs.join(' '),
    ...lines,
    ...compare(ours, theirs),
  ].join('\n')
}
