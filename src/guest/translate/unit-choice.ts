/**
 * Which unit to make for a place that is hot.
 *
 * R1 A unit that has the place already is made anew, larger, instead of a second one of the same code: two would hand
 *    control to each other, and each is compiled.
 */
import { PAGE_SIZE } from '../../base/index.ts'
import { UNIT_HERE } from '../wasm/unit-hooks.ts'
import type { Discovery } from './discover.ts'
import type { Unit } from './unit.ts'

/** Warm places that are tried as the start of a unit. */
const MAX_STARTS = 6
/** Parts of the threshold at which a place may be the start of a unit, and at which it is worth being in one. */
const START_SHIFT = 3
const WARM_SHIFT = 9

/** A unit that exists, by host addresses. */
export interface Made {
  /** The entries 1, 2, ... */
  readonly entries: readonly number[]
  /** The first instructions of all blocks. */
  readonly blocks: ReadonlySet<number>
}

export class UnitChoice {
  static readonly opaque = true
  private readonly discovery: Discovery
  /** Jumps to each place, by the low bits of half its host address; a power of two. */
  private readonly heats: Uint16Array
  private readonly threshold: number

  constructor(discovery: Discovery, heats: Uint16Array, threshold: number) {
    this.discovery = discovery
    this.heats = heats
    this.threshold = threshold
  }

  /**
   * A unit that has `host` as an entry, and the entries of those it takes the place of.
   *
   * It begins where a unit that has the place began; else at the first warm place before it in its page that leads to it,
   * which is the function that it is a loop of; or else at itself.
   * @param siblings units of the same page
   */
  around(bytes: Uint8Array, host: number, siblings: readonly Made[]): Unit | null {
    const base = host - (host % PAGE_SIZE)
    const offset = host - base
    const also = [offset, ...siblings.flatMap(({ entries }) => entries.map((entry) => entry - base))]
    const isWarm = (at: number): boolean => this.heatOf(base + at) >= this.threshold >> WARM_SHIFT
    const firsts = siblings.filter(({ blocks }) => blocks.has(host)).map(({ entries }) => (entries[0] as number) - base)
    for (const start of [...firsts, ...(firsts.length > 0 ? [] : this.warmBefore(base, offset))]) {
      const unit = this.discovery.discover(bytes, base, start, isWarm, also)
      if (unit !== null && isEntryOf(unit, offset)) return unit
    }
    return this.discovery.discover(bytes, base, offset, isWarm, also)
  }

  /** What has been translated is warm, but not about to be hot. */
  cool(made: Made): void {
    const { heats, threshold } = this
    for (const host of made.blocks) {
      if (made.entries.includes(host)) continue
      const at = this.indexOf(host)
      // Another unit's entry may have the same counter.
      if ((heats[at] as number) >= UNIT_HERE) continue
      heats[at] = Math.min(heats[at] as number, threshold >> START_SHIFT)
    }
  }

  private warmBefore(base: number, offset: number): readonly number[] {
    if (this.threshold < 1 << START_SHIFT) return []
    const warm: number[] = []
    for (let at = offset - 2; at >= 0 && warm.length < MAX_STARTS; at -= 2) {
      if (this.heatOf(base + at) >= this.threshold >> START_SHIFT) warm.push(at)
    }
    return warm.toReversed()
  }

  private heatOf(host: number): number {
    return this.heats[this.indexOf(host)] as number
  }

  private indexOf(host: number): number {
    return (host >>> 1) & (this.heats.length - 1)
  }
}

const isEntryOf = (unit: Unit, offset: number): boolean =>
  offset >= 0 && offset < PAGE_SIZE && unit.entries.includes(unit.blockAt[offset >> 1] as number)
