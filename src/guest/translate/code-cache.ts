/**
 * Translated code, by the host address of the guest code that it was made from.
 *
 * Code depends on the bytes of its frame and on nothing else: address spaces, fences and remapping leave it alone. Three
 * things are kept apart: translations (the fast TLBs), code by frame (here), and the code map, which leads from the host
 * address of an entry to its function (code-map.ts).
 *
 * R1 A frame with code is watched (`StoreWatch`): whoever stores to it drops its units first. No hart has a fast row that
 *    permits stores to it (`HartArea`).
 * R2 A row of the code map is made and removed here, at the place that the entry's address determines: dropping a unit
 *    removes every row that leads to it, and a slot is given out again only after that. So no row is ever stale.
 * R3 Code is thrown away by batches (batches.ts), oldest first, when slots or bytes run out.
 * R4 A batch is bounded in instructions: no hart waits longer than for that.
 * R5 Code is translated when it is hot, and heat.ts admits it.
 */
import { PAGE_SIZE, Wasm } from '../../base/index.ts'
import type { Pfn, WasmModule, WasmTable } from '../../base/index.ts'
import type { PhysicalMemory, StoreWatcher } from '../../hardware/index.ts'
import { DecodeCache } from '../hart/index.ts'
import { ModuleBuilder } from '../wasm/emit.ts'
import { EXPANSIONS_BYTES } from '../wasm/interpreter-module.ts'
import { type InterpreterParts, type Run, interpreterParts } from '../wasm/interpreter.ts'
import { noRoom, scratchPieces } from '../wasm/scratch-pieces.ts'
import { RECORD_PAGE_BYTES } from '../wasm/unit-hooks.ts'
import { Batches, SLOTS } from './batches.ts'
import { CodeMap } from './code-map.ts'
import { Discovery } from './discover.ts'
import { dispatcherModule } from './dispatcher.ts'
import { COUNTERS, HEAT_BYTES, Heat, PAGE_HEAT_BYTES } from './heat.ts'
import { RECORD_ROWS_BYTES, RecordPages } from './record-pages.ts'
import { Surveys } from './survey.ts'
import { tiersModule } from './tiers.ts'
import { MAP_BYTES, MAP_ROWS, MAP_ROW_SHIFT } from './unit-abi.ts'
import { UnitChoice } from './unit-choice.ts'
import { type TranslatedUnit, UnitIndex } from './unit-index.ts'
import { unitModule } from './unit-module.ts'
import type { Unit } from './unit.ts'

/** Units in a module at most, instructions after which it takes no more units, and runs that hot code waits for company. */
const MAX_BATCH = 16
export const BATCH_INSTRUCTIONS = 200
const PATIENCE = 4
/** Pieces of scratch that a code cache takes at once. */
const PIECES = {
  map: MAP_BYTES,
  heat: HEAT_BYTES,
  pageHeat: PAGE_HEAT_BYTES,
  records: RECORD_ROWS_BYTES,
  noRecords: RECORD_PAGE_BYTES,
} as const
/** Scratch bytes that a code cache takes, with what its interpreter takes later. */
export const CODE_CACHE_BYTES: number = Object.values(PIECES).reduce(
  (sum, bytes) => sum + bytes,
  EXPANSIONS_BYTES + 128,
)

export interface CodeCacheStats {
  units: number
  modules: number
  /** Bytes of modules, in all. */
  bytes: number
  instructions: number
  droppedUnits: number
  evictedBatches: number
}

/** `note` of observation.ts. */
export type Note = (low: number, high: number, place: number, kind: number) => void

export class CodeCache implements StoreWatcher {
  static readonly opaque = true
  readonly memory: PhysicalMemory
  readonly decodes: DecodeCache = new DecodeCache()
  readonly stats: CodeCacheStats = {
    units: 0,
    modules: 0,
    bytes: 0,
    instructions: 0,
    droppedUnits: 0,
    evictedBatches: 0,
  }
  /** `enter(hart, budget)`: runs from the pc in the area on, and answers an `ExitCode`. */
  readonly enter: (hart: number, budget: number) => number
  readonly records: RecordPages
  private readonly pieces: Readonly<Record<keyof typeof PIECES, number>>
  private readonly table: WasmTable
  private readonly map: CodeMap
  private readonly heat: Heat
  private readonly index: UnitIndex
  private readonly batches: Batches<TranslatedUnit>
  private readonly builder = new ModuleBuilder()
  private readonly choice: UnitChoice
  private parts: InterpreterParts | null = null
  private tiers: WasmModule | null = null
  /** Hot code that is not translated yet, and the runs since the last one was found. */
  private pending: number[] = []
  private age = 0
  /** Who follows the accesses of units, or null: units for the one are not those for the other. */
  private note: Note | null = null
  private readonly imports: Record<string, unknown>

  /**
   * @param threshold jumps to a place after which it is translated, below `UNIT_HERE`
   * @param maxBytes of modules that are kept
   * @throws KernelError ENOMEM if scratch has no `CODE_CACHE_BYTES`
   */
  constructor(memory: PhysicalMemory, threshold?: number, maxBytes?: number) {
    const { scratch } = memory
    const what = 'the tables of translated code'
    this.memory = memory
    if (scratch.available < CODE_CACHE_BYTES) throw noRoom(scratch, what, CODE_CACHE_BYTES)
    this.pieces = scratchPieces(scratch, what, PIECES)
    const { map, heat, pageHeat, records } = this.pieces
    this.map = new CodeMap(memory, map)
    this.heat = new Heat(memory, heat, pageHeat, threshold)
    this.index = new UnitIndex(this.map, this.heat)
    this.records = new RecordPages(memory, records)
    this.batches = new Batches(maxBytes)
    this.table = new Wasm.Table({ element: 'anyfunc', initial: SLOTS, maximum: SLOTS })
    this.choice = new UnitChoice(new Discovery(this.decodes, new Surveys()), this.heat.places, this.heat.threshold)
    this.imports = {
      memory: memory.memory,
      note: (low: number, high: number, place: number, kind: number) => this.note?.(low, high, place, kind),
    }
    this.enter = this.makeEnter()
    memory.watch.attach(this)
  }

  /** Bytes of the modules that are kept. */
  get bytes(): number {
    return this.batches.bytes
  }

  /** Code at a host address is warm: its page is given records. */
  warm(host: number): void {
    const pfn = Math.floor(host / PAGE_SIZE) as Pfn
    if (!this.records.add(pfn)) return
    this.memory.watch.watch(pfn)
  }

  /** What the interpreters below have in common; they look into the code map wherever they jump to. */
  interpreter(): InterpreterParts {
    if (this.parts === null) {
      const { heat, pieces } = this
      const hooks = {
        map: pieces.map,
        rows: MAP_ROWS,
        rowShift: MAP_ROW_SHIFT,
        heat: pieces.heat,
        counters: COUNTERS,
        threshold: heat.threshold,
        warm: heat.warm,
        entries: pieces.pageHeat,
        warmEntries: heat.warmEntries,
        records: pieces.records,
        noRecords: pieces.noRecords,
      }
      this.parts = { ...interpreterParts(this.memory, hooks), records: this.records }
      this.records.reserve()
    }
    return this.parts
  }

  /** Rows of the code map that lead somewhere. */
  liveRows(): number {
    return this.map.live()
  }

  /** Makes the row of an entry, if the code there is translated. */
  link(host: number): boolean {
    return this.index.link(host)
  }

  /** A run begins whose accesses are told to somebody, or to nobody. */
  follow(note: Note | null): void {
    if ((note === null) !== (this.note === null)) this.clear()
    this.note = note
  }

  /**
   * Whether code that the tier below jumps to is in a unit, though no entry of it. Every loop of a unit has an entry, so the
   * tier below is soon at one; what units jump to is another matter.
   */
  covers(host: number): boolean {
    const by = this.index.covering(host)
    if (by !== undefined) this.choice.cool(by)
    return by !== undefined
  }

  /** Code at a host address is hot. It is translated together with what gets hot soon, the sooner the less there is yet. */
  add(host: number): void {
    if (!this.heat.admits(host)) return
    this.pending.push(host)
    this.age = 0
    if (this.pending.length >= Math.min(MAX_BATCH, 1 + (this.stats.modules >> 3))) this.flush()
  }

  /** A run begins: what is hot does not wait for ever. @param executed instructions since the last one */
  tick(executed: number): void {
    this.heat.tick(executed)
    if (this.pending.length > 0 && ++this.age >= PATIENCE) this.flush()
  }

  /** What does not fit in the batch is for the next one. */
  private flush(): void {
    const hosts = this.pending.filter((host) => !this.index.has(host))
    this.pending = hosts.slice(this.translateBatch(hosts))
  }

  /**
   * Translates the code at host addresses, in as many modules as it takes.
   * @returns how many units that made
   */
  translate(hosts: readonly number[]): number {
    const before = this.stats.units
    for (let at = 0; at < hosts.length;) at += this.translateBatch(hosts.slice(at))
    return this.stats.units - before
  }

  /** Translates the code at the first of the host addresses, in one module. @returns how many of them that were */
  translateBatch(hosts: readonly number[]): number {
    const { memory } = this
    const units: { readonly unit: Unit; readonly pfn: Pfn }[] = []
    let taken = 0
    for (let length = 0; taken < hosts.length && units.length < MAX_BATCH && length < BATCH_INSTRUCTIONS; taken++) {
      const host = hosts[taken] as number
      const pfn = Math.floor(host / PAGE_SIZE) as Pfn
      if (units.some((made) => made.pfn === pfn && made.unit.blockAt[(host % PAGE_SIZE) >> 1] !== -1)) continue
      const unit = this.choice.around(memory.bytes, host, this.index.inFrame(pfn))
      if (unit === null) continue
      units.push({ unit, pfn })
      length += unit.length
    }
    if (units.length === 0) return taken
    const bytes = this.write(units.map(({ unit }) => unit))
    const slot = this.takeSlots(units.length, bytes.length)
    const { exports } = new Wasm.Instance(new Wasm.Module(bytes), { u: this.imports })
    for (const index of units.keys()) this.table.set(slot + index, exports[index])
    const made = units.map(({ unit, pfn }, i) => ({
      pfn,
      slot: slot + i,
      entries: unit.entries.map((block) => pfn * PAGE_SIZE + unit.blocks[block]!.offset),
      blocks: new Set(unit.blocks.map(({ offset }) => pfn * PAGE_SIZE + offset)),
    }))
    this.batches.add({ slot, count: units.length, bytes: bytes.length, units: made })
    this.stats.modules++
    this.stats.bytes += bytes.length
    for (const [i, unit] of made.entries()) {
      this.stats.units++
      this.stats.instructions += units[i]!.unit.length
      this.heat.spend(units[i]!.unit.length)
      this.enlist(unit)
    }
    return taken
  }

  private enlist(unit: TranslatedUnit): void {
    for (const dropped of this.index.add(unit)) this.drop(dropped)
    this.choice.cool(unit)
    this.pending = this.pending.filter((host) => !unit.blocks.has(host))
    this.memory.watch.watch(unit.pfn)
  }

  // Invalidation.

  frameWatched(_pfn: Pfn): void {}

  frameStored(pfn: Pfn): void {
    this.records.drop(pfn)
    for (const unit of this.index.removeFrame(pfn)) this.drop(unit)
  }

  /** Throws all code away. */
  clear(): void {
    while (this.batches.count > 0) this.evictOldest()
  }

  /** A unit that is not in the index any more. */
  private drop(unit: TranslatedUnit): void {
    this.table.set(unit.slot, null)
    this.stats.droppedUnits++
  }

  private evictOldest(): void {
    const batch = this.batches.takeOldest()
    if (batch === undefined) return
    for (const unit of batch.units) if (this.index.remove(unit)) this.drop(unit)
    this.stats.evictedBatches++
  }

  /** Slots in a row for a batch. What stands there, or is too much, makes room. */
  private takeSlots(count: number, bytes: number): number {
    const slot = this.batches.nextSlots(count)
    while (this.batches.inTheWay(slot, count, bytes)) {
      this.evictOldest()
      this.heat.press()
    }
    return slot
  }

  // Modules.

  private write(units: readonly Unit[]): Uint8Array {
    return unitModule(this.builder, units, this.note !== null)
  }

  /** Joins the dispatcher and a hart's interpreter. */
  joinTiers(interpret: Run): Run {
    this.tiers ??= new Wasm.Module(tiersModule())
    const imports = { t: { memory: this.memory.memory, enter: this.enter, interpret } }
    return new Wasm.Instance(this.tiers, imports).exports['run'] as Run
  }

  private makeEnter(): (hart: number, budget: number) => number {
    const imports = { u: { memory: this.memory.memory, table: this.table } }
    const instance = new Wasm.Instance(new Wasm.Module(dispatcherModule(this.map.base)), imports)
    return instance.exports['enter'] as (hart: number, budget: number) => number
  }
}
