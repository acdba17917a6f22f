import test from 'ava'
import type { ExecutionContext } from 'ava'
import * as fc from 'fast-check'
import { PAGE_SIZE, Random, hpa } from '../../src/base/index.ts'
import {
  Access,
  PAGING_MODES,
  PERMIT_EXECUTE,
  PERMIT_READ,
  PERMIT_WRITE,
  PTE_A,
  PTE_D,
  PTE_G,
  PTE_R,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
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
  WalkStatus,
  extendPage,
  hgatpMode,
  isTranslatable,
  isLeafPte,
  isTablePte,
  leafPages,
  pageWithinLeaf,
  pteHigh,
  pteLow,
  ptePpn,
  pteText,
  satpMode,
  tableIndex,
} from '../../src/hardware/index.ts'
import type { PagingMode, PteSource } from '../../src/hardware/index.ts'
import { NAIVE_MODES, naiveWalk } from './naive-walk.ts'
import type { NaiveMemory, NaiveMode } from './naive-walk.ts'
import { fillTables, randomPage } from './random-tables.ts'
import type { Place } from './random-tables.ts'

const { read, write, execute } = Access
const AD = PTE_A | PTE_D
const LEAF = PTE_V | PTE_R | PTE_W | PTE_X | AD
const USER_LEAF = LEAF | PTE_U
const POINTER = PTE_V

/** A machine with a chain of tables in frames 4, 8, 12, ... (aligned for any root) and helpers to write PTEs. */
class Bench {
  readonly memory: PhysicalMemory = new PhysicalMemory(64)
  readonly source: PhysicalPteSource = new PhysicalPteSource(this.memory)
  readonly walker: PageTableWalker = new PageTableWalker()
  readonly mode: PagingMode
  readonly root = 4

  constructor(mode: PagingMode) {
    this.mode = mode
  }

  addressOf(page: number, level: number): number {
    return 4 * (this.mode.levels - level) * PAGE_SIZE + tableIndex(this.mode, page, level) * 8
  }

  put(page: number, level: number, ppn: number, flags: number, highBits = 0): void {
    this.memory.writePte(hpa(this.addressOf(page, level)), pteLow(ppn, flags), (pteHigh(ppn) | highBits) >>> 0)
  }

  /** Points from the root down to `leafLevel` and puts a leaf there. */
  map(page: number, leafLevel: number, ppn: number, flags: number, highBits = 0): void {
    for (let level = this.mode.levels - 1; level > leafLevel; level--) {
      this.put(page, level, 4 * (this.mode.levels - level + 1), POINTER)
    }
    this.put(page, leafLevel, ppn, flags, highBits)
  }

  walk(page: number, access: Access, context = 0): boolean {
    return this.walker.walk(this.source, this.mode, this.root, page, access, context)
  }

  /** 0 for a translation, else the cause. */
  cause(page: number, access: Access, context = 0): number {
    return this.walk(page, access, context) ? 0 : this.walker.cause
  }
}

const PAGE = 0x12345
/** Causes of a fault of the stage for read, write and execute. */
const FAULTS = (mode: PagingMode): number[] => (mode.guestPhysical ? [21, 23, 20] : [13, 15, 12])
const causes = (bench: Bench, page: number, context = 0): number[] =>
  [read, write, execute].map((access) => bench.cause(page, access, context))

test('pte halves hold 44-bit page numbers and flags', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 44 - 1 }), fc.integer({ min: 0, max: 0x3ff }), (ppn, flags) => {
      const low = pteLow(ppn, flags)
      const high = pteHigh(ppn)
      const whole = (BigInt(ppn) << 10n) | BigInt(flags)
      t.is((BigInt(high) << 32n) | BigInt(low), whole)
      t.is(ptePpn(low, high), ppn)
      t.is(ptePpn(low, (high | 0xffc00000) >>> 0), ppn)
    }),
  )
  t.true(isLeafPte(PTE_V | PTE_X))
  t.false(isLeafPte(PTE_R))
  t.true(isTablePte(PTE_V | PTE_G))
  t.false(isTablePte(PTE_V | PTE_R))
  t.is(pteText(pteLow(0x1f, PTE_V | PTE_R | PTE_A | 0x100), 0), 'ppn 0x1f vr----a- rsw 1')
})

test('mode fields of satp and hgatp select the six modes', (t) => {
  t.deepEqual([0, 7, 8, 9, 10, 11].map(satpMode), [undefined, undefined, SV39, SV48, SV57, undefined])
  t.deepEqual([0, 8, 9, 10, 11].map(hgatpMode), [undefined, SV39X4, SV48X4, SV57X4, undefined])
})

test('page numbers: canonical range, sign extension, indexes and offsets agree with BigInt', (t) => {
  const page = fc.oneof(
    fc.integer({ min: 0, max: 2 ** 52 - 1 }),
    fc.tuple(fc.integer({ min: 20, max: 52 }), fc.integer({ min: -2, max: 2 })).map(([bit, by]) => 2 ** bit + by),
    fc
      .tuple(fc.integer({ min: 20, max: 48 }), fc.integer({ min: -2, max: 2 }))
      .map(([bit, by]) => 2 ** 52 - 2 ** bit + by),
  )
  fc.assert(
    fc.property(fc.constantFrom(...PAGING_MODES), page, (mode, drawn) => {
      const number = drawn % 2 ** 52
      const big = BigInt(number)
      const width = mode.vaBits - 12
      const extended = mode.guestPhysical ? BigInt.asUintN(width, big) : BigInt.asUintN(52, BigInt.asIntN(width, big))
      t.is(extendPage(mode, number), Number(extended))
      t.is(isTranslatable(mode, number), extended === big)
      for (let level = 0; level < mode.levels; level++) {
        const bits = level === mode.levels - 1 ? mode.rootBits : 9
        t.is(tableIndex(mode, number, level), Number(BigInt.asUintN(bits, big >> BigInt(9 * level))))
        t.is(pageWithinLeaf(number, level), Number(BigInt.asUintN(9 * level, big)))
        t.is(leafPages(level), Number(1n << BigInt(9 * level)))
      }
    }),
  )
})

for (const mode of PAGING_MODES) {
  const leaf = mode.guestPhysical ? USER_LEAF : LEAF
  const faults = FAULTS(mode)

  test(`${mode.name}: a leaf at every level translates, and a misaligned one faults`, (t) => {
    for (let level = 0; level < mode.levels; level++) {
      const bench = new Bench(mode)
      const ppn = leafPages(level) * 3
      const page = mode.pages / 2 - 7
      bench.map(page, level, ppn, leaf)
      t.deepEqual(causes(bench, page), [0, 0, 0])
      t.is(bench.walker.page, ppn + pageWithinLeaf(page, level))
      t.is(bench.walker.level, level)
      t.is(bench.walker.leafPages, leafPages(level))
      t.is(2 ** bench.walker.leafShift, leafPages(level))
      t.is(bench.walker.pteAddress, bench.addressOf(page, level))
      t.is(bench.walker.permissions, PERMIT_READ | PERMIT_WRITE | PERMIT_EXECUTE)
      t.is(bench.walker.status, WalkStatus.translated)
      if (level === 0) continue
      bench.map(page, level, ppn + leafPages(level - 1), leaf)
      t.deepEqual(causes(bench, page), faults)
    }
  })

  test(`${mode.name}: addresses that the mode does not reach fault before any PTE is read`, (t) => {
    const bench = new Bench(mode)
    const bad = mode.guestPhysical
      ? [mode.pages, 2 ** 52 - 1]
      : [mode.pages / 2, mode.pages - 1, 2 ** 51, 2 ** 52 - mode.pages / 2 - 1]
    for (const page of bad) t.deepEqual(causes(bench, page), faults, `page ${page}`)
    t.is(bench.walker.loads, 0)
    t.is(bench.walker.level, -1)
    if (!mode.guestPhysical) {
      const top = 2 ** 52 - mode.pages / 2
      for (const page of [top, 2 ** 52 - 1]) {
        bench.map(page, 0, 9, leaf)
        t.deepEqual(causes(bench, page), [0, 0, 0])
      }
    }
  })

  test(`${mode.name}: every reserved encoding faults with the cause of the access`, (t) => {
    const bench = new Bench(mode)
    const faulting = (what: string, flags: number, highBits: number, level: number, context = 0): void => {
      bench.map(PAGE, 0, 0, leaf)
      bench.put(PAGE, level, level === 0 ? 8 : 4 * (mode.levels - level + 1), flags, highBits)
      t.deepEqual(causes(bench, PAGE, context), faults, what)
      t.is(bench.walker.level, level, what)
    }
    for (let level = 0; level < mode.levels; level++) {
      faulting('V=0', leaf & ~PTE_V, 0, level)
      faulting('W without R', PTE_V | PTE_W | AD | PTE_U, 0, level)
      faulting('W and X without R', PTE_V | PTE_W | PTE_X | AD | PTE_U, 0, level)
      for (let bit = 22; bit < 32; bit++) {
        faulting(`leaf bit ${bit + 32}`, leaf, (1 << bit) >>> 0, level)
        faulting(`pointer bit ${bit + 32}`, POINTER, (1 << bit) >>> 0, level, Walk.napot | Walk.pbmt)
      }
      for (const flag of [PTE_D, PTE_A, PTE_U]) faulting(`pointer flag ${flag}`, POINTER | flag, 0, level)
      faulting('memory type 3', leaf, 0x60000000, level, Walk.pbmt)
    }
    faulting('pointer at the last level', POINTER, 0, 0)
  })

  test(`${mode.name}: no memory under a PTE is an access fault of the access`, (t) => {
    for (let level = 1; level < mode.levels; level++) {
      const bench = new Bench(mode)
      bench.map(PAGE, 0, 9, leaf)
      for (const ppn of [64, 2 ** 40, 2 ** 44 - 1]) {
        bench.put(PAGE, level, ppn, POINTER)
        t.deepEqual(causes(bench, PAGE), [5, 7, 1])
        t.is(bench.walker.status, WalkStatus.fault)
      }
    }
  })

  test(`${mode.name}: A and D fault without hardware update, and are set with it`, (t) => {
    for (const flags of [0, PTE_A, PTE_D, AD]) {
      for (const access of [read, write, execute]) {
        const bench = new Bench(mode)
        bench.map(PAGE, 0, 9, (leaf & ~AD) | flags)
        const wanted = access === write ? AD : PTE_A
        const fine = (flags & wanted) === wanted
        t.is(bench.cause(PAGE, access), fine ? 0 : (faults[access] as number))
        t.is(bench.memory.readLow(hpa(bench.addressOf(PAGE, 0))) & AD, flags, 'Svade never stores')
        t.is(bench.cause(PAGE, access, Walk.hardwareUpdate), 0)
        const stored = bench.memory.readLow(hpa(bench.addressOf(PAGE, 0)))
        t.is(stored & AD, flags | wanted)
        t.is(bench.walker.low, stored)
        t.is((bench.walker.permissions & PERMIT_WRITE) !== 0, (stored & PTE_D) !== 0, 'writable only once dirty')
      }
    }
  })

  test(`${mode.name}: a walk that faults for want of permission leaves A and D alone`, (t) => {
    const bench = new Bench(mode)
    const flags = PTE_V | PTE_R | (mode.guestPhysical ? PTE_U : 0)
    bench.map(PAGE, 0, 9, flags)
    t.is(bench.cause(PAGE, write, Walk.hardwareUpdate), faults[write] as number)
    t.is(bench.cause(PAGE, execute, Walk.hardwareUpdate), faults[execute] as number)
    t.is(bench.memory.readLow(hpa(bench.addressOf(PAGE, 0))), pteLow(9, flags))
  })
}

/** Expected outcomes of (read, write, execute) as `rwx` letters, for leaf flags and the state of the hart. */
type Row = readonly [mode: PagingMode, flags: number, context: number, allowed: string]
const NONE = '---'
const ROWS: readonly Row[] = [
  [SV39, PTE_R, 0, 'r--'],
  [SV39, PTE_R | PTE_W, 0, 'rw-'],
  [SV39, PTE_X, 0, '--x'],
  [SV39, PTE_X, Walk.mxr, 'r-x'],
  [SV39, PTE_R | PTE_X, 0, 'r-x'],
  [SV39, PTE_R | PTE_W | PTE_X, 0, 'rwx'],
  [SV39, PTE_R | PTE_W | PTE_X, Walk.user, NONE],
  [SV39, PTE_R | PTE_W | PTE_X, Walk.user | Walk.sum | Walk.mxr, NONE],
  [SV39, PTE_U | PTE_R | PTE_W | PTE_X, Walk.user, 'rwx'],
  [SV39, PTE_U | PTE_X, Walk.user, '--x'],
  [SV39, PTE_U | PTE_X, Walk.user | Walk.mxr, 'r-x'],
  [SV39, PTE_U | PTE_R | PTE_W | PTE_X, 0, NONE],
  [SV39, PTE_U | PTE_R | PTE_W | PTE_X, Walk.mxr, NONE],
  [SV39, PTE_U | PTE_R | PTE_W | PTE_X, Walk.sum, 'rw-'],
  [SV39, PTE_U | PTE_X, Walk.sum, NONE],
  [SV39, PTE_U | PTE_X, Walk.sum | Walk.mxr, 'r--'],
  [SV39X4, PTE_R | PTE_W | PTE_X, 0, NONE],
  [SV39X4, PTE_R | PTE_W | PTE_X, Walk.sum | Walk.mxr, NONE],
  [SV39X4, PTE_U | PTE_R | PTE_W | PTE_X, 0, 'rwx'],
  [SV39X4, PTE_U | PTE_R | PTE_W | PTE_X, Walk.user, 'rwx'],
  [SV39X4, PTE_U | PTE_R, 0, 'r--'],
  [SV39X4, PTE_U | PTE_X, 0, '--x'],
  [SV39X4, PTE_U | PTE_X, Walk.mxr, 'r-x'],
]

test('R, W, X, U, SUM and MXR allow what the specification says', (t) => {
  for (const [mode, flags, context, allowed] of ROWS) {
    const bench = new Bench(mode)
    bench.map(PAGE, 0, 9, PTE_V | AD | flags)
    const faults = FAULTS(mode)
    const expected = [read, write, execute].map((access) => (allowed[access] === '-' ? (faults[access] as number) : 0))
    t.deepEqual(causes(bench, PAGE, context), expected, `${mode.name} flags ${flags} context ${context}`)
  }
})

test('G in a pointer or in the leaf makes the mapping global', (t) => {
  const bench = new Bench(SV48)
  bench.map(PAGE, 0, 9, LEAF)
  t.true(bench.walk(PAGE, read))
  t.false(bench.walker.global)
  bench.put(PAGE, 2, 4 * (SV48.levels - 2 + 1), POINTER | PTE_G)
  t.true(bench.walk(PAGE, read))
  t.true(bench.walker.global)
  bench.put(PAGE, 2, 4 * (SV48.levels - 2 + 1), POINTER)
  bench.put(PAGE, 0, 9, LEAF | PTE_G)
  t.true(bench.walk(PAGE, read))
  t.true(bench.walker.global)
})

test('Svnapot: 64 KiB regions translate by the low four bits, other encodings fault', (t) => {
  const bench = new Bench(SV39)
  for (let low = 0; low < 16; low++) {
    bench.map(PAGE, 0, 0x7b0 + low, LEAF, 0x80000000)
    t.is(bench.cause(PAGE, read, Walk.napot), low === 8 ? 0 : 13)
    if (low !== 8) continue
    t.is(bench.walker.page, 0x7b0 + (PAGE & 15))
    t.is(bench.walker.leafPages, 16)
    t.is(bench.walker.leafShift, 4)
  }
  bench.map(PAGE, 1, 0x208, LEAF, 0x80000000)
  t.is(bench.cause(PAGE, read, Walk.napot), 13, 'no superpage is part of a region')
})

test('Svpbmt: a leaf passes its memory type on', (t) => {
  const bench = new Bench(SV39)
  for (const type of [0, 1, 2]) {
    bench.map(PAGE, 0, 9, LEAF, type << 29)
    t.is(bench.cause(PAGE, read, Walk.pbmt), 0)
    t.is(bench.walker.memoryType, type)
  }
})

/** A source that fails on demand: by number of the load or of the compare-and-set. */
class MoodySource implements PteSource {
  low = 0
  high = 0
  loads: PteResult[] = []
  swaps: { readonly result: PteResult; readonly meanwhile?: () => void }[] = []
  readonly inner: PhysicalPteSource

  constructor(inner: PhysicalPteSource) {
    this.inner = inner
  }
  load(address: number): PteResult {
    const mood = this.loads.shift() ?? PteResult.done
    if (mood !== PteResult.done) return mood
    const result = this.inner.load(address)
    this.low = this.inner.low
    this.high = this.inner.high
    return result
  }
  compareAndSet(address: number, low: number, high: number, newLow: number): PteResult {
    const mood = this.swaps.shift()
    mood?.meanwhile?.()
    return mood === undefined || mood.result === PteResult.done
      ? this.inner.compareAndSet(address, low, high, newLow)
      : mood.result
  }
}

function moody(t: ExecutionContext): { bench: Bench; source: MoodySource; cause: (access: Access) => number } {
  const bench = new Bench(SV39)
  bench.map(PAGE, 0, 9, LEAF & ~AD)
  const source = new MoodySource(bench.source)
  const cause = (access: Access): number => {
    const ok = bench.walker.walk(source, SV39, bench.root, PAGE, access, Walk.hardwareUpdate)
    t.is(ok, bench.walker.status === WalkStatus.translated)
    return ok ? 0 : bench.walker.cause
  }
  return { bench, source, cause }
}

test('a source that misses is reported with the address, the kind of access and the guest-page fault', (t) => {
  for (const [access, expected] of [
    [read, 21],
    [write, 23],
    [execute, 20],
  ] as const) {
    const { bench, source, cause } = moody(t)
    source.loads = [PteResult.done, PteResult.missed]
    t.is(cause(access), expected)
    t.is(bench.walker.status, WalkStatus.sourceMiss)
    t.is(bench.walker.pteAddress, bench.addressOf(PAGE, 1))
    t.false(bench.walker.missedWrite)
    source.swaps = [{ result: PteResult.missed }]
    t.is(cause(access), expected)
    t.is(bench.walker.pteAddress, bench.addressOf(PAGE, 0))
    t.true(bench.walker.missedWrite)
    t.is(cause(access), 0)
    t.false(bench.walker.missedWrite)
  }
})

test('a compare-and-set into nothing is an access fault', (t) => {
  const { source, cause } = moody(t)
  source.swaps = [{ result: PteResult.vacant }]
  t.is(cause(write), 7)
})

test('a lost compare-and-set reads the PTE again and obeys what it says now', (t) => {
  const { bench, source, cause } = moody(t)
  const at = hpa(bench.addressOf(PAGE, 0))
  source.swaps = [{ result: PteResult.done, meanwhile: () => bench.memory.writePte(at, pteLow(11, LEAF & ~AD), 0) }]
  t.is(cause(write), 0)
  t.is(bench.walker.page, 11)
  t.is(bench.memory.readLow(at), pteLow(11, LEAF))
  bench.put(PAGE, 0, 9, LEAF & ~AD)
  source.swaps = [{ result: PteResult.done, meanwhile: () => bench.memory.writePte(at, 0, 0) }]
  t.is(cause(write), 15)
  t.is(bench.memory.readLow(at), 0)
})

test('random tables in all modes: walker and a walk written from the text in BigInt agree', (t) => {
  const place: Place = { base: 0, tables: 4, tableCount: 12, data: 16, dataCount: 8 }
  const frames = place.data + place.dataCount
  const outcomes = new Map<string, number>()
  fc.assert(
    fc.property(fc.constantFrom(...PAGING_MODES), fc.integer(), (mode, seed) => {
      const random = new Random(seed)
      const memory = new PhysicalMemory(frames)
      fillTables(random, place, memory, mode.levels)
      const ptes = new BigUint64Array(memory.readBytes(hpa(0), memory.byteLength).buffer)
      const naive: NaiveMemory = {
        read: (address) => ptes[Number(address / 8n)],
        write: (address, value) => {
          ptes[Number(address / 8n)] = value
        },
      }
      const source = new PhysicalPteSource(memory)
      const walker = new PageTableWalker()
      for (let i = 0; i < 60; i++) {
        const page = randomPage(random, mode)
        const access = random.pick([read, write, execute])
        const context = random.below(64)
        const has = (bit: number): boolean => (context & bit) !== 0
        const expected = naiveWalk(naive, {
          mode: NAIVE_MODES[mode.name] as NaiveMode,
          root: BigInt(place.tables),
          va: BigInt(page) << 12n,
          access: (['read', 'write', 'execute'] as const)[access],
          user: has(Walk.user),
          sum: has(Walk.sum),
          mxr: has(Walk.mxr),
          svadu: has(Walk.hardwareUpdate),
          svnapot: has(Walk.napot),
          svpbmt: has(Walk.pbmt),
        })
        const ok = walker.walk(source, mode, place.tables, page, access, context)
        const key = expected.ok ? `level ${expected.level}` : `cause ${expected.cause}`
        outcomes.set(key, (outcomes.get(key) ?? 0) + 1)
        t.is(ok, expected.ok)
        if (expected.ok) {
          t.is(walker.page, Number(expected.pa >> 12n))
          t.is(walker.level, expected.level)
          t.is(walker.global, expected.global)
          t.is((BigInt(walker.high) << 32n) | BigInt(walker.low), expected.pte)
          t.not(walker.permissions & (1 << access), 0)
        } else {
          t.is(walker.cause, expected.cause)
          t.is(walker.status, WalkStatus.fault)
        }
      }
      t.true(Buffer.from(ptes.buffer).equals(memory.readBytes(hpa(0), memory.byteLength)), 'A and D bits agree')
    }),
    { numRuns: 300 },
  )
  for (const key of ['level 0', 'level 1', 'level 2', 'level 3', 'level 4']) {
    t.true((outcomes.get(key) ?? 0) > 10, `${key} happened ${outcomes.get(key)} times`)
  }
  for (const cause of [1, 5, 7, 12, 13, 15, 20, 21, 23]) {
    t.true((outcomes.get(`cause ${cause}`) ?? 0) > 10, `cause ${cause} happened`)
  }
})

test('cached permissions never allow an access that a fresh walk of the same PTE would refuse', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 15 }), (flags, context) => {
      const bench = new Bench(SV57)
      bench.map(PAGE, 0, 9, flags)
      if (!bench.walk(PAGE, read, context) && !bench.walk(PAGE, execute, context)) return
      const { permissions } = bench.walker
      for (const access of [read, write, execute]) {
        if ((permissions & (1 << access)) !== 0) t.true(bench.walk(PAGE, access, context & ~Walk.hardwareUpdate))
      }
    }),
    { numRuns: 400 },
  )
})
