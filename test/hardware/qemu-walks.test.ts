/**
 * The walker against QEMU's page-table walk: the same random tables and probes, run on a machine of QEMU's whose RAM is a file.
 *
 * QEMU sets A and D itself (Svadu). Its rule for a PTE outside memory is a page fault, so the probes run under a PMP window:
 * what a hart may not read for want of rights is an access fault in both.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { MiB, PAGE_SIZE, Random, hpa } from '../../src/base/index.ts'
import {
  Access,
  CAUSE_ILLEGAL_INSTRUCTION,
  PageTableWalker,
  PhysicalMemory,
  PhysicalPteSource,
  PteResult,
  SV39,
  SV39X4,
  SV48,
  SV48X4,
  SV57,
  SV57X4,
  Walk,
  accessFaultCause,
  guestPageFaultCause,
  pteText,
} from '../../src/hardware/index.ts'
import type { PagingMode, PteSource } from '../../src/hardware/index.ts'
import { WALK_PROBE_WORDS } from './qemu/walk-probe.ts'
import { fillTables, randomPage } from './random-tables.ts'
import type { Place } from './random-tables.ts'

const QEMU = 'qemu-system-riscv64'
const COMPILER = 'riscv64-unknown-elf-gcc'
const isInstalled = (program: string): boolean => spawnSync(program, ['--version']).status === 0

/** Layout, as walk-probe.S has it; frames count from the start of RAM. */
const RAM_BASE = 0x80000000
const BASE_PAGE = RAM_BASE / PAGE_SIZE
/** QEMU puts its device tree near the end of RAM, above the window. */
const RAM_BYTES: number = 32 * MiB
const RECORDS_AT: number = MiB
const RECORD_BYTES = 128
const WINDOW_FIRST: number = (2 * MiB) / PAGE_SIZE
const WINDOW_END: number = (16 * MiB) / PAGE_SIZE
const DATA_FIRST: number = (4 * MiB) / PAGE_SIZE

const TABLES_PER_WORLD = 12
const WORLDS = 40
const PROBES_PER_WORLD = 100

const MSTATUS_MPRV = 1n << 17n
const MSTATUS_SUM = 1n << 18n
const MSTATUS_MXR = 1n << 19n
const MSTATUS_MPV = 1n << 39n
const MSTATUS_MPP_S = 1n << 11n

/** Offsets in a page that probes use; data pages hold an illegal instruction there that tells which page it is. */
const OFFSETS = [0, 0x7f8, 0xffc]
const marker = (frame: number, offset: number): number => ((frame * 4 + OFFSETS.indexOf(offset)) << 7) | 0x0b

/** Host memory as a hart of the QEMU machine sees it under the PMP: only the window exists. */
class WindowSource implements PteSource {
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
const inWindow = (address: number): boolean =>
  address >= RAM_BASE + WINDOW_FIRST * PAGE_SIZE && address < RAM_BASE + WINDOW_END * PAGE_SIZE

interface Probe {
  readonly mode: PagingMode
  readonly root: number
  readonly page: number
  readonly offset: number
  readonly access: Access
  readonly context: number
  readonly value: number
}
interface Outcome {
  /** 0 for an access that went through. */
  readonly cause: number
  readonly value: number
}

const describe = (probe: Probe): string =>
  `${probe.mode.name} root ${probe.root.toString(16)} page ${probe.page.toString(16)} access ${probe.access} context ${probe.context}`

/** Makes the access on our side, data included. */
function access(memory: PhysicalMemory, source: PteSource, walker: PageTableWalker, probe: Probe): Outcome {
  const { mode, root, page, offset, context } = probe
  if (!walker.walk(source, mode, root, page, probe.access, context | Walk.hardwareUpdate)) {
    return { cause: walker.cause, value: 0 }
  }
  const address = walker.page * PAGE_SIZE + offset
  if (!inWindow(address)) return { cause: accessFaultCause(probe.access), value: 0 }
  if (probe.access !== Access.write) return { cause: 0, value: memory.read32(hpa(address - RAM_BASE)) }
  memory.write32(hpa(address - RAM_BASE), probe.value)
  return { cause: 0, value: 0 }
}

/** QEMU reports want of rights as a guest-page fault once a G-stage took part. */
function asQemu(probe: Probe, outcome: Outcome): Outcome {
  if (!probe.mode.guestPhysical || outcome.cause === 0) return outcome
  return { cause: guestPageFaultCause(probe.access), value: 0 }
}

/** Kinds of walk-probe.S. */
function kindOf(probe: Probe): number {
  const hypervisor = probe.mode.guestPhysical
  if (probe.access === Access.read) return hypervisor ? 3 : 0
  if (probe.access === Access.write) return hypervisor ? 4 : 1
  return 2
}

function putRecord(ram: DataView, index: number, probe: Probe): void {
  const at = RECORDS_AT + RECORD_BYTES * (index + 1)
  const put = (offset: number, value: bigint): void => ram.setBigUint64(at + offset, value, true)
  const atp = (BigInt(probe.mode.field) << 60n) | BigInt(probe.root)
  const has = (bit: number): boolean => (probe.context & bit) !== 0
  let mstatus = has(Walk.user) ? 0n : MSTATUS_MPP_S
  if (has(Walk.sum)) mstatus |= MSTATUS_SUM
  if (has(Walk.mxr)) mstatus |= MSTATUS_MXR
  const kind = kindOf(probe)
  if (kind < 2) mstatus |= MSTATUS_MPRV
  if (kind === 2 && probe.mode.guestPhysical) mstatus |= MSTATUS_MPV
  put(0, probe.mode.guestPhysical ? 0n : atp)
  put(16, probe.mode.guestPhysical ? atp : 0n)
  put(24, BigInt.asUintN(64, (BigInt(probe.page) << 12n) | BigInt(probe.offset)))
  put(32, mstatus)
  put(40, BigInt(kind))
  put(48, BigInt(probe.value))
  // QEMU 7.2 takes the G-stage's MXR of an hlv from here, the specification from mstatus.
  if (has(Walk.mxr)) put(64, MSTATUS_MXR)
}

/** Runs the machine on `ram` until it powers off, and gives its RAM as it was then. */
function runQemu(ram: Uint8Array): Buffer {
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

function outcomeOf(ram: Buffer, index: number, probe: Probe): Outcome {
  const at = RECORDS_AT + RECORD_BYTES * (index + 1)
  const cause = ram.readBigInt64LE(at + 80)
  if (cause === -1n) return { cause: 0, value: ram.readUInt32LE(at + 88) }
  if (kindOf(probe) === 2 && cause === BigInt(CAUSE_ILLEGAL_INSTRUCTION)) {
    return { cause: 0, value: ram.readUInt32LE(at + 96) }
  }
  return { cause: Number(cause), value: 0 }
}

/**
 * A page to probe, but for two mistakes of QEMU 7.2: a load or store under MPRV to the page that the program itself runs in
 * goes to that page untranslated, and G-stage addresses are checked for sign extension as if they were virtual.
 */
function randomProbePage(random: Random, mode: PagingMode): number {
  for (;;) {
    const page = randomPage(random, mode)
    if (mode.guestPhysical ? page < mode.pages / 2 : page !== BASE_PAGE) return page
  }
}

/** Tables and data in RAM, and probes with what each must do; running the probes changes the memory. */
function makeProbes(random: Random, memory: PhysicalMemory, modes: readonly PagingMode[]): Probe[] {
  const probes: Probe[] = []
  for (let world = 0; world < WORLDS; world++) {
    const place: Place = {
      base: BASE_PAGE,
      tables: WINDOW_FIRST + world * TABLES_PER_WORLD,
      tableCount: TABLES_PER_WORLD,
      data: DATA_FIRST,
      dataCount: WINDOW_END - DATA_FIRST,
    }
    const mode = random.pick(modes)
    fillTables(random, place, memory, mode.levels)
    for (let i = 0; i < PROBES_PER_WORLD; i++) {
      probes.push({
        mode,
        root: BASE_PAGE + place.tables,
        page: randomProbePage(random, mode),
        offset: random.pick(OFFSETS),
        access: random.pick([Access.read, Access.write, Access.execute]),
        context: random.below(8),
        value: 0x1000000b | (random.below(2 ** 20) << 8),
      })
    }
  }
  return probes
}

function compare(t: import('ava').ExecutionContext, seed: number, modes: readonly PagingMode[]): void {
  const random = new Random(seed)
  const memory = new PhysicalMemory(WINDOW_END)
  const image = new DataView(memory.memory.buffer)
  for (let frame = DATA_FIRST; frame < WINDOW_END; frame++) {
    for (const offset of OFFSETS) memory.write32(hpa(frame * PAGE_SIZE + offset), marker(frame, offset))
  }
  const drawn = makeProbes(random, memory, modes)
  const before = new Uint8Array(memory.readBytes(hpa(0), memory.byteLength))
  const ram = new DataView(before.buffer)
  for (const [index, word] of WALK_PROBE_WORDS.entries()) ram.setUint32(index * 4, word, true)

  const source = new WindowSource(memory)
  const walker = new PageTableWalker()
  const probes: Probe[] = []
  const leaves: string[] = []
  const expected: Outcome[] = []
  for (const probe of drawn) {
    // Only what is known to trap may be executed: a landing among the tables would run PTEs as instructions.
    const mark = memory.snapshotMark()
    const outcome = access(memory, source, walker, probe)
    const runsTables = kindOf(probe) === 2 && outcome.cause === 0 && walker.page - BASE_PAGE < DATA_FIRST
    if (runsTables) {
      memory.snapshotUndo(mark)
      continue
    }
    probes.push(probe)
    expected.push(outcome)
    leaves.push(`level ${walker.level} ${pteText(walker.low, walker.high)} to ${walker.page.toString(16)}`)
  }
  memory.snapshotStop()
  ram.setBigUint64(RECORDS_AT, BigInt(probes.length), true)
  for (const [index, probe] of probes.entries()) putRecord(ram, index, probe)

  const after = runQemu(before)
  const counts = new Map<number, number>()
  for (const [index, probe] of probes.entries()) {
    const outcome = outcomeOf(after, index, probe)
    counts.set(outcome.cause, (counts.get(outcome.cause) ?? 0) + 1)
    t.deepEqual(
      asQemu(probe, expected[index] as Outcome),
      outcome,
      `seed ${seed} probe ${index}: ${describe(probe)}, ${leaves[index]}`,
    )
  }
  const window = new Uint8Array(image.buffer, WINDOW_FIRST * PAGE_SIZE)
  t.is(Buffer.compare(window, after.subarray(WINDOW_FIRST * PAGE_SIZE)), 0, `seed ${seed}: A, D and stored data agree`)
  const told = [...counts].toSorted(([a], [b]) => a - b).map(([cause, n]) => `${cause}: ${n}`)
  t.log(`${probes.length} probes; by cause (0 is none) ${told.join(', ')}`)
}

const withQemu = isInstalled(QEMU) ? test : test.skip
if (withQemu === test.skip) console.log(`skipped: ${QEMU} is not installed, so the walker is not compared with it`)

withQemu('Sv39, Sv48 and Sv57 walks do what QEMU does: causes, data, A and D', (t) => {
  compare(t, 1, [SV39, SV48, SV57])
})

withQemu('Sv39x4, Sv48x4 and Sv57x4 walks do what QEMU does under hlv, hsv and in VS-mode', (t) => {
  compare(t, 2, [SV39X4, SV48X4, SV57X4])
})

const withCompiler = isInstalled(COMPILER) ? test : test.skip
if (withCompiler === test.skip) console.log(`skipped: ${COMPILER} is not installed, so walk-probe.S is not reassembled`)

withCompiler('the words of the probe program are those of its source', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'umbra-probe-'))
  try {
    const elf = join(directory, 'probe.elf')
    const options = ['-march=rv64ima_zicsr', '-mabi=lp64', '-nostdlib', '-nostartfiles', '-Ttext=0x80000000']
    execFileSync(COMPILER, [...options, 'test/hardware/qemu/walk-probe.S', '-o', elf])
    const binary = join(directory, 'probe.bin')
    execFileSync('riscv64-unknown-elf-objcopy', ['-O', 'binary', '-j', '.text', elf, binary])
    const words = readFileSync(binary)
    t.deepEqual(
      WALK_PROBE_WORDS,
      Array.from({ length: words.length / 4 }, (_, index) => words.readUInt32LE(index * 4)),
    )
  } finally {
    rmSync(directory, { recursive: true })
  }
})
