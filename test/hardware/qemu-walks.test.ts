/**
 * The walker against QEMU's page-table walk: the same random tables and probes on both, then causes, data, A and D compared.
 *
 * QEMU sets A and D itself (Svadu). Its rule for a PTE outside memory is a page fault, so the probes run under a PMP window:
 * what a hart may not read for want of rights is an access fault in both. What else QEMU 7.2 does differently is left out,
 * each place with its reason.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { PAGE_SIZE, Random, hpa } from '../../src/base/index.ts'
import {
  Access,
  CAUSE_LOAD_GUEST_PAGE_FAULT,
  PTE_A,
  PTE_D,
  PTE_R,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
  PageTableWalker,
  PhysicalMemory,
  PteResult,
  SV39,
  SV39X4,
  SV48,
  SV48X4,
  SV57,
  SV57X4,
  Walk,
  WalkStatus,
  accessFaultCause,
  guestPageFaultCause,
  pteHigh,
  pteLow,
  pteText,
  tableIndex,
} from '../../src/hardware/index.ts'
import type { PagingMode, PteSource } from '../../src/hardware/index.ts'
import {
  BASE_PAGE,
  DATA_FIRST,
  OFFSETS,
  ProbeKind,
  QEMU,
  QEMU_VERSION,
  RAM_BASE,
  WINDOW_END,
  WINDOW_FIRST,
  WindowSource,
  inWindow,
  isInstalled,
  markedMemory,
  runRecords,
} from './qemu/machine.ts'
import type { Record, Result } from './qemu/machine.ts'
import { WALK_PROBE_WORDS } from './qemu/walk-probe.ts'
import { fillTables, randomPage } from './random-tables.ts'
import type { Place } from './random-tables.ts'

const COMPILER = 'riscv64-unknown-elf-gcc'
const OBJCOPY = 'riscv64-unknown-elf-objcopy'
const TABLES_PER_WORLD = 12
const PROBES_PER_WORLD = 100

const MSTATUS_MPRV = 1n << 17n
const MSTATUS_SUM = 1n << 18n
const MSTATUS_MXR = 1n << 19n
const MSTATUS_MPV = 1n << 39n
const MSTATUS_MPP_S = 1n << 11n
const HSTATUS_SPVP = 1n << 8n

interface Probe {
  readonly mode: PagingMode
  /** Page number of the root table, in the address space that the mode's PTEs are in. */
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
  /** Guest physical address of a guest-page fault; -1 where it is not compared. */
  readonly fault: number
}

/** One of the three set-ups: what our side does with a probe, and how it is put to QEMU. */
interface Side {
  /** Makes the access, data included. `landing` gets the frame it reached. */
  access(probe: Probe): Outcome
  record(probe: Probe): Record
  /** Frame that the last access reached. */
  landing(): number
  /** The walker that found it, to describe a mismatch by. */
  readonly walker: PageTableWalker
}

const field = (mode: PagingMode, root: number): bigint => (BigInt(mode.field) << 60n) | BigInt(root)
const addressOf = (probe: Probe): bigint => (BigInt(probe.page) << 12n) | BigInt(probe.offset)

function statusOf(probe: Probe): bigint {
  let status = (probe.context & Walk.user) !== 0 ? 0n : MSTATUS_MPP_S
  if ((probe.context & Walk.sum) !== 0) status |= MSTATUS_SUM
  if ((probe.context & Walk.mxr) !== 0) status |= MSTATUS_MXR
  return status
}

/** Loads or stores at a host physical address. */
function touch(memory: PhysicalMemory, probe: Probe, address: number): Outcome {
  if (!inWindow(address)) return { cause: accessFaultCause(probe.access), value: 0, fault: -1 }
  const at = hpa(address - RAM_BASE)
  if (probe.access !== Access.write) return { cause: 0, value: memory.read32(at), fault: -1 }
  memory.write32(at, probe.value)
  return { cause: 0, value: 0, fault: -1 }
}

/** One stage: satp for a virtual mode, hgatp (with vsatp Bare) for a guest physical one. */
class OneStage implements Side {
  readonly walker: PageTableWalker = new PageTableWalker()
  private readonly memory: PhysicalMemory
  private readonly source: PteSource

  constructor(memory: PhysicalMemory) {
    this.memory = memory
    this.source = new WindowSource(memory)
  }

  access(probe: Probe): Outcome {
    const { mode, root, page, offset, context } = probe
    const ok = this.walker.walk(this.source, mode, root, page, probe.access, context | Walk.hardwareUpdate)
    const outcome = ok
      ? touch(this.memory, probe, this.walker.page * PAGE_SIZE + offset)
      : { cause: this.walker.cause, value: 0, fault: -1 }
    if (!mode.guestPhysical || outcome.cause === 0) return outcome
    // QEMU reports want of rights, too, as a guest-page fault once a G-stage took part.
    return { cause: guestPageFaultCause(probe.access), value: 0, fault: Number(addressOf(probe)) }
  }

  landing(): number {
    return this.walker.page - BASE_PAGE
  }

  record(probe: Probe): Record {
    const { mode, root, access, value } = probe
    const mstatus = statusOf(probe)
    const address = BigInt.asUintN(64, addressOf(probe))
    if (!mode.guestPhysical) {
      if (access === Access.execute) return { satp: field(mode, root), address, mstatus, kind: ProbeKind.mret, value }
      const kind = access === Access.read ? ProbeKind.load : ProbeKind.store
      return { satp: field(mode, root), address, mstatus: mstatus | MSTATUS_MPRV, kind, value }
    }
    return { hgatp: field(mode, root), address, value, ...guestAccess(access, mstatus) }
  }
}

/** An access with V = 1: hlv or hsv from M-mode, or an mret into VS- or VU-mode. */
function guestAccess(access: Access, status: bigint): Pick<Record, 'mstatus' | 'kind' | 'hstatus' | 'vsstatus'> {
  const hstatus = (status & MSTATUS_MPP_S) === 0n ? 0n : HSTATUS_SPVP
  // The specification takes MXR for both stages from mstatus; QEMU 7.2 takes one stage's from here.
  const vsstatus = status & (MSTATUS_MXR | MSTATUS_SUM)
  if (access === Access.execute) return { mstatus: status | MSTATUS_MPV, kind: ProbeKind.mret, hstatus, vsstatus }
  return {
    mstatus: status,
    kind: access === Access.read ? ProbeKind.guestLoad : ProbeKind.guestStore,
    hstatus,
    vsstatus,
  }
}

/** VS-stage over G-stage: the first walker's PTEs are reached through the second. */
class TwoStage implements Side, PteSource {
  low = 0
  high = 0
  readonly walker: PageTableWalker = new PageTableWalker()
  private readonly second: PageTableWalker = new PageTableWalker()
  private readonly memory: PhysicalMemory
  private readonly source: PteSource
  private readonly hostRoot: number

  constructor(memory: PhysicalMemory, hostRoot: number) {
    this.memory = memory
    this.source = new WindowSource(memory)
    this.hostRoot = hostRoot
  }

  load(address: number): PteResult {
    if (!this.walkSecond(Math.floor(address / PAGE_SIZE), Access.read, 0)) return PteResult.missed
    const result = this.source.load(this.second.page * PAGE_SIZE + (address % PAGE_SIZE))
    this.low = this.source.low
    this.high = this.source.high
    return result
  }
  compareAndSet(address: number, low: number, high: number, newLow: number): PteResult {
    if (!this.walkSecond(Math.floor(address / PAGE_SIZE), Access.write, 0)) return PteResult.missed
    return this.source.compareAndSet(this.second.page * PAGE_SIZE + (address % PAGE_SIZE), low, high, newLow)
  }

  access(probe: Probe): Outcome {
    const { mode, root, page, offset, context, access } = probe
    if (!this.walker.walk(this, mode, root, page, access, context | Walk.hardwareUpdate)) {
      if (this.walker.status !== WalkStatus.sourceMiss) return { cause: this.walker.cause, value: 0, fault: -1 }
      // The specification wants the original access's cause, as the walker says; QEMU 7.2 reports a load.
      return { cause: CAUSE_LOAD_GUEST_PAGE_FAULT, value: 0, fault: this.walker.pteAddress }
    }
    if (!this.walkSecond(this.walker.page, access, context)) {
      return { cause: this.second.cause, value: 0, fault: this.walker.page * PAGE_SIZE + offset }
    }
    return touch(this.memory, probe, this.second.page * PAGE_SIZE + offset)
  }

  landing(): number {
    return this.second.page - BASE_PAGE
  }

  record(probe: Probe): Record {
    const vsatp = field(probe.mode, probe.root)
    return {
      // For an hlv's cause, QEMU 7.2 asks satp whether the first stage translates at all.
      satp: vsatp,
      vsatp,
      hgatp: field(SV39X4, this.hostRoot),
      address: BigInt.asUintN(64, addressOf(probe)),
      value: probe.value,
      ...guestAccess(probe.access, statusOf(probe)),
    }
  }

  private walkSecond(page: number, access: Access, context: number): boolean {
    return this.second.walk(this.source, SV39X4, this.hostRoot, page, access, context | Walk.hardwareUpdate)
  }
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

/** Draws tables into `memory` and probes of them, a world at a time. */
function drawWorlds(random: Random, memory: PhysicalMemory, modes: readonly PagingMode[], worlds: number): Probe[] {
  const probes: Probe[] = []
  for (let world = 0; world < worlds; world++) {
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

const describe = (probe: Probe, walker: PageTableWalker): string =>
  `${probe.mode.name} page ${probe.page.toString(16)} access ${probe.access} context ${probe.context}, ` +
  `level ${walker.level} ${pteText(walker.low, walker.high)}`

function seen(result: Result, expected: Outcome): Outcome {
  return { cause: result.cause, value: result.value, fault: expected.fault < 0 ? -1 : Number(result.tval2) * 4 }
}

function compare(t: ExecutionContext, memory: PhysicalMemory, side: Side, drawn: readonly Probe[]): void {
  const image = memory.readBytes(hpa(0), memory.byteLength)
  const probes: { readonly probe: Probe; readonly expected: Outcome; readonly told: string }[] = []
  for (const probe of drawn) {
    const mark = memory.snapshotMark()
    const expected = side.access(probe)
    // Only what is known to trap may be executed: a landing among the tables would run PTEs as instructions.
    if (probe.access === Access.execute && expected.cause === 0 && side.landing() < DATA_FIRST) {
      memory.snapshotUndo(mark)
      continue
    }
    // Guest-page faults are told by the word, so the two low bits of the address are lost.
    const fault = expected.fault < 0 ? -1 : Math.floor(expected.fault / 4) * 4
    probes.push({ probe, expected: { ...expected, fault }, told: describe(probe, side.walker) })
  }
  memory.snapshotStop()

  const { results, after } = runRecords(
    image,
    probes.map(({ probe }) => side.record(probe)),
  )
  const counts = new Map<number, number>()
  const mismatches: string[] = []
  for (const [index, { expected, told }] of probes.entries()) {
    const result = results[index] as Result
    counts.set(result.cause, (counts.get(result.cause) ?? 0) + 1)
    const { cause, value, fault } = seen(result, expected)
    if (cause !== expected.cause || value !== expected.value || fault !== expected.fault) {
      mismatches.push(
        `probe ${index}: ${told}: expected cause ${expected.cause} value ${expected.value} fault ${expected.fault}, ` +
          `QEMU has ${cause}, ${value}, ${fault}`,
      )
    }
  }
  t.deepEqual(mismatches.slice(0, 10), [])
  const window = memory.readBytes(hpa(WINDOW_FIRST * PAGE_SIZE), (WINDOW_END - WINDOW_FIRST) * PAGE_SIZE)
  t.is(Buffer.compare(window, after.subarray(WINDOW_FIRST * PAGE_SIZE)), 0, 'A, D and stored data agree')
  const told = [...counts].toSorted(([a], [b]) => a - b).map(([cause, n]) => `${cause}: ${n}`)
  t.log(`${probes.length} probes; by cause (0 is none) ${told.join(', ')}`)
  t.true((counts.get(0) ?? 0) > probes.length / 20, 'enough of them went through')
}

/** The G-stage of the two-stage test: a guest frame stands in another host frame of its group of eight. */
const swizzle = (frame: number): number => frame ^ 5
const HOST_TABLES: number = WINDOW_FIRST + 256

/**
 * Maps the window under Sv39x4, some pages not at all. Leaves have all rights and A and D set: QEMU 7.2 updates A and D of a
 * VS-stage PTE without asking the G-stage for the right to write.
 */
function mapWindow(random: Random, memory: PhysicalMemory): number {
  const root = HOST_TABLES
  const middle = root + 4
  const put = (table: number, page: number, level: number, to: number, flags: number): void =>
    memory.writePte(hpa(table * PAGE_SIZE + tableIndex(SV39X4, page, level) * 8), pteLow(to, flags), pteHigh(to))
  for (let frame = WINDOW_FIRST; frame < WINDOW_END; frame++) {
    const page = BASE_PAGE + frame
    const leaf = middle + 1 + Math.floor((frame - WINDOW_FIRST) / 512)
    put(root, page, 2, BASE_PAGE + middle, PTE_V)
    put(middle, page, 1, BASE_PAGE + leaf, PTE_V)
    const own = frame >= HOST_TABLES && frame < DATA_FIRST
    if (own || random.oneIn(12)) continue
    const rights = PTE_V | PTE_R | PTE_W | PTE_X | PTE_A | PTE_D
    put(leaf, page, 0, BASE_PAGE + swizzle(frame), random.oneIn(32) ? rights : rights | PTE_U)
  }
  return BASE_PAGE + root
}

const withQemu = isInstalled(QEMU, `version ${QEMU_VERSION}`) ? test : test.skip
if (withQemu === test.skip)
  console.log(`skipped: ${QEMU} ${QEMU_VERSION} is not installed, so the walker is not compared with it`)

withQemu('Sv39, Sv48 and Sv57 walks do what QEMU does', (t) => {
  const memory = markedMemory()
  const probes = drawWorlds(new Random(1), memory, [SV39, SV48, SV57], 30)
  compare(t, memory, new OneStage(memory), probes)
})

withQemu('Sv39x4, Sv48x4 and Sv57x4 walks do what QEMU does under hlv, hsv and in VS-mode', (t) => {
  const memory = markedMemory()
  const probes = drawWorlds(new Random(2), memory, [SV39X4, SV48X4, SV57X4], 30)
  compare(t, memory, new OneStage(memory), probes)
})

withQemu('a VS-stage walk through a G-stage walk does what QEMU does, guest fault addresses included', (t) => {
  const random = new Random(3)
  const guest = new PhysicalMemory(WINDOW_END)
  // QEMU 7.2 grants SUM to every hlv and hsv.
  const probes = drawWorlds(random, guest, [SV39, SV48, SV57], 20).map((probe) => ({
    ...probe,
    context: probe.context | Walk.sum,
  }))
  const memory = markedMemory()
  for (let frame = WINDOW_FIRST; frame < HOST_TABLES; frame++) {
    memory.writeBytes(hpa(swizzle(frame) * PAGE_SIZE), guest.readBytes(hpa(frame * PAGE_SIZE), PAGE_SIZE))
  }
  compare(t, memory, new TwoStage(memory, mapWindow(random, memory)), probes)
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
    execFileSync(OBJCOPY, ['-O', 'binary', '-j', '.text', elf, binary])
    const words = readFileSync(binary)
    t.deepEqual(
      WALK_PROBE_WORDS,
      Array.from({ length: words.length / 4 }, (_, index) => words.readUInt32LE(index * 4)),
    )
  } finally {
    rmSync(directory, { recursive: true })
  }
})
