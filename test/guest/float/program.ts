/**
 * A guest program that carries out floating-point instructions on records of operands; the same runs under QEMU and here.
 *
 * A record is six doublewords: a, b, c, fcsr before, result, fcsr after.
 */
import { Random } from '../../../src/base/index.ts'
import {
  CSR_ADDRESS,
  encode,
  type Engine,
  Exit,
  FLOAT_OPERATIONS,
  type FloatFormat,
  type FloatOperation,
  Hart,
  Interpreter,
  ReservationTable,
  type Row,
  ROWS,
} from '../../../src/guest/index.ts'
import { Code } from '../hart/differential/code.ts'
import { kindOf } from '../hart/differential/kinds.ts'
import { FINISHER, runImage } from '../hart/differential/qemu-machine.ts'
import { FlatMemory } from '../hart/flat-memory.ts'
import { operands } from './operands.ts'

export const RECORD_BYTES = 48
const RAM = 0x8000_0000
const RECORDS = RAM + 0x1_0000
const MSTATUS = 0x300
const FS = 0x6000
const BOX = 0xffff_ffffn << 32n
const [SOURCE, INTEGER_RESULT, FLOAT_RESULT] = [11, 12, 4]

/** One instruction, applied to consecutive records. */
export interface Segment {
  readonly row: Row
  readonly operation: FloatOperation
  readonly format: FloatFormat
  /** The rm field; 7 takes the mode from fcsr. */
  readonly rm: number
}

/** Every instruction, with the dynamic and with one static rounding mode. */
export function segments(random: Random): Segment[] {
  return ROWS.flatMap((row): Segment[] => {
    const { float: operation } = kindOf(row)
    if (operation === undefined) return []
    const format = row.extension === 'F' ? 's' : 'd'
    const modes = FLOAT_OPERATIONS[operation].rounds ? [7, random.below(5)] : [0]
    return modes.map((rm) => ({ row, operation, format, rm }))
  })
}

/** Random records for the segments, `count` for each. */
export function makeRecords(random: Random, list: readonly Segment[], count: number): BigUint64Array {
  const records = new BigUint64Array(list.length * count * 6)
  let at = 0
  for (const { operation, format } of list) {
    // The format of the source of a conversion is the other one.
    const source = operation === 'convert' ? (format === 's' ? 'd' : 's') : format
    const box = (bits: bigint): bigint => {
      if (source === 'd' || operation.startsWith('from') || operation === 'moveFromInteger') return bits
      return random.oneIn(32) ? bits | (random.next64() & BOX) : bits | BOX
    }
    for (let n = 0; n < count; n++) {
      for (const value of operands(random, operation, format)) records[at++] = box(value)
      // Half of them nearest-even, and INEXACT raised: what engines do in the host's arithmetic.
      const flags = random.oneIn(2) ? 0 : random.below(32) | random.below(2)
      records[at++] = BigInt(((random.oneIn(2) ? 0 : random.below(5)) << 5) | flags)
      at += 2
    }
  }
  return records
}

/** The program: a loop for each segment. @param machine it runs in M-mode, under QEMU */
function program(list: readonly Segment[], count: number, machine: boolean): Uint8Array {
  const c = new Code()
  c.li(5, FS).put('csrrs', { rd: 0, rs1: 5, imm: machine ? MSTATUS : CSR_ADDRESS.sstatus })
  c.li(6, RECORDS)
  for (const { row, operation, rm } of list) {
    const integer = FLOAT_OPERATIONS[operation].sources === 0
    c.li(7, count * RECORD_BYTES).put('add', { rd: 7, rs1: 7, rs2: 6 })
    const loop = c.here
    c.put('ld', { rd: 8, rs1: 6, imm: 24 }).csrw(CSR_ADDRESS.fcsr, 8)
    for (let n = 0; n < 3; n++) c.put('fld', { rd: n + 1, rs1: 6, imm: n * 8 })
    c.put('ld', { rd: SOURCE, rs1: 6 })
    const { toInteger } = FLOAT_OPERATIONS[operation]
    const fields = { rd: toInteger ? INTEGER_RESULT : FLOAT_RESULT, rs1: integer ? SOURCE : 1, rs2: 2, rs3: 3, rm }
    const used = Object.fromEntries(Object.entries(fields).filter(([name]) => name in row.format))
    c.raw(encode(row, used))
    c.csrr(9, CSR_ADDRESS.fcsr)
    c.put(toInteger ? 'sd' : 'fsd', { rs1: 6, rs2: toInteger ? INTEGER_RESULT : FLOAT_RESULT, imm: 32 })
    c.put('sd', { rs1: 6, rs2: 9, imm: 40 })
    c.put('addi', { rd: 6, rs1: 6, imm: RECORD_BYTES }).branch('bltu', 6, 7, loop)
  }
  if (machine) c.li(6, FINISHER).li(7, 0x5555).put('sw', { rs1: 6, rs2: 7 }).put('jal', { rd: 0, imm: 0 })
  else c.put('ecall')
  const bytes = new Uint8Array(new Uint32Array(c.words).buffer)
  if (bytes.length > RECORDS - RAM) throw new Error(`a program of ${bytes.length} bytes does not fit`)
  return bytes
}

/** Fills in results under QEMU. */
export function runUnderQemu(list: readonly Segment[], records: BigUint64Array): void {
  const bytes = new Uint8Array(records.buffer)
  const image = [
    { at: RAM, bytes: program(list, records.length / 6 / list.length, true) },
    { at: RECORDS, bytes },
  ]
  runImage(image, { at: RECORDS, bytes })
}

/** An engine, and the memory that its hart sees. */
export interface Bench {
  readonly memory: FlatMemory
  readonly engine: Engine
}

/** The reference interpreter. */
export function referenceBench(base: number, size: number): Bench {
  const memory = new FlatMemory(base, size)
  const hart = new Hart({ id: 0, memory, reservations: new ReservationTable(1) })
  return { memory, engine: new Interpreter(hart) }
}

/** Fills in results on an engine. @param makeBench given base and size of the memory in bytes */
export function runHere(
  list: readonly Segment[],
  records: BigUint64Array,
  makeBench: (base: number, size: number) => Bench = referenceBench,
): void {
  const bytes = new Uint8Array(records.buffer)
  const { memory, engine } = makeBench(RAM, RECORDS - RAM + Math.ceil(bytes.length / 4096) * 4096)
  memory.bytes.u8.set(program(list, records.length / 6 / list.length, false))
  memory.bytes.u8.set(bytes, RECORDS - RAM)
  const { hart } = engine
  hart.reset(BigInt(RAM), 0n)
  let reason = engine.run(1_000_000)
  while (reason === Exit.INTR) reason = engine.run(1_000_000)
  if (reason !== Exit.RISCV_SBI || hart.pc < RAM) throw new Error(`the program ended with exit ${reason} at ${hart.pc}`)
  bytes.set(memory.bytes.u8.subarray(RECORDS - RAM, RECORDS - RAM + bytes.length))
}

/** The first record, if any, in which both runs differ, as text. */
export function difference(list: readonly Segment[], ours: BigUint64Array, theirs: BigUint64Array): string | undefined {
  const count = ours.length / 6 / list.length
  const at = ours.findIndex((value, n) => value !== theirs[n])
  if (at < 0) return undefined
  const record = Math.floor(at / 6)
  const { row, rm } = list[Math.floor(record / count)] as Segment
  const show = (values: BigUint64Array, from: number, to: number): string =>
    [...values.subarray(record * 6 + from, record * 6 + to)].map((value) => `0x${value.toString(16)}`).join(' ')
  const what = `${row.name} rm=${rm} of ${show(ours, 0, 3)}, fcsr ${show(ours, 3, 4)}`
  return `${what}: result and fcsr ${show(ours, 4, 6)}, expected ${show(theirs, 4, 6)}`
}
