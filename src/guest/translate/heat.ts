/**
 * Which code is worth records, and which is worth translating: counters of jumps that the interpreter raises, and what
 * they have to come to.
 *
 * R1 Translating must pay: beyond what a program of a few hot loops needs, instructions are translated in proportion to
 *    those that were executed, hottest first. Where everything is equally warm, most of it stays with the tier below.
 * R2 The more code is thrown away, the hotter code has to be: what does not stay is not worth its translation.
 * R3 The counter of a place where a unit is says so: it is `UNIT_HERE` or more.
 */
import { PAGE_SIZE } from '../../base/index.ts'
import type { Pfn } from '../../base/index.ts'
import type { PhysicalMemory } from '../../hardware/index.ts'
import { PAGE_COUNTERS, UNIT_HERE } from '../wasm/unit-hooks.ts'

/** Jumps are counted by the low bits of the host address they go to. */
export const COUNTERS = 65536
export const HEAT_BYTES: number = COUNTERS * 2
export const PAGE_HEAT_BYTES: number = PAGE_COUNTERS * 2
/** Times that a place has to get hot at most, however much code was thrown away lately. */
const MAX_LAPS = 64
/** Jumps to a place after which it is translated: translating costs as much as interpreting some 100,000 instructions. */
const DEFAULT_THRESHOLD = 6000
/** Instructions that may be translated at once; one more may for each `threshold * PRICE` that were executed. */
const CREDIT = 2000
const PRICE = 16
/** Jumps to a place, and to a page, after which the page is given records; fewer if less than eight times as many are hot. */
const WARM = 1024
const WARM_ENTRIES = 128
/** Runs after which jumps to pages count half: code that is executed once shall never be warm. */
const HALF_LIFE = 64

export class Heat {
  static readonly opaque = true
  /** Jumps after which a place is hot, after which its page is warm, and jumps to a page after which it is. */
  readonly threshold: number
  readonly warm: number
  readonly warmEntries: number
  /** Jumps to places; a power of two. */
  readonly places: Uint16Array
  /** Jumps to pages without records. */
  private readonly pages: Uint16Array
  /** Times that a place has got hot, by its counter, and has not been translated. */
  private readonly laps = new Uint8Array(COUNTERS)
  private credit = CREDIT
  /** Batches thrown away for others lately. */
  private pressure = 0
  private ticks = 0

  /**
   * @param places offset of a piece of `HEAT_BYTES`, all zero
   * @param pages offset of a piece of `PAGE_HEAT_BYTES`, all zero
   * @param threshold jumps to a place after which it is translated, below `UNIT_HERE`
   */
  constructor(memory: PhysicalMemory, places: number, pages: number, threshold: number = DEFAULT_THRESHOLD) {
    this.threshold = threshold
    this.warm = Math.max(1, Math.min(WARM, threshold >> 3))
    this.warmEntries = Math.min(WARM_ENTRIES, this.warm)
    this.places = new Uint16Array(memory.memory.buffer, places, COUNTERS)
    this.pages = new Uint16Array(memory.memory.buffer, pages, PAGE_COUNTERS)
  }

  /** Code at a host address is hot. @returns whether to translate it; if not, it has to get hot again */
  admits(host: number): boolean {
    const counter = indexOf(host)
    if (this.credit <= 0) {
      this.places[counter] = 0
      return false
    }
    const laps = (this.laps[counter] as number) + 1
    const enough = laps > Math.min(this.pressure, MAX_LAPS - 1)
    this.laps[counter] = enough ? 0 : laps
    if (!enough) this.places[counter] = 0
    return enough
  }

  /** A run begins. @param executed instructions since the last one */
  tick(executed: number): void {
    this.credit = Math.min(CREDIT, this.credit + executed / (this.threshold * PRICE))
    if (++this.ticks < HALF_LIFE) return
    this.ticks = 0
    this.pressure >>= 1
    for (let at = 0; at < PAGE_COUNTERS; at++) this.pages[at] = (this.pages[at] as number) >> 1
  }

  /** So many instructions have been translated. */
  spend(instructions: number): void {
    this.credit -= instructions
  }

  /** A batch was thrown away for another one. */
  press(): void {
    this.pressure++
  }

  /** There is an entry of a unit at a host address now. */
  unitAt(host: number): void {
    this.places[indexOf(host)] = UNIT_HERE
  }

  /** There is none any more. */
  cold(host: number): void {
    this.places[indexOf(host)] = 0
  }

  /** Other code may be in the frame now. */
  coldFrame(pfn: Pfn): void {
    const first = indexOf(pfn * PAGE_SIZE)
    this.places.fill(0, first, first + PAGE_SIZE / 2)
  }
}

const indexOf = (host: number): number => (host >>> 1) & (COUNTERS - 1)
