/**
 * Which code is translated: units by the host addresses of their entries and by frame, and with them what the code map and
 * the counters of jumps say of those entries.
 *
 * R1 An entry leads to one unit. A unit whose entries are all entries of a new one is dropped for it.
 * R2 What is dropped is told to the caller, who has the functions.
 */
import { PAGE_SIZE } from '../../base/index.ts'
import type { Pfn } from '../../base/index.ts'
import type { CodeMap } from './code-map.ts'
import type { Heat } from './heat.ts'
import type { Made } from './unit-choice.ts'

/** A function in the table and the places it can be entered at. */
export interface TranslatedUnit extends Made {
  readonly pfn: Pfn
  readonly slot: number
}

export class UnitIndex {
  static readonly opaque = true
  private readonly map: CodeMap
  private readonly heat: Heat
  /** Functions by the host addresses of their entries. */
  private readonly found = new Map<number, { readonly unit: TranslatedUnit; readonly entry: number }>()
  private readonly byFrame = new Map<Pfn, TranslatedUnit[]>()

  constructor(map: CodeMap, heat: Heat) {
    this.map = map
    this.heat = heat
  }

  /** Whether a host address is an entry. */
  has(host: number): boolean {
    return this.found.has(host)
  }

  /** The units of a frame. */
  inFrame(pfn: Pfn): readonly TranslatedUnit[] {
    return this.byFrame.get(pfn) ?? []
  }

  /** A unit with a block that begins at a host address. */
  covering(host: number): TranslatedUnit | undefined {
    return this.inFrame(Math.floor(host / PAGE_SIZE) as Pfn).find(({ blocks }) => blocks.has(host))
  }

  /** Makes the row of an entry, if the code there is translated. */
  link(host: number): boolean {
    const known = this.found.get(host)
    if (known === undefined) return false
    this.setRow(host, known.unit.slot, known.entry)
    return true
  }

  /** @returns the units that could be entered nowhere else than this one: they are dropped */
  add(unit: TranslatedUnit): readonly TranslatedUnit[] {
    const entries = new Set(unit.entries)
    const dropped = this.inFrame(unit.pfn).filter((other) => other.entries.every((host) => entries.has(host)))
    for (const sibling of dropped) this.remove(sibling)
    for (const [i, host] of unit.entries.entries()) {
      // The first entry is why the unit was made; the others may belong to a unit that is better placed.
      if (i > 0 && this.found.has(host)) continue
      this.found.set(host, { unit, entry: i + 1 })
      this.setRow(host, unit.slot, i + 1)
    }
    const siblings = this.byFrame.get(unit.pfn)
    if (siblings !== undefined) siblings.push(unit)
    else this.byFrame.set(unit.pfn, [unit])
    return dropped
  }

  /** @returns whether it was there */
  remove(unit: TranslatedUnit): boolean {
    const siblings = this.byFrame.get(unit.pfn)
    const at = siblings?.indexOf(unit) ?? -1
    if (siblings === undefined || at < 0) return false
    siblings.splice(at, 1)
    if (siblings.length === 0) this.byFrame.delete(unit.pfn)
    this.removeEntries(unit)
    return true
  }

  /** @returns the units that were in a frame */
  removeFrame(pfn: Pfn): readonly TranslatedUnit[] {
    const units = this.inFrame(pfn)
    if (units.length === 0) return units
    this.byFrame.delete(pfn)
    for (const unit of units) this.removeEntries(unit)
    this.heat.coldFrame(pfn)
    return units
  }

  private removeEntries(unit: TranslatedUnit): void {
    for (const host of unit.entries) {
      if (this.found.get(host)?.unit !== unit) continue
      this.found.delete(host)
      this.heat.cold(host)
      this.map.remove(host)
    }
  }

  private setRow(host: number, slot: number, entry: number): void {
    this.map.set(host, slot, entry)
    this.heat.unitAt(host)
  }
}
