import test from 'ava'
import * as fc from 'fast-check'
import type { TraceEvent, TraceStamp } from '../../src/base/index.ts'
import {
  TRACE_HEADER,
  bar,
  bytesText,
  changeLines,
  columnLines,
  countText,
  curveLines,
  eventText,
  figureLines,
  histogramLines,
  pageLines,
  plural,
  progressBlock,
  progressLine,
  tableLines,
  timeText,
  timestamp,
  traceLine,
} from '../../src/view/index.ts'
import { Histogram } from '../../src/check/histogram.ts'

test('quantities carry the unit that a person would choose', (t) => {
  t.deepEqual([0, 999, 1023, 1024, 1536, 4096, 1048576, 12345678].map(bytesText), [
    '0 B',
    '999 B',
    '1023 B',
    '1 KiB',
    '1.50 KiB',
    '4 KiB',
    '1 MiB',
    '11.8 MiB',
  ])
  t.deepEqual([0, 17, 1000, 1500, 250_000, 12_345_678, 3e9, 7.2e12].map(timeText), [
    '0 ns',
    '17 ns',
    '1 us',
    '1.50 us',
    '250 us',
    '12.3 ms',
    '3 s',
    '7200 s',
  ])
  t.deepEqual([0, 12, 123, 1234, 1234567].map(countText), ['0', '12', '123', '1,234', '1,234,567'])
  t.is(plural(1, 'page'), '1 page')
  t.is(plural(2000, 'page'), '2,000 pages')
})

test('a rounded quantity never shows a fourth digit', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 52 }), (value) => {
      t.regex(bytesText(value), /^\d{1,4}(\.\d{1,2})? [KMGTP]?i?B$/)
      t.regex(timeText(value), /^\d+(\.\d{1,2})? (ns|us|ms|s)$/)
    }),
  )
})

test('tables align: numbers to the right, text to the left, no trailing blanks', (t) => {
  t.deepEqual(
    tableLines(
      ['guest', 'faults', { head: 'note', align: 'right' }],
      [
        ['patterns', 1234567, 'a'],
        ['smp', 9, 'bcd'],
      ],
    ),
    ['guest        faults  note', 'patterns  1,234,567     a', 'smp               9   bcd'],
  )
  t.deepEqual(tableLines(['a', 'b'], []), ['a  b'])
  t.deepEqual(
    figureLines(
      ['one', 'two'],
      [
        ['faults', 1, 20],
        ['zaps', 0, 0],
        ['paging', 'shadow', 'sv39'],
      ],
      { sparse: true },
    ),
    ['           one   two', 'faults       1    20', 'paging  shadow  sv39'],
  )
})

const fault: TraceEvent = { name: 'page_fault_user', mm: 3, hva: 0x3f_0000_1000, write: true }
const window: TraceEvent = {
  name: 'mmu_notifier_invalidate_range_start',
  mm: 1,
  start: 0x1000,
  end: 0x3000,
  event: 'unmap',
  blockable: true,
  result: 0,
}

test('a trace line has the shape of ftrace', (t) => {
  const stamp = { task: 'vcpu0', pid: 12, cpu: 1, now: 3_000_123_456 }
  t.is(
    traceLine(fault, stamp),
    '           vcpu0-12      [001] .....      3.000123: page_fault_user: mm=3 hva=0x3f00001000 write=1',
  )
  t.is(
    eventText(window),
    'mmu_notifier_invalidate_range_start: mm=1 start=0x1000 end=0x3000 event=unmap blockable=1 result=0',
  )
  t.is(
    eventText({ name: 'mem_load', mm: 1, vcpu: -1, hva: 16, size: 8, value: 2n ** 64n - 1n, hpa: 32 }),
    'mem_load: mm=1 vcpu=-1 hva=0x10 size=8 value=0xffffffffffffffff hpa=0x20',
  )
  t.is(
    eventText({ name: 'srcu_leak', srcu: 'global srcu', readers: ['a', 'b'], callbacks: 2 }),
    'srcu_leak: srcu="global srcu" readers=a,b callbacks=2',
  )
  t.is(timestamp(0), '     0.000000')
  t.true(TRACE_HEADER.every((line) => line.startsWith('#')))
  t.true(TRACE_HEADER.join('\n').includes('time is virtual'))
})

test('every trace line reads back with the expression that ftrace readers use', (t) => {
  const shape = /^ *(.+)-(\d+) +\[(\d{3})\] (.{5}) +(\d+\.\d{6}): (\w+):(?: (.*))?$/
  fc.assert(
    fc.property(
      fc.record({
        task: fc.stringMatching(/^[a-z][a-z0-9/:-]{0,20}$/),
        pid: fc.nat(99999),
        cpu: fc.nat(63),
        now: fc.nat({ max: 2 ** 48 }),
      }),
      (stamp) => {
        const match = shape.exec(traceLine(fault, stamp))
        t.deepEqual(
          [match?.[1], Number(match?.[2]), Number(match?.[3]), match?.[6]],
          [stamp.task, stamp.pid, stamp.cpu, fault.name],
        )
        t.is(Math.round(Number(match?.[5]) * 1e6), Math.floor(stamp.now / 1000))
      },
    ),
  )
})

test('a histogram has bpftrace’s buckets and bars', (t) => {
  const histogram = new Histogram()
  for (const value of [1, 2, 3, 3, 900, 1024, 5000]) histogram.add(value)
  t.deepEqual(histogramLines(histogram.buckets), [
    '[1, 2)                  1 |@@@@@@@@@@@@@@@@@                                   |',
    '[2, 4)                  3 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|',
    '[4, 8)                  0 |                                                    |',
    '[8, 16)                 0 |                                                    |',
    '[16, 32)                0 |                                                    |',
    '[32, 64)                0 |                                                    |',
    '[64, 128)               0 |                                                    |',
    '[128, 256)              0 |                                                    |',
    '[256, 512)              0 |                                                    |',
    '[512, 1K)               1 |@@@@@@@@@@@@@@@@@                                   |',
    '[1K, 2K)                1 |@@@@@@@@@@@@@@@@@                                   |',
    '[2K, 4K)                0 |                                                    |',
    '[4K, 8K)                1 |@@@@@@@@@@@@@@@@@                                   |',
  ])
  t.deepEqual(histogramLines([]), [])
  t.is(histogram.max, 5000)
})

/** A bound of a histogram line: `4K` is 4096. */
const number = (text: string): number =>
  Number(text.replace(/[KMGT]/, '')) * 1024 ** (' KMGT'.indexOf(text.at(-1)!) > 0 ? ' KMGT'.indexOf(text.at(-1)!) : 0)

test('every value falls into the bucket that its histogram line names', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 40 }), (value) => {
      const histogram = new Histogram()
      histogram.add(value)
      const [, low, high] = /^\[(\w+), (\w+)\)/.exec(histogramLines(histogram.buckets)[0]!)!
      t.true(number(low!) <= value && value < number(high!), `${value} in [${low}, ${high})`)
    }),
  )
})

test('a page is printed as drgn prints it', (t) => {
  t.deepEqual(
    pageLines({
      pfn: 0x1f,
      flags: ['REFERENCED', 'SWAPBACKED'],
      kind: 'anon',
      refcount: 2,
      mapcount: 1,
      index: 16,
      maps: [{ mm: 3, hva: 0x10000, vmaStart: 0x10000, vmaEnd: 0x20000, prot: 'rw-', bits: ['young'] }],
    }),
    [
      'PFN: 0x1f',
      'Physical address: 0x1f000',
      'Kind: anon',
      'Flags: PG_REFERENCED|PG_SWAPBACKED',
      'Reference count: 2',
      'Map count: 1',
      'Index: 0x10',
      'Mapped at: 0x10000 in mm 3, VMA 0x10000-0x20000 rw-, PTE young',
    ],
  )
})

test('progress is one line for a log and a block for a terminal', (t) => {
  const run = {
    now: 12_500_000,
    guests: [
      { name: 'patterns', state: 'running', instructions: 1_250_000, faults: 900, zaps: 410 },
      { name: 'smp', state: 'finished', instructions: 90_000, faults: 80, zaps: 12 },
    ],
    framesFree: 256,
    frames: 1024,
    swapUsed: 64,
    storms: 321,
    checks: 45_000,
    violations: 0,
  }
  t.is(
    progressLine(run),
    't=12.5 ms | patterns 1,250,000 | smp finished | free 256/1024 | swap 64 | storms 321 | checks 45,000 | violations 0',
  )
  t.deepEqual(progressBlock(run), [
    'virtual time   12.5 ms  host memory [##################......]  75% of 4 MiB  swap 256 KiB',
    '  patterns  running     1,250,000 instructions     900 faults     410 zaps',
    '  smp       finished       90,000 instructions      80 faults      12 zaps',
    '  321 storm operations, 45,000 checks, 0 violations',
  ])
  t.is(bar(2), '[########################] 100%')
})

const at = (task: string): TraceStamp => ({ task, pid: 1, cpu: 0, now: 0 })

test('a race has a column a task, says once what all steps share, and marks where the invariant breaks', (t) => {
  const trace: { event: TraceEvent; stamp: TraceStamp }[] = [
    { event: { name: 'srcu_read_lock', srcu: 's', idx: 0 }, stamp: at('munmap') },
    { event: { name: 'sched_switch', prev: 'munmap', prevState: 'R', next: 'vcpu0' }, stamp: at('vcpu0') },
    { event: { name: 'srcu_read_unlock', srcu: 's', idx: 1 }, stamp: at('vcpu0') },
  ]
  const violation = { invariant: 'I5', what: 'too late', page: {}, task: 'munmap', now: 0, history: [] } as const
  const lines = columnLines(trace, ['munmap', 'vcpu0'], violation, { width: 60 })
  t.is(lines[0], 'in every step: srcu=s')
  t.regex(lines[1]!, /^ +munmap +\| vcpu0$/)
  t.regex(lines[3]!, /^ +1 srcu_read_lock: idx=0 +\|$/)
  t.regex(lines[4]!, /^ +2 +\| srcu_read_unlock: idx=1$/)
  t.regex(lines[5]!, /^ +\^ here I5 breaks +\|$/)
  t.true(lines.includes('  too late'))
})

test('a text that is wider than its column goes on in the next line', (t) => {
  const event: TraceEvent = { name: 'mm_page_alloc', pfn: 1, order: 0, kind: 'anon', owner: 1 }
  const lines = columnLines([{ event, stamp: at('a') }], ['a', 'b'], null, { width: 58 })
  t.true(lines.every((line) => line.length <= 70))
  t.true(lines.some((line) => /^ +1 mm_page_alloc/.test(line)))
})

test('a word that is wider than its column goes on behind an underscore', (t) => {
  const event: TraceEvent = { name: 'mmu_notifier_unregister_begin', mm: 1, notifier: 1, client: 'kvm' }
  const other: TraceEvent = { name: 'mmu_notifier_unregister_begin', mm: 2, notifier: 2, client: 'b' }
  const lines = columnLines(
    [event, other].map((each) => ({ event: each, stamp: at('a') })),
    ['a', 'b'],
    null,
    { width: 50 },
  )
  t.true(lines.some((line) => /^ +1 mmu_notifier_ /.test(line)))
  t.true(lines.some((line) => /^ {7}unregister_begin:/.test(line)))
})

const plain = (text: string): string => text

test('what a repair changed stands in two columns where they fit, and is a diff where they do not', (t) => {
  const heads = ['bug', 'repaired'] as const
  const wide = changeLines(['lock()', 'del()'], ['lock()', 'del_init()', 'free()'], { width: 40, heads, paint: plain })
  t.deepEqual(wide, [
    'bug    | repaired',
    '-------+-----------',
    'lock() | lock()',
    'del()  | del_init()',
    '       | free()',
  ])
  const narrow = changeLines(['lock()', 'del()'], ['lock()', 'del_init()'], { width: 16, heads, paint: plain })
  t.deepEqual(narrow, ['- bug   + repaired', '  lock()', '- del()', '+ del_init()'])
})

test('a curve rises from its least point to its largest', (t) => {
  const points = [1, 10, 100].map((x) => ({ x, y: x * x }))
  const lines = curveLines([{ mark: 'a', points }], { x: String, y: String })
  t.regex(lines[0]!, /^10000 \| +a$/)
  t.regex(lines.at(-3)!, /^ +1 \|a$/)
  t.regex(lines.at(-1)!, /^ +1 +100$/)
  t.deepEqual(curveLines([], { x: String, y: String }), [])
})
