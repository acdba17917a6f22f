import test from 'ava'
import * as fc from 'fast-check'
import { KernelError, pfn } from '../../src/base/index.ts'
import { ANY, Access, PhysicalMemory, TLB_VALID, TLB_WORDS_PER_ENTRY, Tlb, TlbSet } from '../../src/hardware/index.ts'

/** What the model knows of one fill. */
interface Entry {
  readonly page: number
  readonly asid: number
  readonly vmid: number
  readonly mmuIndex: number
  readonly global: boolean
  readonly pfn: number
  readonly extra: number
  readonly leafShift: number
  readonly extraShift: number
}

type Flush =
  | { readonly kind: 'all' }
  | { readonly kind: 'page'; readonly page: number; readonly asid: number; readonly vmid: number }
  | {
      readonly kind: 'pages'
      readonly first: number
      readonly count: number
      readonly asid: number
      readonly vmid: number
    }
  | { readonly kind: 'asid'; readonly asid: number; readonly vmid: number }
  | { readonly kind: 'vmid'; readonly vmid: number }
  | { readonly kind: 'extra'; readonly first: number; readonly count: number; readonly vmid: number }
  | { readonly kind: 'pfn'; readonly first: number; readonly count: number }
type Step =
  | { readonly kind: 'fill'; readonly entry: Entry }
  | {
      readonly kind: 'lookup'
      readonly page: number
      readonly asid: number
      readonly vmid: number
      readonly mmuIndex: number
    }
  | { readonly kind: 'evict'; readonly index: number }
  | { readonly kind: 'flush'; readonly flush: Flush }

/** Pages that share sets, at both ends of the 52-bit space and around 2^32. */
const BASES = [0, 256, 2 ** 31 - 4, 2 ** 32 - 4, 2 ** 52 - 16]
const pages = fc.oneof(
  { weight: 3, arbitrary: fc.nat(3) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom(...BASES), fc.nat(15)).map(([base, n]) => base + n) },
)
const asids = fc.nat(2)
const vmids = fc.nat(1)
const orAny = (ids: fc.Arbitrary<number>): fc.Arbitrary<number> =>
  fc.oneof({ weight: 2, arbitrary: ids }, { weight: 1, arbitrary: fc.constant(ANY) })
const counts = fc.constantFrom(1, 2, 3, 7, 64, 2 ** 20)
const entries: fc.Arbitrary<Entry> = fc.record({
  page: pages,
  asid: asids,
  vmid: vmids,
  mmuIndex: fc.nat(1),
  global: fc.boolean(),
  pfn: fc.nat(15),
  extra: pages,
  leafShift: fc.constantFrom(0, 0, 0, 0, 2, 4, 9, 36),
  extraShift: fc.constantFrom(0, 0, 0, 3, 9),
})
const flushes: fc.Arbitrary<Flush> = fc.oneof(
  fc.record({ kind: fc.constant('all' as const) }),
  fc.record({ kind: fc.constant('page' as const), page: pages, asid: orAny(asids), vmid: orAny(vmids) }),
  fc.record({
    kind: fc.constant('pages' as const),
    first: pages,
    count: counts,
    asid: orAny(asids),
    vmid: orAny(vmids),
  }),
  fc.record({ kind: fc.constant('asid' as const), asid: asids, vmid: orAny(vmids) }),
  fc.record({ kind: fc.constant('vmid' as const), vmid: vmids }),
  fc.record({ kind: fc.constant('extra' as const), first: pages, count: counts, vmid: orAny(vmids) }),
  fc.record({ kind: fc.constant('pfn' as const), first: fc.nat(15), count: fc.integer({ min: 1, max: 3 }) }),
)
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('fill' as const), entry: entries }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('lookup' as const),
      page: pages,
      asid: asids,
      vmid: vmids,
      mmuIndex: fc.nat(1),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('evict' as const), index: fc.nat(7) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('flush' as const), flush: flushes }) },
)

const overlaps = (at: number, shift: number, first: number, count: number): boolean => {
  const size = 2 ** shift
  const leaf = at - (at % size)
  return leaf < first + count && first < leaf + size
}
const matches = (entry: Entry, asid: number, vmid: number): boolean =>
  (asid === ANY || (!entry.global && entry.asid === asid)) && (vmid === ANY || entry.vmid === vmid)

/** The rule: which entries a flush takes. */
function covers(flush: Flush, entry: Entry): boolean {
  switch (flush.kind) {
    case 'all':
      return true
    case 'page':
      return overlaps(entry.page, entry.leafShift, flush.page, 1) && matches(entry, flush.asid, flush.vmid)
    case 'pages':
      return overlaps(entry.page, entry.leafShift, flush.first, flush.count) && matches(entry, flush.asid, flush.vmid)
    case 'asid':
      return matches(entry, flush.asid, flush.vmid)
    case 'vmid':
      return entry.vmid === flush.vmid
    case 'extra':
      return overlaps(entry.extra, entry.extraShift, flush.first, flush.count) && matches(entry, ANY, flush.vmid)
    case 'pfn':
      return entry.pfn >= flush.first && entry.pfn < flush.first + flush.count
  }
}

function apply(tlb: Tlb | TlbSet, flush: Flush): number {
  switch (flush.kind) {
    case 'all':
      return tlb.flushAll()
    case 'page':
      return tlb.flushPage(flush.page, flush.asid, flush.vmid)
    case 'pages':
      return tlb.flushPages(flush.first, flush.count, flush.asid, flush.vmid)
    case 'asid':
      return tlb.flushAsid(flush.asid, flush.vmid)
    case 'vmid':
      return tlb.flushVmid(flush.vmid)
    case 'extra':
      return tlb.flushExtra(flush.first, flush.count, flush.vmid)
    case 'pfn':
      return tlb.flushPfn(pfn(flush.first), flush.count)
  }
}

function fill(tlb: Tlb, e: Entry): number {
  return tlb.fill(e.page, e.asid, e.vmid, e.mmuIndex, e.global, pfn(e.pfn), e.extra, e.leafShift, e.extraShift)
}

/** Reads an entry back; a global one does not remember the ASID it was filled under. */
function entryAt(tlb: Tlb, index: number): Entry {
  return {
    page: tlb.pageAt(index),
    asid: tlb.asidAt(index),
    vmid: tlb.vmidAt(index),
    mmuIndex: tlb.mmuIndexAt(index),
    global: tlb.isGlobalAt(index),
    pfn: tlb.pfnAt(index),
    extra: tlb.extraAt(index),
    leafShift: tlb.leafShiftAt(index),
    extraShift: tlb.extraShiftAt(index),
  }
}
const stored = (entry: Entry): Entry => (entry.global ? { ...entry, asid: ANY } : entry)
function contents(tlb: Tlb): Entry[] {
  const all: number[] = []
  tlb.forEachValid((index) => all.push(index))
  return all.toSorted((a, b) => a - b).map((index) => entryAt(tlb, index))
}
const answers = (entry: Entry, page: number, asid: number, vmid: number, mmuIndex: number): boolean =>
  entry.page === page && (entry.global || entry.asid === asid) && entry.vmid === vmid && entry.mmuIndex === mmuIndex

for (const { entries: size, ways } of [
  { entries: 8, ways: 1 },
  { entries: 8, ways: 2 },
  { entries: 4, ways: 4 },
  { entries: 512, ways: 2 },
]) {
  test(`${size} entries in ${ways} ways: never a wrong or a flushed answer, and no flush takes more than it must`, (t) => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 60 }), (sequence) => {
        const tlb = new Tlb({ entries: size, ways })
        let live: Entry[] = []
        let removed = 0
        for (const step of sequence) {
          if (step.kind === 'fill') {
            const { entry } = step
            const rivals = (e: Entry): boolean =>
              e.page === entry.page &&
              e.vmid === entry.vmid &&
              e.mmuIndex === entry.mmuIndex &&
              (e.global || entry.global || e.asid === entry.asid)
            live = [...live.filter((e) => !rivals(e)), stored(entry)]
            const index = fill(tlb, entry)
            for (const asid of entry.global ? [0, 1, 2] : [entry.asid]) {
              t.is(tlb.lookup(entry.page, asid, entry.vmid, entry.mmuIndex), index)
            }
            t.deepEqual(entryAt(tlb, index), stored(entry))
          } else if (step.kind === 'lookup') {
            const { page, asid, vmid, mmuIndex } = step
            const index = tlb.lookup(page, asid, vmid, mmuIndex)
            const known = live.filter((e) => answers(e, page, asid, vmid, mmuIndex))
            t.true(known.length <= 1)
            if (index >= 0) t.deepEqual([entryAt(tlb, index)], known)
          } else if (step.kind === 'evict') {
            tlb.evict(step.index % size)
          } else {
            const before = contents(tlb)
            const count = apply(tlb, step.flush)
            const kept = before.filter((e) => !covers(step.flush, e))
            t.deepEqual(contents(tlb), kept)
            t.is(count, before.length - kept.length)
            live = live.filter((e) => !covers(step.flush, e))
            removed += count
          }
          t.is(tlb.valid, contents(tlb).length)
          t.is(tlb.stats.flushed, removed)
        }
      }),
      { numRuns: 150 },
    )
  })
}

test('evict forgets exactly one entry and says whether there was one', (t) => {
  const tlb = new Tlb({ entries: 4 })
  const index = tlb.fill(5, 1, 0, 0, false, pfn(9), 0)
  tlb.fill(6, 1, 0, 0, false, pfn(10), 0)
  t.true(tlb.evict(index))
  t.false(tlb.evict(index))
  t.is(tlb.lookup(5, 1, 0, 0), -1)
  t.not(tlb.lookup(6, 1, 0, 0), -1)
  t.is(tlb.valid, 1)
  t.is(tlb.stats.evictions, 1)
  t.is(tlb.stats.flushed, 0)
})

test('sfence.vma of any address of a 2 MiB page takes all its pieces, and spares its neighbours', (t) => {
  const tlb = new Tlb({ entries: 2048 })
  for (const page of [512, 513, 700, 1023]) tlb.fill(page, 1, 0, 0, false, pfn(page), 0, 9)
  for (const page of [511, 1024]) tlb.fill(page, 1, 0, 0, false, pfn(page), 0)
  t.is(tlb.flushPage(600, 1), 4)
  t.deepEqual(
    contents(tlb).map((e) => e.page),
    [511, 1024],
  )
})

test('a fence by ASID spares global entries, a fence without one does not', (t) => {
  const tlb = new Tlb({ entries: 8 })
  tlb.fill(1, 7, 0, 0, true, pfn(1), 0)
  tlb.fill(2, 7, 0, 0, false, pfn(2), 0)
  t.is(tlb.flushPage(1, 7), 0)
  t.is(tlb.flushAsid(7), 1)
  t.not(tlb.lookup(1, 3, 0, 0), -1, 'global: any ASID finds it')
  t.is(tlb.flushPage(1), 1)
})

test('replacement is round robin: the same fills leave the same entries', (t) => {
  const tlb = new Tlb({ entries: 4, ways: 4 })
  const slots = [0, 1, 2, 3, 4, 5, 6].map((page) => tlb.fill(page, 0, 0, 0, false, pfn(page), 0))
  t.deepEqual(slots, [0, 1, 2, 3, 0, 1, 2])
  t.is(tlb.stats.evictions, 3)
  t.deepEqual(
    contents(tlb).map((e) => e.page),
    [4, 5, 6, 3],
  )
})

test('an empty slot is all zero again, so that equal contents are equal states', (t) => {
  const tlb = new Tlb({ entries: 4 })
  tlb.fill(2 ** 40 + 1, 1, 1, 1, false, pfn(5), 77, 9, 3)
  t.true(tlb.words.some((word) => word !== 0))
  tlb.flushPage(2 ** 40 + 1)
  t.true(tlb.words.every((word) => word === 0))
})

test('TLBs may stand in the scratch area of physical memory, in the documented layout', (t) => {
  const bytes = 4 * TLB_WORDS_PER_ENTRY * 4
  const memory = new PhysicalMemory(1, { scratchBytes: 3 * bytes })
  const tlbs = new TlbSet({ entries: 4, buffer: memory.memory.buffer, offset: memory.scratchOffset })
  tlbs.write.fill(2 ** 33 + 2, 5, 3, 1, false, pfn(6), 2 ** 34, 9, 1)
  const words = new Int32Array(memory.memory.buffer, memory.scratchOffset + bytes + 2 * 32, 8)
  t.deepEqual([...words.subarray(0, 6)], [2, 2 | TLB_VALID, 3 | (1 << 16), 5, 6, 9 | (1 << 8)])
  t.is(new Float64Array(memory.memory.buffer, words.byteOffset + 24, 1)[0], 2 ** 34)
  t.is(
    memory.bytes.findIndex((byte) => byte !== 0),
    -1,
    'no frame is touched',
  )
})

test('a set of three keeps kinds apart and flushes them together', (t) => {
  const tlbs = new TlbSet({ entries: 4 })
  for (const access of [Access.read, Access.write, Access.execute]) {
    tlbs.forAccess(access).fill(access, 1, 1, 0, false, pfn(access), access)
  }
  t.deepEqual(
    [tlbs.read, tlbs.write, tlbs.execute].map((tlb) => tlb.valid),
    [1, 1, 1],
  )
  t.is(tlbs.validEntries(), 3)
  t.is(tlbs.write.lookup(0, 1, 1, 0), -1)
  fc.assert(
    fc.property(fc.array(entries, { maxLength: 20 }), flushes, (drawn, flush) => {
      for (const [i, entry] of drawn.entries()) fill(tlbs.forAccess(([0, 1, 2] as const)[i % 3] as Access), entry)
      const all = [...contents(tlbs.read), ...contents(tlbs.write), ...contents(tlbs.execute)]
      const taken = all.filter((e) => covers(flush, e)).length
      t.is(apply(tlbs, flush), taken)
      t.is(tlbs.validEntries(), all.length - taken)
    }),
  )
})

test('sizes that are no powers of two and buffers that are too small are refused', (t) => {
  const bad = [{ entries: 0 }, { entries: 12 }, { ways: 3 }, { entries: 4, ways: 8 }, { entries: 1.5 }]
  for (const options of bad) t.is(t.throws(() => new Tlb(options), { instanceOf: KernelError }).code, 'EINVAL')
  const buffer = new ArrayBuffer(256)
  for (const offset of [4, 8, -8]) {
    t.is(t.throws(() => new Tlb({ entries: 8, buffer, offset }), { instanceOf: KernelError }).code, 'EINVAL')
  }
  t.notThrows(() => new Tlb({ entries: 8, buffer }))
})
