/**
 * Random page tables and probes for them, dense enough that most walks go deep: a few table frames that point at each other in
 * any order, and a few indexes that every probe is made of.
 */
import { PAGE_SIZE, hpa } from '../../src/base/index.ts'
import type { Random } from '../../src/base/index.ts'
import {
  PTE_A,
  PTE_D,
  PTE_G,
  PTE_R,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
  extendPage,
  pteHigh,
  pteLow,
} from '../../src/hardware/index.ts'
import type { PagingMode, PhysicalMemory } from '../../src/hardware/index.ts'

/** Where the tables of one world and the pages they map are; frames count from the start of the memory. */
export interface Place {
  /** Page number under which the tables know frame 0. */
  readonly base: number
  /** First table frame, a multiple of 4, and how many there are. */
  readonly tables: number
  readonly tableCount: number
  readonly data: number
  readonly dataCount: number
}

const INDEXES = [0, 1, 2, 3, 6, 255, 256, 511]
const LEAVES = [
  PTE_R,
  PTE_R | PTE_W,
  PTE_R | PTE_W | PTE_X,
  PTE_R | PTE_W | PTE_X | PTE_U,
  PTE_R | PTE_W | PTE_U,
  PTE_R | PTE_X | PTE_U,
  PTE_X,
  PTE_X | PTE_U,
]
const ACCESSED = [0, PTE_A, PTE_A | PTE_D, PTE_A | PTE_D, PTE_D]

/** A page for a leaf at `level`: mostly one that is aligned for it and inside the data. */
function randomLeafPage(random: Random, place: Place, level: number): number {
  const kind = random.below(16)
  if (kind === 0) return place.base + place.tables + random.below(place.tableCount)
  if (kind === 1) return random.pick([0, 2 ** 18, 2 ** 27, 2 ** 36, 3 * 2 ** 36])
  if (kind === 2) return random.below(2 ** 22) * 2 ** 22 + random.below(2 ** 22)
  const size = kind === 3 ? 1 : 512 ** level
  const page = place.base + place.data + random.below(place.dataCount)
  return page - (page % size)
}

interface Draw {
  readonly random: Random
  readonly place: Place
  readonly memory: PhysicalMemory
  /** Table frames by the level they serve. */
  readonly frames: readonly (readonly number[])[]
}

function putRandomPte(draw: Draw, level: number, at: number): void {
  const { random, place, memory } = draw
  const kind = random.below(32)
  let flags = PTE_V
  let page = place.base + random.pick(draw.frames[Math.max(0, random.oneIn(8) ? level : level - 1)] as number[])
  let high = 0
  if (kind < (level === 0 ? 1 : 20)) {
    if (random.oneIn(12)) flags |= random.pick([PTE_G, PTE_A, PTE_D, PTE_U])
    if (random.oneIn(24)) page = random.below(2 ** 30) * 2 ** random.below(15)
  } else if (kind < 30) {
    flags |= random.pick(LEAVES) | random.pick(ACCESSED)
    page = randomLeafPage(random, place, level)
  } else {
    flags = random.below(1024)
    page = randomLeafPage(random, place, level)
  }
  if (random.oneIn(32)) high = random.oneIn(3) ? 0x60000000 : 2 ** random.between(22, 31)
  memory.writePte(hpa(at), pteLow(page, flags), (pteHigh(page) | high) >>> 0)
}

/** The first four frames are the root; the others serve the levels below in turn. */
const levelOf = (place: Place, levels: number, frame: number): number =>
  frame < place.tables + 4 ? levels - 1 : levels - 2 - ((frame - place.tables - 4) % (levels - 1))

/** Fills every table frame of the world at the indexes that `randomPage` uses, for a mode of `levels` levels. */
export function fillTables(random: Random, place: Place, memory: PhysicalMemory, levels: number): void {
  const frames: number[][] = []
  for (let frame = place.tables; frame < place.tables + place.tableCount; frame++) {
    ;(frames[levelOf(place, levels, frame)] ??= []).push(frame)
  }
  const draw: Draw = { random, place, memory, frames }
  for (const [level, members] of frames.entries()) {
    for (const frame of members) {
      for (const index of INDEXES) putRandomPte(draw, level, frame * PAGE_SIZE + index * 8)
    }
  }
}

/** A page number made of those indexes; now and then one that the mode does not translate. */
export function randomPage(random: Random, mode: PagingMode): number {
  let page = 0
  for (let level = mode.levels - 1; level >= 0; level--) page = page * 512 + random.pick(INDEXES)
  if (mode.rootPages === 4) page += random.below(4) * (mode.pages / 4)
  page = extendPage(mode, page % mode.pages)
  return random.oneIn(16) ? Number(BigInt(page) ^ (1n << BigInt(random.between(20, 51)))) : page
}
