/**
 * A machine of QEMU's that runs walk-probe.S on given memory and records; its RAM is a file, so nothing has to be dumped.
 *
 * R1 Layout and record offsets are those of walk-probe.S.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MiB, PAGE_SIZE, hpa } from '../../../src/base/index.ts'
import { PhysicalMemory, PhysicalPteSource, PteResult } from '../../../src/hardware/index.ts'
import type { PteSource } from '../../../src/hardware/index.ts'
import { WALK_PROBE_WORDS } from './walk-probe.ts'

export const QEMU = 'qemu-system-riscv64'
/** The version whose deviations from the specification the tests know; others have others. */
export const QEMU_VERSION = '7.2'
export const isInstalled = (program: string, version = ''): boolean => {
  const asked = spawnSync(program, ['--version'], { encoding: 'utf8' })
  return asked.status === 0 && asked.stdout.includes(version)
}

/** Frames count from the start of RAM; the window is all that S and U reach: tables first, then data. */
export const RAM_BASE = 0x80000000
export const BASE_PAGE: number = RAM_BASE / PAGE_SIZE
export const WINDOW_FIRST: number = (2 * MiB) / PAGE_SIZE
export const DATA_FIRST: number = (4 * MiB) / PAGE_SIZE
export const WINDOW_END: number = (8 * MiB) / PAGE_SIZE
/** QEMU puts its device tree near the end of RAM, above the window. */
const RAM_BYTES: number = 16 * MiB
const RECORDS_AT: number = MiB
const RECORD_BYTES = 128

export const inWindow = (address: number): boolean =>
  address >= RAM_BASE + WINDOW_FIRST * PAGE_SIZE && address < RAM_BASE + WINDOW_END * PAGE_SIZE

/** Offsets in a page that probes use; data pages hold an illegal instruction there that tells which page it is. */
export const OFFSETS: readonly number[] = [0, 0x7f8, 0xffc]
const marker = (frame: number, offset: number): number => ((frame * 4 + OFFSETS.indexOf(offset)) << 7) | 0x0b

/** Our side of the machine's memory, its data pages marked. */
export function markedMemory(): PhysicalMemory {
  const memory = new PhysicalMemory(WINDOW_END)
  for (let frame = DATA_FIRST; frame < WINDOW_END; frame++) {
    for (const offset of OFFSETS) memory.write32(hpa(frame * PAGE_SIZE + offset), marker(frame, offset))
  }
  return memory
}

/** Host memory as a hart of the machine sees it under the PMP: only the window exists. */
export class WindowSource implements PteSource {
  low = 0
  high = 0
  private readonly inner: PhysicalPteSource
  constructor(memory: PhysicalMemory) {
    this.inner = new PhysicalPteSource(memory)
  }
  load(address: number): PteResult {
    if (!inWindow(address)) return PteResult.vacant
    const result = this.inner.load(address - RAM_BASE)
    this.low = this.inner.low
    this.high = this.inner.high
    return result
  }
  compareAndSet(address: number, low: number, high: number, newLow: number): PteResult {
    return this.inner.compareAndSet(address - RAM_BASE, low, high, newLow)
  }
}

/** What walk-probe.S can do at an address. */
export const ProbeKind = { load: 0, store: 1, mret: 2, guestLoad: 3, guestStore: 4 } as const
export type ProbeKind = (typeof ProbeKind)[keyof typeof ProbeKind]

export interface Record {
  readonly satp?: bigint
  readonly vsatp?: bigint
  readonly hgatp?: bigint
  readonly address: bigint
  readonly mstatus: bigint
  readonly kind: ProbeKind
  readonly value: number
  readonly hstatus?: bigint
  readonly vsstatus?: bigint
}

/** What happened: 0 for `cause` means that the access went through. */
export interface Result {
  readonly cause: number
  readonly value: number
  readonly tval: bigint
  /** The guest physical address of a guest-page fault, shifted right by 2. */
  readonly tval2: bigint
}

const ILLEGAL_INSTRUCTION = 2n

/** Runs the records on a copy of `image`, which starts at RAM_BASE. @returns results, and the copy as the machine left it */
export function runRecords(image: Uint8Array, records: readonly Record[]): { results: Result[]; after: Buffer } {
  const before = new Uint8Array(image)
  const ram = new DataView(before.buffer)
  for (const [index, word] of WALK_PROBE_WORDS.entries()) ram.setUint32(index * 4, word, true)
  ram.setBigUint64(RECORDS_AT, BigInt(records.length), true)
  for (const [index, record] of records.entries()) {
    const fields = [record.satp, record.vsatp, record.hgatp, record.address, record.mstatus, BigInt(record.kind)]
    fields.push(BigInt(record.value), record.hstatus, record.vsstatus)
    const at = RECORDS_AT + RECORD_BYTES * (index + 1)
    for (const [field, value] of fields.entries()) ram.setBigUint64(at + field * 8, value ?? 0n, true)
  }
  const after = runMachine(before)
  const results = records.map((record, index) => {
    const at = RECORDS_AT + RECORD_BYTES * (index + 1)
    const cause = after.readBigInt64LE(at + 80)
    const tval = after.readBigUInt64LE(at + 96)
    const tval2 = after.readBigUInt64LE(at + 104)
    // An mret that lands has fetched an illegal instruction, which mtval then holds.
    if (record.kind === ProbeKind.mret && cause === ILLEGAL_INSTRUCTION) {
      return { cause: 0, value: Number(tval), tval, tval2 }
    }
    return cause === -1n
      ? { cause: 0, value: after.readUInt32LE(at + 88), tval, tval2 }
      : { cause: Number(cause), value: 0, tval, tval2 }
  })
  return { results, after }
}

/** Runs the machine until it powers off, and gives its RAM as it was then. */
function runMachine(ram: Uint8Array): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'umbra-qemu-'))
  const path = join(directory, 'ram')
  try {
    const file = openSync(path, 'w+')
    ftruncateSync(file, RAM_BYTES)
    writeSync(file, ram)
    const options = ['-M', 'virt,memory-backend=ram', '-cpu', 'rv64,h=true', '-bios', 'none', '-display', 'none']
    const backend = `memory-backend-file,id=ram,size=${RAM_BYTES},mem-path=${path},share=on`
    const devices = ['-serial', 'none', '-monitor', 'none', '-net', 'none']
    execFileSync(QEMU, [...options, '-object', backend, ...devices], { timeout: 60_000, stdio: 'pipe' })
    const after = Buffer.alloc(ram.length)
    readSync(file, after, 0, after.length, 0)
    closeSync(file)
    return after
  } finally {
    rmSync(directory, { recursive: true })
  }
}
