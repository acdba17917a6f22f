/**
 * Golden memory: what every byte must read as, kept from the events of the run and from nothing else (I7).
 *
 * A functional model of address spaces: private pages, files, copy on write by sharing. It knows no frames, no
 * page tables and no swap, so whatever those do to a page, its content must come out as here.
 *
 * R1 A load must return the last value stored through any path: guest, host thread or system call.
 * R2 While an operation that changes content is under way a byte may show its old or its new value.
 * R3 After MADV_FREE a page keeps its content or shows zeroes until it is written; once seen as zero it stays so.
 * R4 A private page of a file parts from it when the host maps its copy, with what the file held when it was copied.
 */
import { PAGE_SIZE, hex } from '../base/index.ts'
import type { TraceEvent } from '../base/index.ts'

/** One page's worth of content. */
interface Cell {
  bytes: Uint8Array
  /** What it may show instead (R2, R3), or null. */
  alternative: Uint8Array | null
  /** 1 for a byte of which nothing is known, or null. */
  unknown: Uint8Array | null
  /** Address spaces that show this cell: a store by one of several makes a copy. */
  users: number
}

interface Region {
  start: number
  end: number
  readonly file: number
  /** Offset in the file of `start`. */
  offset: number
  readonly shared: boolean
}

class Space {
  static readonly opaque: readonly string[] = ['last']
  regions: Region[] = []
  /** The region that was asked for last, if it is still there. */
  last: Region | undefined = undefined
  /** Private pages by page number. */
  readonly pages = new Map<number, Cell>()
  /** Operations under way that change content. */
  readonly open: { readonly operation: string; readonly start: number; readonly end: number }[] = []
}

/** A load that returned something else than the last store. */
export interface GoldenMismatch {
  readonly mm: number
  readonly hva: number
  readonly size: number
  readonly read: bigint
  readonly expected: bigint
}

const ZERO_PAGE = new Uint8Array(PAGE_SIZE)

/** Operations after which a private page of the range shows zeroes, or its file, again. */
const DISCARDS = new Set(['madvise_dontneed', 'munmap', 'exit_mmap', 'oom_reap', 'truncate', 'punch_hole'])

function freshCell(from: Uint8Array): Cell {
  return { bytes: from.slice(), alternative: null, unknown: null, users: 1 }
}

/** Do the bytes at an offset read as this value? */
function holds(bytes: Uint8Array, offset: number, size: number, value: bigint): boolean {
  let rest = Number(BigInt.asUintN(32, value))
  for (let i = 0; i < size; i++) {
    if (i === 4) rest = Number(BigInt.asUintN(32, value >> 32n))
    if (bytes[offset + i] !== (rest & 0xff)) return false
    rest >>>= 8
  }
  return true
}

/** Writes a value at an offset. */
function put(bytes: Uint8Array, offset: number, size: number, value: bigint): void {
  let rest = Number(BigInt.asUintN(32, value))
  for (let i = 0; i < size; i++) {
    if (i === 4) rest = Number(BigInt.asUintN(32, value >> 32n))
    bytes[offset + i] = rest & 0xff
    rest >>>= 8
  }
}

export class GoldenMemory {
  static readonly opaque: readonly string[] = ['compared']
  /** Loads compared so far. */
  compared = 0
  private readonly spaces = new Map<number, Space>()
  private readonly files = new Map<number, Map<number, Cell>>()
  /** Copies of file pages that are made and not yet mapped, by frame. */
  private readonly copies = new Map<number, Cell>()

  /** Takes one event in. @returns what a load got wrong, or null */
  observe(event: TraceEvent): GoldenMismatch | null {
    switch (event.name) {
      case 'mem_load':
        return this.load(event.mm, event.hva, event.size, event.value)
      case 'mem_store':
        this.store(event.mm, event.hva, event.size, event.value)
        return null
      case 'cow_copy':
        this.copied(this.space(event.mm), event.hva, event.to)
        return null
      case 'cow_break':
        this.broken(this.space(event.mm), event.hva, event.to)
        return null
      case 'mm_mmap':
        this.map(this.space(event.mm), event)
        return null
      case 'mm_munmap':
        this.unmap(this.space(event.mm), event.start, event.end)
        return null
      case 'mm_fork':
        this.fork(this.space(event.mm), this.space(event.child))
        return null
      case 'mm_mremap':
        this.move(this.space(event.mm), event.start, event.to, event.length)
        return null
      case 'mm_destroy':
        this.spaces.delete(event.mm)
        return null
      case 'mm_range_begin':
        this.space(event.mm).open.push(event)
        if (event.operation === 'madvise_free') this.mayDiscard(this.space(event.mm), event.start, event.end)
        return null
      case 'mm_range_end':
        this.endRange(this.space(event.mm), event)
        return null
      case 'file_punch_hole':
        this.clearFile(event.file, event.start, event.end)
        return null
      case 'file_truncate':
        this.clearFile(event.file, event.size, Infinity)
        return null
      case 'file_write':
        this.writeFile(event.file, event.offset, event.bytes)
        return null
      default:
        return null
    }
  }

  private space(mm: number): Space {
    let space = this.spaces.get(mm)
    if (space === undefined) this.spaces.set(mm, (space = new Space()))
    return space
  }

  private file(id: number): Map<number, Cell> {
    let file = this.files.get(id)
    if (file === undefined) this.files.set(id, (file = new Map()))
    return file
  }

  private regionAt(space: Space, hva: number): Region | undefined {
    const { last } = space
    if (last !== undefined && last.start <= hva && hva < last.end) return last
    for (const region of space.regions) {
      if (region.start > hva || hva >= region.end) continue
      space.last = region
      return region
    }
    return undefined
  }

  /** The cell that an address shows, or undefined where it shows zeroes or nothing. */
  private shown(space: Space, hva: number): Cell | undefined {
    const region = this.regionAt(space, hva)
    if (region === undefined) return undefined
    const own = region.shared ? undefined : space.pages.get(Math.floor(hva / PAGE_SIZE))
    if (own !== undefined || region.file < 0) return own
    return this.files.get(region.file)?.get(Math.floor((hva - region.start + region.offset) / PAGE_SIZE))
  }

  /** The cell that a store changes, made or copied as needed. */
  private writable(space: Space, hva: number): Cell | undefined {
    const region = this.regionAt(space, hva)
    if (region === undefined) return undefined
    const page = Math.floor(hva / PAGE_SIZE)
    if (region.shared) {
      const file = this.file(region.file)
      const index = Math.floor((hva - region.start + region.offset) / PAGE_SIZE)
      let cell = file.get(index)
      if (cell === undefined) file.set(index, (cell = freshCell(ZERO_PAGE)))
      return cell
    }
    const before = this.shown(space, hva)
    const own = space.pages.get(page)
    if (own !== undefined && own.users === 1) return own
    const copy: Cell = {
      bytes: (before?.bytes ?? ZERO_PAGE).slice(),
      alternative: before?.alternative?.slice() ?? null,
      unknown: before?.unknown?.slice() ?? null,
      users: 1,
    }
    if (own !== undefined) own.users--
    space.pages.set(page, copy)
    return copy
  }

  /** The host copies a page of a file that is mapped privately: what it held then is what the mapping will show. */
  private copied(space: Space, hva: number, to: number): void {
    const region = this.regionAt(space, hva)
    if (region === undefined || region.shared || region.file < 0) return
    this.copies.set(to, freshCell(this.shown(space, hva)?.bytes ?? ZERO_PAGE))
  }

  /** The copy is mapped: stores to the file show here no more, from before the first store on (R4). */
  private broken(space: Space, hva: number, to: number): void {
    const copy = this.copies.get(to)
    this.copies.delete(to)
    const page = Math.floor(hva / PAGE_SIZE)
    if (copy !== undefined && !space.pages.has(page)) space.pages.set(page, copy)
  }

  private inFlux(space: Space, hva: number): boolean {
    return space.open.some((range) => range.start <= hva && hva < range.end && range.operation !== 'mprotect')
  }

  private load(mm: number, hva: number, size: number, value: bigint): GoldenMismatch | null {
    const space = this.space(mm)
    this.compared++
    const within = hva % PAGE_SIZE
    if (within + size <= PAGE_SIZE && holds(this.shown(space, hva)?.bytes ?? ZERO_PAGE, within, size, value))
      return null
    const flux = this.inFlux(space, hva)
    let expected = 0n
    let fits = true
    for (let i = 0; i < size; i++) {
      const at = hva + i
      const cell = this.shown(space, at)
      const offset = at % PAGE_SIZE
      const byte = cell?.bytes[offset] ?? 0
      expected |= BigInt(byte) << BigInt(8 * i)
      const got = Number((value >> BigInt(8 * i)) & 0xffn)
      if (got === byte || cell?.unknown?.[offset] === 1) continue
      if (cell?.alternative?.[offset] === got) this.settle(cell)
      else if (!(flux && this.mayShow(space, at, got))) fits = false
    }
    return fits ? null : { mm, hva, size, read: BigInt.asUintN(8 * size, value), expected }
  }

  /** During an operation that discards, a byte may already show what lies under the private page. */
  private mayShow(space: Space, hva: number, got: number): boolean {
    const region = this.regionAt(space, hva)
    if (region === undefined) return true
    if (region.shared) return false
    const under =
      region.file < 0
        ? undefined
        : this.files.get(region.file)?.get(Math.floor((hva - region.start + region.offset) / PAGE_SIZE))
    return got === (under?.bytes[hva % PAGE_SIZE] ?? 0)
  }

  /** The alternative was seen: it is the content from now on (R3). */
  private settle(cell: Cell): void {
    cell.bytes = cell.alternative!
    cell.alternative = null
  }

  private store(mm: number, hva: number, size: number, value: bigint): void {
    const space = this.space(mm)
    const within = hva % PAGE_SIZE
    if (space.open.length === 0 && within + size <= PAGE_SIZE) {
      const cell = this.writable(space, hva)
      if (cell === undefined) return
      if (cell.alternative === null && cell.unknown === null) return put(cell.bytes, within, size, value)
    }
    const flux = this.inFlux(space, hva)
    for (let i = 0; i < size; i++) {
      const at = hva + i
      const cell = this.writable(space, at)
      if (cell === undefined) continue
      const byte = Number((value >> BigInt(8 * i)) & 0xffn)
      cell.bytes[at % PAGE_SIZE] = byte
      if (cell.alternative !== null) cell.alternative[at % PAGE_SIZE] = byte
      if (cell.unknown !== null) cell.unknown[at % PAGE_SIZE] = 0
      if (flux && this.regionAt(space, at)?.shared === false)
        (cell.unknown ??= new Uint8Array(PAGE_SIZE))[at % PAGE_SIZE] = 1
    }
  }

  private map(space: Space, region: Region): void {
    this.unmap(space, region.start, region.end)
    const { start, end, file, offset, shared } = region
    space.regions.push({ start, end, file, offset, shared })
  }

  /** Cuts the range out of all regions. */
  private unmap(space: Space, start: number, end: number): void {
    const kept: Region[] = []
    for (const region of space.regions) {
      if (region.end <= start || end <= region.start) {
        kept.push(region)
        continue
      }
      if (region.start < start) kept.push({ ...region, end: start })
      if (end < region.end) kept.push({ ...region, start: end, offset: region.offset + end - region.start })
    }
    space.regions = kept
    space.last = undefined
    this.dropPages(space, start, end, () => true)
  }

  private dropPages(space: Space, start: number, end: number, which: (cell: Cell) => boolean): void {
    for (const [page, cell] of space.pages) {
      const hva = page * PAGE_SIZE
      if (hva < start || hva >= end || !which(cell)) continue
      cell.users--
      space.pages.delete(page)
    }
  }

  private fork(parent: Space, child: Space): void {
    child.last = undefined
    child.regions = parent.regions.map((region) => ({ ...region }))
    for (const [page, cell] of parent.pages) {
      cell.users++
      child.pages.set(page, cell)
    }
  }

  private move(space: Space, from: number, to: number, length: number): void {
    const region = this.regionAt(space, from)
    const moved = [...space.pages].filter(([page]) => page * PAGE_SIZE >= from && page * PAGE_SIZE < from + length)
    for (const [page] of moved) space.pages.delete(page)
    this.unmap(space, from, from + length)
    this.unmap(space, to, to + length)
    if (region === undefined) return
    const offset = region.offset + from - region.start
    space.regions.push({ start: to, end: to + length, file: region.file, offset, shared: region.shared })
    for (const [page, cell] of moved) space.pages.set(page + (to - from) / PAGE_SIZE, cell)
  }

  private mayDiscard(space: Space, start: number, end: number): void {
    for (const page of space.pages.keys()) {
      const hva = page * PAGE_SIZE
      const own = hva < start || hva >= end ? undefined : this.writable(space, hva)
      if (own !== undefined) own.alternative = new Uint8Array(PAGE_SIZE)
    }
  }

  private endRange(space: Space, event: { operation: string; start: number; end: number }): void {
    const at = space.open.findIndex(
      (open) => open.operation === event.operation && open.start === event.start && open.end === event.end,
    )
    if (at >= 0) space.open.splice(at, 1)
    if (!DISCARDS.has(event.operation)) return
    // A page that was stored to meanwhile has bytes of which nothing is known; the rest of it shows what lies under.
    for (const [page, cell] of Array.from(space.pages)) {
      const hva = page * PAGE_SIZE
      if (hva < event.start || hva >= event.end || cell.unknown === null) continue
      cell.users--
      const under = freshCell(ZERO_PAGE)
      space.pages.delete(page)
      under.bytes.set(this.shown(space, hva)?.bytes ?? ZERO_PAGE)
      under.unknown = cell.unknown.slice()
      space.pages.set(page, under)
    }
    this.dropPages(space, event.start, event.end, (cell) => cell.unknown === null)
  }

  private clearFile(id: number, start: number, end: number): void {
    for (const [index, cell] of this.file(id)) {
      const from = Math.max(start - index * PAGE_SIZE, 0)
      const to = Math.min(end - index * PAGE_SIZE, PAGE_SIZE)
      if (from < to) cell.bytes.fill(0, from, to)
    }
  }

  private writeFile(id: number, offset: number, bytesInHex: string): void {
    const file = this.file(id)
    const index = Math.floor(offset / PAGE_SIZE)
    let cell = file.get(index)
    if (cell === undefined) file.set(index, (cell = freshCell(ZERO_PAGE)))
    for (let i = 0; i * 2 < bytesInHex.length; i++) {
      cell.bytes[(offset % PAGE_SIZE) + i] = parseInt(bytesInHex.slice(2 * i, 2 * i + 2), 16)
    }
  }
}

/** `mm 3: load of 8 bytes at 0x10000000 returned 0x0, the last store was 0x1f` */
export function describeMismatch(wrong: GoldenMismatch): string {
  return (
    `mm ${wrong.mm}: load of ${wrong.size} bytes at ${hex(wrong.hva)} returned ${hex(wrong.read)}, ` +
    `the last store was ${hex(wrong.expected)}`
  )
}
