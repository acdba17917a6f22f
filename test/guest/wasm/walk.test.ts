/** The walk in generated code and the one in JavaScript, on the same random tables: same answers, same TLBs, same events, same memory. */
import { isDeepStrictEqual } from 'node:util'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { PAGE_SIZE, Random, Wasm, hpa } from '../../../src/base/index.ts'
import type { Gvn, Pfn } from '../../../src/base/index.ts'
import {
  Access,
  PTE_A,
  PTE_D,
  PTE_G,
  PTE_R,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
  PhysicalMemory,
  SV39,
  SV39X4,
  SV48,
  SV48X4,
  isLeafPte,
  pteHigh,
  pteLow,
  tableIndex,
  ptePpn,
} from '../../../src/hardware/index.ts'
import type { PagingMode } from '../../../src/hardware/index.ts'
import { HART_AREA_BYTES, HartArea, ReservationTable, walkModule } from '../../../src/guest/index.ts'
import { MmuStats } from '../../../src/mmu/stats.ts'
import { ShadowMmu } from '../../../src/mmu/shadow-mmu.ts'
import { TdpMmu } from '../../../src/mmu/tdp-mmu.ts'
import { Vcpu } from '../../../src/mmu/vcpu.ts'
import type { Vm } from '../../../src/mmu/vm.ts'
import { fillTables, randomPage } from '../../hardware/random-tables.ts'

const FRAMES = 1024
/** The second table's root, its tables, the guest's tables, the guest's pages; frame 512 begins a large page. */
const G_ROOT = 4
const G_TABLES = 8
const TABLES = 16
const TABLE_COUNT = 24
const DATA = 40
const DATA_COUNT = 16
const LARGE = 512
/** Behind the first page of a root of four. */
const GUEST_BASE: number = 2 ** 28 + 0x80000
const ENTRIES = 64
const TLB_BYTES = 3 * ENTRIES * 32
const RWX = PTE_V | PTE_R | PTE_W | PTE_X
const ALL = RWX | PTE_U | PTE_A | PTE_D

type Paging = 'two-dimensional' | 'shadow'
type Refill = (area: number, address: bigint, access: Access) => number

/** The shadow page of a PTE. Any numbers do, if they are the same on both sides. */
const pageOf = (address: number): object => {
  const pfn = Math.floor(address / PAGE_SIZE)
  const role = { level: levelOfTable(pfn), guestLeaf: pfn % 3 === 0 ? 1 : 0, direct: false }
  return { role, indexOf: (at: number) => (at % PAGE_SIZE) / 8, gfnOf: (index: number) => pfn * 512 + index }
}

/** What the MMU asks of a VM, and no more. */
function makeVm(memory: PhysicalMemory, paging: Paging, gpaMode: PagingMode, svadu: boolean, events: object[]): Vm {
  const vm = {
    id: 0,
    vmid: 3,
    memory,
    options: { gpaMode, adUpdate: svadu ? 'svadu' : 'svade' },
    stats: new MmuStats(),
    trace: { on: true, accesses: false, emit: (event: object) => events.push(event) },
    requests: { modes: [1], requests: [0] },
    sptes: { pageOf },
    sync: { unsync: new Set() },
    backing: null,
    mmu: null as unknown,
  }
  vm.mmu = paging === 'shadow' ? new ShadowMmu(vm as unknown as Vm) : new TdpMmu(vm as unknown as Vm)
  return vm as unknown as Vm
}

let levels = 3
/** As `fillTables` lays them out. */
const levelOfTable = (pfn: number): number =>
  pfn < TABLES + 4 ? levels - 1 : levels - 2 - ((pfn - TABLES - 4) % (levels - 1))

/** All that a TLB knows. */
const booksOf = (tlb: object): unknown => {
  const { words, valid, stats, used } = tlb as Record<string, unknown>
  return { words, valid, stats, used }
}

class Side {
  readonly events: object[] = []
  readonly memory = new PhysicalMemory(FRAMES, { scratchBytes: HART_AREA_BYTES + TLB_BYTES })
  readonly vm: Vm
  readonly vcpu: Vcpu
  readonly paging: Paging

  constructor(paging: Paging, gpaMode: PagingMode, svadu: boolean) {
    this.paging = paging
    this.vm = makeVm(this.memory, paging, gpaMode, svadu, this.events)
    const offset = this.memory.scratch.allocate(TLB_BYTES)
    this.vcpu = new Vcpu(this.vm, 0, { entries: ENTRIES, ways: 2, buffer: this.memory.memory.buffer, offset })
  }

  setRoot(mode: PagingMode): void {
    const shadow = { pfn: TABLES, invalid: false, gfn: 0, role: { direct: false, level: mode.levels - 1 } }
    const direct = { pfn: G_ROOT, invalid: false, gfn: 0, role: { direct: true, level: 2 } }
    this.vcpu.root = (this.paging === 'shadow' ? shadow : direct) as unknown as Vcpu['root']
  }

  translate(page: number, access: Access): number {
    const { vcpu } = this
    const known = vcpu.known(page, access)
    if (known >= 0) return known
    if (access === Access.read) return vcpu.translateRead(page as Gvn)
    return access === Access.write ? vcpu.translateWrite(page as Gvn) : vcpu.translateFetch(page as Gvn)
  }

  /** Everything that a run could show. */
  state(): unknown {
    const { vcpu, vm } = this
    const tlbs = [vcpu.tlb.read, vcpu.tlb.write, vcpu.tlb.execute].map(booksOf)
    const { frame, missKind, missCause, missPage, missFrame, missAccess, wantedAccess, missImplicit } = vcpu
    return [
      tlbs,
      vm.stats.tlbFills,
      frame,
      missKind,
      missCause,
      missPage,
      missFrame,
      missAccess,
      wantedAccess,
      missImplicit,
    ]
  }
}

/** The side on which generated code is asked first. */
class Generated extends Side {
  /** Translations that JavaScript had to make. */
  byHand = 0
  readonly area = new HartArea(this.memory)
  private readonly refill: Refill

  constructor(paging: Paging, gpaMode: PagingMode, svadu: boolean) {
    super(paging, gpaMode, svadu)
    const { memory } = this.memory
    const places = { bytes: this.memory.byteLength, watched: this.memory.watchOffset }
    const fill = (page: number, access: Access): number => this.fill(page, access)
    const { exports } = new Wasm.Instance(new Wasm.Module(walkModule(places)), { umbra: { memory, fill } })
    this.refill = exports['refill'] as Refill
    this.area.attach(this.vcpu, new ReservationTable(2), 0)
  }

  override translate(page: number, access: Access): number {
    const { area } = this
    area.prepare()
    const done = this.refill(area.base, BigInt(page) << 12n, access)
    area.settle()
    const { read, write, execute } = area
    return done === 1 ? [read, write, execute][access]!.lookup(page) : -1
  }

  private fill(page: number, access: Access): number {
    this.area.settle()
    const filled = this.area.fill(page, access)
    if (filled !== 'unknown') return filled ? 1 : 0
    this.byHand++
    const base = super.translate(page, access)
    return base >= 0 && this.area.fillWith(page, access, base) ? 1 : 0
  }
}

/** A second table that knows most guest frames, not always with all rights. */
function fillSecond(memory: PhysicalMemory, random: Random, mode: PagingMode): void {
  const put = (table: number, index: number, ppn: number, flags: number): void =>
    memory.writePte(hpa(table * PAGE_SIZE + index * 8), pteLow(ppn, flags), pteHigh(ppn))
  let table = G_ROOT
  for (let level = mode.levels - 1; level > 1; level--) {
    const next = G_TABLES + level
    put(table, tableIndex(mode, GUEST_BASE, level), next, PTE_V)
    table = next
  }
  const index = (GUEST_BASE >> 9) & 511
  put(table, index, G_TABLES, PTE_V)
  put(table, index + 1, LARGE + random.pick([0, 0, 0, 1]), random.pick([ALL, ALL, ALL & ~PTE_D, ALL & ~PTE_U]))
  for (let frame = TABLES; frame < DATA + DATA_COUNT; frame++) {
    const rare = random.oneIn(12) ? random.pick([0, RWX, ALL & ~PTE_A, ALL & ~PTE_D, ALL & ~PTE_W, ALL & ~PTE_X]) : ALL
    put(G_TABLES, frame, frame, rare)
  }
}

/** Most entries become what an ordinary guest's are, so that most walks arrive. */
function mend(memory: PhysicalMemory, random: Random, base: number): void {
  for (let at = TABLES * PAGE_SIZE; at < (TABLES + TABLE_COUNT) * PAGE_SIZE; at += 8) {
    const low = memory.readLow(hpa(at))
    const high = memory.readHigh(hpa(at))
    if (low === 0 || random.oneIn(10)) continue
    const flags = (low & PTE_G) | (ALL & ~PTE_U) | (random.oneIn(2) ? PTE_U : 0)
    if (!isLeafPte(low)) {
      memory.writePte(hpa(at), (low & ~0x3ff) | PTE_V | (random.oneIn(9) ? PTE_G : 0), high & 0x3f_ffff)
    } else {
      const page = base + (levelOfTable(at >> 12) > 0 ? LARGE : DATA + random.below(DATA_COUNT))
      memory.writePte(hpa(at), pteLow(page, flags), pteHigh(page))
    }
  }
}

/** Leaves that lead outside the memory are bent: tables of the host name frames that exist. */
function bend(memory: PhysicalMemory): void {
  for (let at = TABLES * PAGE_SIZE; at < (TABLES + TABLE_COUNT) * PAGE_SIZE; at += 8) {
    const low = memory.readLow(hpa(at))
    const ppn = ptePpn(low, memory.readHigh(hpa(at)))
    if (!isLeafPte(low) || (ppn > 0 && ppn < FRAMES)) continue
    memory.writePte(hpa(at), pteLow(ppn % 512 === 0 ? LARGE : DATA, low & 0x3ff), 0)
  }
}

interface Setting {
  readonly paging: Paging
  readonly mode: PagingMode
  readonly gpaMode: PagingMode
}

/** @returns how many translations there were, those that succeeded, and those that generated code left to JavaScript */
function compare(t: ExecutionContext, random: Random, { paging, mode, gpaMode }: Setting, steps: number): number[] {
  const svadu = random.oneIn(2)
  const js = new Side(paging, gpaMode, svadu)
  const wasm = new Generated(paging, gpaMode, svadu)
  const sides = [js, wasm]
  levels = mode.levels
  const base = paging === 'shadow' ? 0 : GUEST_BASE
  const seed = random.below(2 ** 31)
  for (const { memory } of sides) {
    const place = { base, tables: TABLES, tableCount: TABLE_COUNT, data: DATA, dataCount: DATA_COUNT }
    fillTables(new Random(seed), place, memory, mode.levels)
    mend(memory, new Random(seed), base)
    if (paging === 'shadow') bend(memory)
    fillSecond(memory, new Random(seed), gpaMode)
  }
  const root = paging === 'shadow' ? 0 : GUEST_BASE + TABLES
  const pages = Array.from({ length: 12 }, () => randomPage(random, mode))
  let translated = 0
  for (let step = 0; step < steps; step++) {
    if (step === 0 || random.oneIn(20)) {
      const asid = random.below(3)
      const satp = (BigInt(mode.field) << 60n) | (BigInt(asid) << 44n) | BigInt(root)
      const bits = random.below(8)
      for (const side of sides) {
        side.vcpu.setSatp(satp)
        side.vcpu.setContext(bits)
        side.setRoot(mode)
      }
    }
    const kind = random.below(40)
    if (kind === 0) for (const { vcpu } of sides) vcpu.tlb.flushExtra(base + DATA, 4)
    else if (kind === 1) for (const { vcpu } of sides) vcpu.tlb.flushVmid(3)
    else if (kind === 2) for (const { vcpu } of sides) vcpu.deliverOnRetry(13)
    else if (kind === 3) wasm.memory.watch.watch((DATA + random.below(DATA_COUNT)) as Pfn)
    else if (kind === 4) wasm.memory.watch.storing((DATA + random.below(DATA_COUNT)) * PAGE_SIZE, 3 * PAGE_SIZE)
    const page = random.oneIn(8) ? randomPage(random, mode) : random.pick(pages)
    const access = random.pick([Access.read, Access.write, Access.execute])
    const expected = js.translate(page, access)
    const actual = wasm.translate(page, access)
    const refused =
      expected >= 0 && access === Access.write && wasm.memory.watch.isWatched((expected / PAGE_SIZE) as Pfn)
    const wanted = refused ? -1 : expected
    if (actual !== wanted) t.is(actual, wanted, `page ${page} access ${access} step ${step}`)
    if (expected >= 0) translated++
    if (step % 16 === 0 && !isDeepStrictEqual(wasm.state(), js.state())) {
      t.deepEqual(wasm.state(), js.state(), `after page ${page} access ${access} step ${step}`)
    }
  }
  if (!isDeepStrictEqual(wasm.state(), js.state())) t.deepEqual(wasm.state(), js.state())
  if (!isDeepStrictEqual(wasm.events, js.events)) t.deepEqual(wasm.events, js.events)
  for (let pfn = 0; pfn < DATA; pfn++) {
    if (wasm.memory.hashFrame(pfn as Pfn) !== js.memory.hashFrame(pfn as Pfn)) t.fail(`frame ${pfn} differs`)
  }
  return [steps, translated, wasm.byHand]
}

const LONG = process.env['UMBRA_LONG'] === '1'
const SETTINGS: readonly Setting[] = [
  { paging: 'two-dimensional', mode: SV39, gpaMode: SV39X4 },
  { paging: 'two-dimensional', mode: SV48, gpaMode: SV48X4 },
  { paging: 'shadow', mode: SV39, gpaMode: SV39X4 },
  { paging: 'shadow', mode: SV48, gpaMode: SV39X4 },
]

for (const setting of SETTINGS) {
  test(`${setting.paging} ${setting.mode.name}: generated code walks as JavaScript does`, (t) => {
    const sums = [0, 0, 0]
    const random = new Random(20)
    for (let world = 0; world < (LONG ? 600 : 5); world++) {
      for (const [i, count] of compare(t, random, setting, 600).entries()) sums[i]! += count
    }
    const [all, translated, byHand] = sums as [number, number, number]
    t.log(`${all} translations, ${translated} succeed, ${byHand} left to JavaScript`)
    t.true(translated > all / 12)
    t.true(all - byHand > all / 16)
  })
}
