/** `umbra disasm`: a guest's instructions as text. */
import { KernelError, hex } from '../base/index.ts'
import { Disassembler, isShort, parseElf } from '../guest/index.ts'
import type { Segment } from '../guest/index.ts'
import { ExitCode } from './exit-code.ts'
import { readGuest } from './guests.ts'
import { UsageError } from './options.ts'
import type { Output } from './output.ts'

export interface DisasmOptions {
  /** Guest-physical address to start at; undefined for the entry. */
  readonly from: number | undefined
  /** Instructions to print. */
  readonly count: number
}

/** Prints `count` instructions from an address: address, bytes, text. */
export function disasm(guest: string, options: DisasmOptions, output: Output): ExitCode {
  const program = parseElf(readGuest(guest).bytes)
  const from = options.from ?? program.entry
  if (from % 2 !== 0) throw new UsageError(`--from is ${hex(from)}; instructions are at even addresses`)
  const holds = (segment: Segment): boolean => from >= segment.gpa && from < segment.gpa + segment.bytes.length
  const segment = program.segments.find(holds)
  if (segment === undefined) {
    const ranges = program.segments.map(({ gpa, bytes }) => `${hex(gpa)}..${hex(gpa + bytes.length)}`).join(', ')
    throw new KernelError('EINVAL', `nothing is loaded at ${hex(from)}; the file has ${ranges}`)
  }
  const { bytes } = segment
  const text = new Disassembler()
  const half = (at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)
  let at = from - segment.gpa
  for (let done = 0; done < options.count && at < bytes.length && !output.closed; done++) {
    const low = half(at)
    const short = isShort(low)
    const word = short ? low : (low | (half(at + 2) << 16)) >>> 0
    const pc = segment.gpa + at
    const line = text.print(word, BigInt(pc))
    const raw = word.toString(16).padStart(short ? 4 : 8, '0')
    if (output.json) output.object({ type: 'instruction', address: pc, word, text: line })
    else output.line(`${pc.toString(16).padStart(8)}:  ${raw.padEnd(8)}  ${line}`)
    at += short ? 2 : 4
  }
  return ExitCode.consistent
}
