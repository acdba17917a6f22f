/**
 * The books: do references, mappings and slots agree with what names them? (invariant I14)
 *
 * R1 Counted from scratch: every PTE of every mm, every page cache, the swap cache. Meaningful when no task works on
 *    pages: then each reference has a name.
 */
import { PAGE_SIZE } from '../base/index.ts'
import type { Hpa, Pfn } from '../base/index.ts'
import { HPAGE_PMD_NR } from './split-huge-pmd.ts'
import type { Kernel } from './kernel.ts'
import type { Mm } from './mm.ts'
import { PG_ISOLATED, PG_SWAPCACHE } from './page.ts'
import { PMD_SIZE, TASK_SIZE } from './page-table.ts'
import { isSwapEntry, ptePfn, ptePresent, pteSpecial, swapOffset } from './pte.ts'

/** What names the pages and slots. */
class Census {
  readonly refs: Int32Array
  readonly maps: Int32Array
  readonly slots: Map<number, number> = new Map()

  constructor(frames: number) {
    this.refs = new Int32Array(frames)
    this.maps = new Int32Array(frames)
  }

  ref(pfn: number): void {
    this.refs[pfn] = (this.refs[pfn] as number) + 1
  }

  map(pfn: number): void {
    this.maps[pfn] = (this.maps[pfn] as number) + 1
    this.ref(pfn)
  }

  slot(slot: number): void {
    this.slots.set(slot, (this.slots.get(slot) ?? 0) + 1)
  }
}

/** Everything that does not balance, a line each; empty when all is well. Frames of other rooms (`spte`) are not judged. */
export function leakReport(kernel: Kernel): string[] {
  const { pages, swap } = kernel
  const census = new Census(pages.frames)
  census.ref(kernel.zeroPfn)
  const lines: string[] = []
  for (const mm of kernel.mms) countMm(mm, census, lines)
  for (const file of kernel.files) {
    for (const place of file.pages.values()) {
      if (place < 0) census.slot(-place)
      else census.ref(place)
    }
  }
  for (let frame = 1; frame < pages.frames; frame++) checkFrame(kernel, census, frame as Pfn, lines)
  for (let slot = 1; slot <= swap.device.slots; slot++) {
    const named = census.slots.get(slot) ?? 0
    if (swap.count(slot) !== named) lines.push(`swap slot ${slot}: count ${swap.count(slot)}, named by ${named}`)
  }
  if (kernel.lru.isolated !== 0) lines.push(`${kernel.lru.isolated} pages are isolated`)
  return lines
}

function checkFrame(kernel: Kernel, census: Census, pfn: Pfn, lines: string[]): void {
  const { pages } = kernel
  if (pages.kindOf(pfn) === 'spte') return
  const expected = (census.refs[pfn] as number) + (pages.test(pfn, PG_SWAPCACHE) ? 1 : 0)
  const what = `frame ${pfn} (${pages.kindOf(pfn)}, mm ${pages.owner[pfn]}${pages.test(pfn, PG_ISOLATED) ? ', isolated' : ''})`
  if (pages.refs(pfn) !== expected) lines.push(`${what}: ${pages.refs(pfn)} references, ${expected} accounted for`)
  if (pages.maps(pfn) !== census.maps[pfn]) {
    lines.push(`${what}: map count ${pages.maps(pfn)}, but ${census.maps[pfn]} PTEs`)
  }
}

function countMm(mm: Mm, census: Census, lines: string[]): void {
  const { memory } = mm.kernel
  const table = mm.pageTable
  census.ref(table.root)
  const middles = new Set<number>()
  let present = 0
  let swapped = 0
  let tables = 0
  for (
    let base = table.nextPopulated(0, TASK_SIZE);
    base < TASK_SIZE;
    base = table.nextPopulated(base + PMD_SIZE, TASK_SIZE)
  ) {
    middles.add(table.middleTable(base))
    const pmd = table.hugePmd(base)
    if (pmd !== 0) {
      for (let page = 0; page < HPAGE_PMD_NR; page++) census.map(ptePfn(pmd) + page)
      present += HPAGE_PMD_NR
      continue
    }
    census.ref(table.leafTable(base))
    tables++
    const first = table.slot(base) as Hpa
    for (let index = 0; index < PAGE_SIZE / 8; index++) {
      const pte = memory.readLow((first + index * 8) as Hpa)
      if (ptePresent(pte) && !pteSpecial(pte)) {
        census.map(ptePfn(pte))
        present++
      } else if (isSwapEntry(pte)) {
        census.slot(swapOffset(pte))
        swapped++
      }
    }
  }
  for (const kept of mm.depositedTables()) census.ref(kept)
  for (const middle of middles) census.ref(middle)
  // Middle tables without a leaf appear when an allocation failed half way; they go with the mm.
  for (let base = 0; base < TASK_SIZE; base += 2 ** 30) {
    const middle = table.middleTable(base)
    if (middle === -1 || middles.has(middle)) continue
    census.ref(middle)
    tables++
  }
  tables += middles.size
  if (mm.rss !== present) lines.push(`${mm.name}: rss ${mm.rss}, but ${present} pages mapped`)
  if (mm.swapEntries !== swapped) lines.push(`${mm.name}: ${mm.swapEntries} swap entries counted, ${swapped} found`)
  if (table.tables !== tables) lines.push(`${mm.name}: ${table.tables} tables counted, ${tables} found`)
}
