import fc from 'fast-check'
import test from 'ava'
import type { TraceEvent } from '../../src/base/index.ts'
import { GoldenMemory, describeMismatch } from '../../src/check/golden-memory.ts'

const PAGE = 4096
const BASE = 0x10_0000

const mmap = (mm: number, page: number, pages: number, file = -1, shared = false): TraceEvent => ({
  name: 'mm_mmap',
  mm,
  start: BASE + page * PAGE,
  end: BASE + (page + pages) * PAGE,
  file,
  offset: 0,
  shared,
  prot: 'rw',
})
const access = (name: 'mem_load' | 'mem_store', mm: number, at: number, value: number, size = 1): TraceEvent => ({
  name,
  mm,
  vcpu: 0,
  hva: BASE + at,
  size,
  value: BigInt(value),
  hpa: 0,
})
const store = (mm: number, at: number, value: number, size = 1): TraceEvent => access('mem_store', mm, at, value, size)
const load = (mm: number, at: number, value: number, size = 1): TraceEvent => access('mem_load', mm, at, value, size)
const range = (
  name: 'mm_range_begin' | 'mm_range_end',
  operation: 'madvise_dontneed' | 'madvise_free',
): TraceEvent => ({
  name,
  mm: 1,
  operation,
  start: BASE,
  end: BASE + PAGE,
})

function feed(...events: TraceEvent[]): GoldenMemory {
  const golden = new GoldenMemory()
  for (const event of events) golden.observe(event)
  return golden
}

test('a load must return the last store, byte by byte and across pages', (t) => {
  const golden = feed(mmap(1, 0, 2), store(1, PAGE - 2, 0x44332211, 4))
  t.is(golden.observe(load(1, PAGE - 2, 0x44332211, 4)), null)
  t.is(golden.observe(load(1, PAGE, 0x33)), null)
  t.is(golden.observe(load(1, 8, 0, 8)), null)
  const wrong = golden.observe(load(1, PAGE - 1, 0x3300, 2))
  t.is(
    wrong === null ? '' : describeMismatch(wrong),
    'mm 1: load of 2 bytes at 0x100fff returned 0x3300, the last store was 0x3322',
  )
})

test('private pages part at the first store after a fork, shared ones never', (t) => {
  const golden = feed(mmap(1, 0, 1), mmap(1, 1, 1, 7, true), store(1, 0, 5), store(1, PAGE, 6))
  golden.observe({ name: 'mm_fork', mm: 1, child: 2 })
  golden.observe(store(2, 0, 50))
  golden.observe(store(2, PAGE, 60))
  t.is(golden.observe(load(1, 0, 5)), null)
  t.is(golden.observe(load(2, 0, 50)), null)
  t.is(golden.observe(load(1, PAGE, 60)), null)
  t.not(golden.observe(load(1, PAGE, 6)), null)
})

test('a private file page follows the file until the first private store', (t) => {
  const golden = feed(mmap(1, 0, 1, 7), mmap(2, 0, 1, 7, true), store(2, 3, 9))
  t.is(golden.observe(load(1, 3, 9)), null)
  golden.observe(store(1, 0, 1))
  golden.observe(store(2, 3, 10))
  t.is(golden.observe(load(1, 3, 9)), null)
  t.is(golden.observe(load(2, 3, 10)), null)
})

test('while DONTNEED is under way a byte is old or new, after it only new', (t) => {
  const golden = feed(mmap(1, 0, 1), store(1, 0, 5), range('mm_range_begin', 'madvise_dontneed'))
  t.is(golden.observe(load(1, 0, 5)), null)
  t.is(golden.observe(load(1, 0, 0)), null)
  t.not(golden.observe(load(1, 0, 6)), null)
  golden.observe(store(1, 1, 8))
  golden.observe(range('mm_range_end', 'madvise_dontneed'))
  t.not(golden.observe(load(1, 0, 5)), null)
  t.is(golden.observe(load(1, 0, 0)), null)
  t.is(golden.observe(load(1, 1, 8)), null)
})

test('a page marked free is old or zero as a whole until it is stored to', (t) => {
  const freed = (): GoldenMemory =>
    feed(
      mmap(1, 0, 1),
      store(1, 0, 5),
      store(1, 1, 6),
      range('mm_range_begin', 'madvise_free'),
      range('mm_range_end', 'madvise_free'),
    )
  const kept = freed()
  t.is(kept.observe(load(1, 0, 5)), null)
  t.is(kept.observe(load(1, 1, 6)), null)
  const gone = freed()
  t.is(gone.observe(load(1, 0, 0)), null)
  t.not(gone.observe(load(1, 1, 6)), null)
  const stored = freed()
  stored.observe(store(1, 0, 9))
  t.not(stored.observe(load(1, 0, 0)), null)
  t.is(stored.observe(load(1, 0, 9)), null)
})

test('a file op reaches every mapping: holes read as zero, writes are seen', (t) => {
  const golden = feed(mmap(1, 0, 2, 7, true), store(1, 0, 5), store(1, PAGE, 6))
  golden.observe({ name: 'file_punch_hole', file: 7, start: 0, end: PAGE })
  golden.observe({ name: 'file_write', file: 7, offset: PAGE, bytes: '2a' })
  t.is(golden.observe(load(1, 0, 0)), null)
  t.is(golden.observe(load(1, PAGE, 0x2a)), null)
})

test('any sequence of stores, forks and remaps reads back as a flat array does', (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('store' as const), at: fc.nat(3 * PAGE - 8), value: fc.nat(255) }),
    fc.record({ kind: fc.constant('load' as const), at: fc.nat(3 * PAGE - 8), value: fc.nat(255) }),
    fc.record({ kind: fc.constant('map' as const), at: fc.nat(2), value: fc.constant(0) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const golden = feed(mmap(1, 0, 3))
      const flat = new Uint8Array(3 * PAGE)
      for (const { kind, at, value } of steps) {
        if (kind === 'store') {
          flat[at] = value
          golden.observe(store(1, at, value))
        } else if (kind === 'load') {
          if ((golden.observe(load(1, at, value)) === null) !== (flat[at] === value)) return false
        } else {
          flat.fill(0, at * PAGE, (at + 1) * PAGE)
          golden.observe(mmap(1, at, 1))
        }
      }
      return true
    }),
  )
  t.pass()
})

const write = (bytes: string): TraceEvent => ({ name: 'file_write', file: 7, offset: 0, bytes })
const cow = (name: 'cow_copy' | 'cow_break', to: number): TraceEvent => ({ name, mm: 1, hva: BASE, from: 3, to })

test('a private page of a file keeps what the file held when the host copied it, not when it was first stored to', (t) => {
  const golden = feed(mmap(1, 0, 1, 7), write('11'), cow('cow_copy', 9), write('22'))
  t.is(golden.observe(load(1, 0, 0x22)), null, 'the copy is not mapped yet')
  golden.observe(cow('cow_break', 9))
  golden.observe(store(1, 8, 5))
  t.is(golden.observe(load(1, 0, 0x11)), null)
  t.not(golden.observe(load(1, 0, 0x22)), null)
  const lost = feed(mmap(1, 0, 1, 7), write('11'), cow('cow_copy', 9), write('22'), cow('cow_break', 8))
  t.is(lost.observe(load(1, 0, 0x22)), null, 'a copy that was lost is never shown')
})
