/**
 * What a host operation pays for a VM that mirrors its pages: MADV_DONTNEED over ranges of growing length.
 *
 * A real KVM with shadow paging walks the reverse map of every page of the range, mapped or not. Here the walk goes by
 * what is mapped, so an empty range must cost about as much as an empty page.
 */
import { Kernel } from '../src/host/index.ts'
import { quietCalls } from './measure.ts'
import { ratio, time } from './report.ts'
import type { Report, Subject } from './report.ts'
import { VmFixture } from './vm.ts'

const RANGES: readonly number[] = [1, 16, 256, 4096, 65536]
const MOST = 65536
/** How often each is called, by length of the range. */
const CALLS: ReadonlyMap<number, number> = new Map([
  [1, 500],
  [16, 250],
  [256, 50],
  [4096, 8],
  [65536, 3],
])

const EMPTY_CALLS = 250
const PASSES = 5

interface Row {
  readonly pages: number
  /** Nanoseconds a call. */
  readonly outside: number
  readonly inSlot: number
  readonly mapped: number
  /** Nothing was ever touched: no page table either. */
  readonly untouched: number
  /** Everything was touched and has gone: the page tables are still there. */
  readonly emptied: number
}

export const dontneed: Subject = {
  name: 'dontneed',
  title: 'MADV_DONTNEED under a VM',
  async measure(): Promise<Report> {
    const kernel = new Kernel({ frames: MOST + 4096 })
    const rows = await kernel.run(async () => {
      const fixture = await VmFixture.create(kernel, 2 * MOST, MOST)
      await warmUp(fixture)
      const fresh = await VmFixture.create(kernel, MOST, MOST)
      // Several times up the ladder, so that a busy minute of the machine does not fall on one rung.
      let measured: Row[] = []
      for (let pass = 0; pass < PASSES; pass++) {
        const rows: Row[] = []
        for (const pages of RANGES) rows.push(await measureRange(fixture, fresh, pages))
        measured = pass === 0 ? rows : rows.map((row, index) => faster(row, measured[index]!))
      }
      await fresh.destroy()
      await fixture.destroy()
      return measured
    })
    return report(rows)
  },
}

/** Until every path has been compiled: short calls cost several times as much before. */
async function warmUp(fixture: VmFixture): Promise<void> {
  for (let i = 0; i < 3000; i++) {
    const pages = [1, 16, 64][i % 3]!
    if (i % 2 === 0) await fixture.populateGuest(pages)
    else await fixture.populateHost(pages)
    await fixture.dontneed(pages)
  }
}

async function measureRange(fixture: VmFixture, fresh: VmFixture, pages: number): Promise<Row> {
  const calls = CALLS.get(pages)!
  const [outside, inSlot, mapped] = await quietCalls(calls, [
    { prepare: () => fixture.populateHost(pages, MOST), run: () => fixture.dontneed(pages, MOST) },
    { prepare: () => fixture.populateHost(pages), run: () => fixture.dontneed(pages) },
    { prepare: () => fixture.populateGuest(pages), run: () => fixture.dontneed(pages) },
  ])
  // On their own: after a call that moves megabytes the processor's caches would be cold.
  const [emptied] = await quietCalls(EMPTY_CALLS, [{ prepare: nothing, run: () => fixture.dontneed(pages) }])
  const [untouched] = await quietCalls(EMPTY_CALLS, [{ prepare: nothing, run: () => fresh.dontneed(pages) }])
  return { pages, outside: outside!, inSlot: inSlot!, mapped: mapped!, emptied: emptied!, untouched: untouched! }
}

function nothing(): void {}

function faster(a: Row, b: Row): Row {
  return {
    pages: a.pages,
    outside: Math.min(a.outside, b.outside),
    inSlot: Math.min(a.inSlot, b.inSlot),
    mapped: Math.min(a.mapped, b.mapped),
    untouched: Math.min(a.untouched, b.untouched),
    emptied: Math.min(a.emptied, b.emptied),
  }
}

function report(rows: readonly Row[]): Report {
  const perSpte = (row: Row): number => (row.mapped - row.inSlot) / row.pages
  const spread = rows.filter((row) => row.pages >= 16).map(perSpte)
  const flatness = Math.max(...spread) / Math.min(...spread)
  const first = rows[0]!
  const last = rows.at(-1)!
  const stretch = last.untouched / first.untouched
  return {
    tables: [
      {
        title: 'nanoseconds a page',
        columns: [
          'pages',
          'outside any slot',
          'in a slot, no spte',
          'all mapped by the guest',
          'mapped / no spte',
          'an spte adds',
        ],
        rows: rows.map((row) => [
          String(row.pages),
          time(row.outside / row.pages),
          time(row.inSlot / row.pages),
          time(row.mapped / row.pages),
          ratio(row.mapped / row.inSlot),
          row.pages === 1 ? '' : time(perSpte(row)),
        ]),
        note: 'The host has all pages present in these three columns; a call zaps, flushes and frees them.',
      },
      {
        title: 'a call over a range where nothing is present, all of it in a slot',
        columns: ['pages', 'never touched', 'against 1 page', 'emptied before', 'against 1 page'],
        rows: rows.map((row) => [
          String(row.pages),
          time(row.untouched),
          ratio(row.untouched / first.untouched),
          time(row.emptied),
          ratio(row.emptied / first.emptied),
        ]),
        note: 'A range emptied before still has its page tables, whose entries the host looks at one by one, as Linux does.',
      },
    ],
    targets: [
      {
        promise: 'an spte costs the same within 2x from 16 to 65536 pages',
        measured: `${time(Math.min(...spread))} to ${time(Math.max(...spread))}, ${ratio(flatness)}`,
        isMet: flatness <= 2,
      },
      {
        promise: 'an empty range of 65536 pages costs at most 3x an empty page',
        measured: ratio(stretch),
        isMet: stretch <= 3,
      },
    ],
  }
}
