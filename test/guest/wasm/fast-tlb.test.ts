/** The fast TLBs: never a row that the TLB itself would not answer alike. */
import test from 'ava'
import fc from 'fast-check'
import { PAGE_SIZE } from '../../../src/base/index.ts'
import type { Pfn } from '../../../src/base/index.ts'
import { Access, PhysicalMemory, TlbSet } from '../../../src/hardware/index.ts'
import { CELLS, HART_AREA_BYTES, HartArea, ReservationTable, Word } from '../../../src/guest/index.ts'
import type { FastTlb, TranslationSource } from '../../../src/guest/index.ts'

const ACCESSES: readonly Access[] = [Access.read, Access.write, Access.execute]
const VMID = 3

/** TLBs in a context that changes at will. */
class Source implements TranslationSource {
  readonly tlb = new TlbSet({ entries: 16, ways: 2 })
  asid = 0
  index = 8

  known(page: number, access: Access): number {
    const tlb = this.tlb.forAccess(access)
    const hit = tlb.lookup(page, this.asid, VMID, this.index)
    return hit < 0 ? -1 : tlb.pfnAt(hit) * PAGE_SIZE
  }
  planWalk(): void {}
  adoptEntry(): void {}
  contextKey(): number {
    return (this.asid << 5) | this.index
  }
}

class Rig {
  readonly memory = new PhysicalMemory(64, { scratchBytes: HART_AREA_BYTES })
  readonly area = new HartArea(this.memory)
  readonly source = new Source()
  readonly reservations = new ReservationTable(2)

  constructor() {
    this.area.attach(this.source, this.reservations, 0)
    this.area.prepare()
  }

  tableOf(access: Access): FastTlb {
    return access === Access.read ? this.area.read : access === Access.write ? this.area.write : this.area.execute
  }

  /** @returns what is wrong */
  fault(): string | undefined {
    for (const access of ACCESSES) {
      let wrong: string | undefined
      this.tableOf(access).forEachLive((page, base) => {
        const known = this.source.known(page, access)
        if (known !== base) wrong = `access ${access}, page ${page}: row says ${base}, TLB ${known}`
      })
      if (wrong !== undefined) return wrong
    }
    return undefined
  }
}

/** Pages that share sets of the TLB, rows of the table, or the low 32 bits of their numbers. */
const page = fc.constantFrom(0, 1, 8, 16, 24, 4096, 4097, 2 ** 20, 2 ** 32, 2 ** 40 + 8, 2 ** 52 - 1)
const access = fc.constantFrom(...ACCESSES)
const asid = fc.constantFrom(0, 1, 2)
const any = fc.constantFrom(-1, 0, 1, 2)
const step: fc.Arbitrary<(rig: Rig) => void> = fc.oneof(
  fc
    .record({ page, access, pfn: fc.nat(63), global: fc.boolean(), shift: fc.constantFrom(0, 0, 9) })
    .map((f) => (rig: Rig) => {
      const { asid, index, tlb } = rig.source
      tlb.forAccess(f.access).fill(f.page, asid, VMID, index, f.global, f.pfn as Pfn, f.pfn, f.shift, f.shift)
      rig.area.fill(f.page, f.access)
    }),
  fc.record({ page, access }).map((f) => (rig: Rig) => void rig.area.fill(f.page, f.access)),
  fc.record({ asid, index: fc.constantFrom(8, 9, 11) }).map((c) => (rig: Rig) => {
    Object.assign(rig.source, c)
    rig.area.refresh()
  }),
  fc.record({ page, any }).map((f) => (rig: Rig) => void rig.source.tlb.flushPage(f.page, f.any, VMID)),
  fc.record({ page, any }).map((f) => (rig: Rig) => void rig.source.tlb.flushPages(f.page, 9, f.any)),
  asid.map((a) => (rig: Rig) => void rig.source.tlb.flushAsid(a, VMID)),
  fc.constant((rig: Rig) => void rig.source.tlb.flushVmid(VMID)),
  fc.nat(63).map((n) => (rig: Rig) => void rig.source.tlb.flushExtra(n, 4)),
  fc.nat(63).map((n) => (rig: Rig) => void rig.source.tlb.flushPfn(n as Pfn, 4)),
  fc.record({ access, n: fc.nat(15) }).map((f) => (rig: Rig) => void rig.source.tlb.forAccess(f.access).evict(f.n)),
  fc.constant((rig: Rig) => void rig.source.tlb.flushAll()),
)

test('whatever happens to the TLB, every row of the present context is answered alike by it', (t) => {
  let rows = 0
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const rig = new Rig()
      for (const next of steps) {
        next(rig)
        const fault = rig.fault()
        if (fault !== undefined) throw new Error(fault)
        rig.area.read.forEachLive(() => rows++)
      }
      rig.area.release()
    }),
    { numRuns: process.env['UMBRA_LONG'] === '1' ? 5000 : 120 },
  )
  t.true(rows > 100, 'rows were seen at all')
})

test('a context that comes back finds its rows, until its number is given to another', (t) => {
  const { source, area } = new Rig()
  source.tlb.read.fill(5, 0, VMID, 8, false, 7 as Pfn, 0)
  t.is(area.fill(5, Access.read), true)
  t.is(area.read.lookup(5), 7 * PAGE_SIZE)
  source.asid = 1
  area.refresh()
  t.is(area.read.lookup(5), -1)
  t.is(area.fill(5, Access.read), 'unknown')
  source.asid = 0
  area.refresh()
  t.is(area.read.lookup(5), 7 * PAGE_SIZE)
  // Numbers run out and begin anew: nothing of the old ones may show.
  for (let n = 0; n < 2000; n++) {
    source.asid = 1 + (n % 40)
    area.refresh()
    t.is(area.read.lookup(5), -1)
    area.read.droppedAll()
  }
})

test('stores to a frame in which another hart has a reservation are refused, others are not', (t) => {
  const { source, area, reservations } = new Rig()
  for (const pfn of [7, 9]) source.tlb.write.fill(pfn, 0, VMID, 8, false, pfn as Pfn, 0)
  t.is(area.fill(7, Access.write), true)
  reservations.reserve(0, 7 * PAGE_SIZE, 8)
  area.prepare()
  t.is(area.write.lookup(7), 7 * PAGE_SIZE, 'its own reservation is no matter')
  reservations.reserve(1, 7 * PAGE_SIZE + 4088, 8)
  area.prepare()
  t.is(area.write.lookup(7), -1)
  t.is(area.fill(7, Access.write), false)
  t.is(area.fill(9, Access.write), true)
  reservations.clear(1)
  area.prepare()
  t.is(area.write.lookup(7), 7 * PAGE_SIZE)
})

test('a watched frame gets no row for stores, and loses the one it has', (t) => {
  const { area, memory, source } = new Rig()
  source.tlb.write.fill(7, 0, VMID, 8, false, 7 as Pfn, 0)
  t.is(area.fill(7, Access.write), true)
  memory.watch.watch(7 as Pfn)
  t.is(area.write.lookup(7), -1)
  t.is(area.fill(7, Access.write), false)
})

test('the words do not overlap the cells, and areas are given back', (t) => {
  t.true(Word.contextRead >= CELLS * 8)
  const memory = new PhysicalMemory(16, { scratchBytes: 2 * HART_AREA_BYTES })
  const first = new HartArea(memory)
  const second = new HartArea(memory)
  t.false(HartArea.fits(memory, 1))
  t.throws(() => new HartArea(memory), { message: /no room for the tables of a hart/ })
  second.state.cells.fill(-1n)
  first.release()
  second.release()
  t.true(HartArea.fits(memory, 2))
  const again = [new HartArea(memory), new HartArea(memory)]
  t.deepEqual(
    again.map((area) => area.state.cells.every((cell) => cell === 0n)),
    [true, true],
  )
})
