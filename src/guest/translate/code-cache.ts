/**
 * Translated code, by the host address of the guest code that it was made from.
 *
 * Code depends on the bytes of its frame and on nothing else: address spaces, fences and remapping leave it alone. Three
 * things are kept apart: translations (the fast TLBs), code by frame (here), and the code map, which leads from the host
 * address of an entry to its function.
 *
 * R1 A frame with code is watched (`StoreWatch`): whoever stores to it drops its units first. No hart has a fast row that
 *    permits stores to it (`HartArea`).
 * R2 A row of the code map is made and removed here, at the place that the entry's address determines: dropping a unit
 *    removes every row that leads to it, and a slot is given out again only after that. So no row is ever stale.
 * R3 Code is thrown away by batches, oldest first, when slots or bytes run out; the more that happens, the hotter code has
 *    to be: what does not stay is not worth its translation.
 * R4 A batch is bounded in instructions: no hart waits longer than for that.
 * R5 Translating must pay: beyond what a program of a few hot loops needs, instructions are translated in proportion to
 *    those that were executed, hottest first. Where everything is equally warm, most of it stays with the tier below.
 */
import { KernelBug, PAGE_SIZE, Wasm } from '../../base/index.ts'
import type { Pfn, WasmModule, WasmTable } from '../../base/index.ts'
import type { PhysicalMemory, StoreWatcher } from '../../hardware/index.ts'
import { DecodeCache } from '../hart/index.ts'
import type { Code } from '../wasm/code.ts'
import { ModuleBuilder } from '../wasm/emit.ts'
import { addToOddBody, fmaBody } from '../wasm/float-functions.ts'
import { type InterpreterParts, type Run, interpreterParts } from '../wasm/interpreter.ts'
import { EXPANSIONS_BYTES } from '../wasm/interpreter-module.ts'
import { NOTE_PARAMETERS } from '../wasm/observation.ts'
import { Type } from '../wasm/opcodes.ts'
import { PAGE_COUNTERS, UNIT_HERE } from '../wasm/unit-hooks.ts'
import { dispatcherModule } from './dispatcher.ts'
import { Discovery } from './discover.ts'
import { RECORD_TABLE_BYTES, RecordPages } from './record-pages.ts'
import { Surveys } from './survey.ts'
import type { Unit } from './unit.ts'
import {
  MAP_BYTES,
  MAP_HOST,
  MAP_ROWS,
  MAP_ROW_SHIFT,
  MAP_TARGET,
  SLOT_SHIFT,
  UNIT_PARAMETERS,
  mapRowOffset,
} from './unit-abi.ts'
import { tiersModule } from './tiers.ts'
import { type Made, UnitChoice } from './unit-choice.ts'
import { needsFloatFunctions } from './unit-floats.ts'
import { UnitWriter } from './unit-writer.ts'

/** Functions that can be live at once. */
const SLOTS = 8192
/** Bytes of modules that are kept; resident they take about twelve times that, machine code in two tiers and all. */
const MAX_BYTES = 3 * 1024 * 1024
/** Times that a place has to get hot at most, however much code was thrown away lately. */
const MAX_LAPS = 64

/** In a row of the code map, instead of a host address. */
const NOWHERE = -1
/** Jumps are counted by the low bits of the host address they go to. */
const COUNTERS = 65536
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
/** Units in a module at most, instructions after which it takes no more units, and runs that hot code waits for company. */
const MAX_BATCH = 16
export const BATCH_INSTRUCTIONS = 200
const PATIENCE = 4
/** Scratch bytes that a code cache takes. */
export const CODE_CACHE_BYTES: number =
  MAP_BYTES + (COUNTERS + PAGE_COUNTERS) * 2 + EXPANSIONS_BYTES + RECORD_TABLE_BYTES + 128

export interface CodeCacheStats {
  units: number
  modules: number
  /** Bytes of modules, in all. */
  bytes: number
  instructions: number
  droppedUnits: number
  evictedBatches: number
}

interface Batch {
  readonly slot: number
  readonly count: number
  readonly bytes: number
  readonly units: readonly TranslatedUnit[]
}

/** A function in the table and the places it can be entered at. */
interface TranslatedUnit extends Made {
  readonly pfn: Pfn
  readonly slot: number
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
  private readonly table: WasmTable
  private readonly map: number
  private readonly rows: Int32Array
  private readonly builder = new ModuleBuilder()
  private readonly choice: UnitChoice
  /** Functions by the host addresses of their entries. */
  private readonly found = new Map<number, { readonly unit: TranslatedUnit; readonly entry: number }>()
  private readonly byFrame = new Map<Pfn, TranslatedUnit[]>()
  private readonly heatTable: number
  private readonly heats: Uint16Array
  private readonly entriesTable: number
  private readonly entries: Uint16Array
  private ticks = 0
  private readonly threshold: number
  private readonly maxBytes: number
  /** Times that a place has got hot, by its counter, and has not been translated. */
  private readonly laps = new Uint8Array(COUNTERS)
  private credit = CREDIT
  /** Batches thrown away for others lately. */
  private pressure = 0
  private parts: InterpreterParts | null = null
  private tiers: WasmModule | null = null
  /** Hot code that is not translated yet, and the runs since the last one was found. */
  private pending: number[] = []
  private age = 0
  private batches: Batch[] = []
  private liveBytes = 0
  private nextSlot = 0
  /** Who follows the accesses of units, or null: units for the one are not those for the other. */
  private note: Note | null = null
  private readonly imports: Record<string, unknown>

  /**
   * @param threshold jumps to a place after which it is translated, below `UNIT_HERE`
   * @param maxBytes of modules that are kept
   * @throws KernelBug if scratch has no `CODE_CACHE_BYTES`
   */
  constructor(memory: PhysicalMemory, threshold: number = DEFAULT_THRESHOLD, maxBytes: number = MAX_BYTES) {
    this.memory = memory
    this.threshold = threshold
    this.maxBytes = maxBytes
    if (memory.scratch.available < CODE_CACHE_BYTES) throw new KernelBug('no room for a code cache')
    this.map = memory.scratch.allocate(MAP_BYTES)
    this.heatTable = memory.scratch.allocate(COUNTERS * 2)
    this.heats = new Uint16Array(memory.memory.buffer, this.heatTable, COUNTERS)
    this.entriesTable = memory.scratch.allocate(PAGE_COUNTERS * 2)
    this.entries = new Uint16Array(memory.memory.buffer, this.entriesTable, PAGE_COUNTERS)
    this.rows = new Int32Array(memory.memory.buffer, this.map, MAP_BYTES / 4)
    // Rows are zero at first, which is an address that only the first one may have.
    this.rows[MAP_HOST >> 2] = NOWHERE
    this.records = new RecordPages(memory)
    this.table = new Wasm.Table({ element: 'anyfunc', initial: SLOTS, maximum: SLOTS })
    this.choice = new UnitChoice(new Discovery(this.decodes, new Surveys()), this.heats, threshold)
    this.imports = {
      memory: memory.memory,
      note: (low: number, high: number, place: number, kind: number) => this.note?.(low, high, place, kind),
    }
    this.enter = this.makeEnter()
    memory.watch.attach(this)
  }

  /** Bytes of the modules that are kept. */
  get bytes(): number {
    return this.liveBytes
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
      const warm = Math.max(1, Math.min(WARM, this.threshold >> 3))
      const hooks = {
        map: this.map,
        rows: MAP_ROWS,
        rowShift: MAP_ROW_SHIFT,
        heat: this.heatTable,
        counters: COUNTERS,
        threshold: this.threshold,
        warm,
        entries: this.entriesTable,
        warmEntries: Math.min(WARM_ENTRIES, warm),
        records: this.records.table,
        noRecords: this.records.none,
      }
      this.parts = { ...interpreterParts(this.memory, hooks), records: this.records }
      this.records.reserve()
    }
    return this.parts
  }

  /** Rows of the code map that lead somewhere. */
  liveRows(): number {
    let live = 0
    for (let at = MAP_HOST >> 2; at < this.rows.length; at += 1 << (MAP_ROW_SHIFT - 2))
      if ((this.rows[at] as number) > 0) live++
    return live
  }

  /** Makes the row of an entry, if the code there is translated. */
  link(host: number): boolean {
    const known = this.found.get(host)
    if (known === undefined) return false
    this.setRow(host, known.unit.slot, known.entry)
    return true
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
    const siblings = this.byFrame.get(Math.floor(host / PAGE_SIZE) as Pfn) ?? []
    const by = siblings.find(({ blocks }) => blocks.has(host))
    if (by !== undefined) this.choice.cool(by)
    return by !== undefined
  }

  /** Code at a host address is hot. It is translated together with what gets hot soon, the sooner the less there is yet. */
  add(host: number): void {
    const counter = (host >>> 1) & (COUNTERS - 1)
    if (this.credit <= 0) {
      this.heats[counter] = 0
      return
    }
    const laps = (this.laps[counter] as number) + 1
    if (laps <= Math.min(this.pressure, MAX_LAPS - 1)) {
      this.laps[counter] = laps
      this.heats[counter] = 0
      return
    }
    this.laps[counter] = 0
    this.pending.push(host)
    this.age = 0
    if (this.pending.length >= Math.min(MAX_BATCH, 1 + (this.stats.modules >> 3))) this.flush()
  }

  /** A run begins: what is hot does not wait for ever. @param executed instructions since the last one */
  tick(executed: number): void {
    this.credit = Math.min(CREDIT, this.credit + executed / (this.threshold * PRICE))
    if (++this.ticks === HALF_LIFE) {
      this.ticks = 0
      this.pressure >>= 1
      for (let at = 0; at < PAGE_COUNTERS; at++) this.entries[at] = (this.entries[at] as number) >> 1
    }
    if (this.pending.length > 0 && ++this.age >= PATIENCE) this.flush()
  }

  /** What does not fit in the batch is for the next one. */
  private flush(): void {
    const hosts = this.pending.filter((host) => !this.found.has(host))
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
      const unit = this.choice.around(memory.bytes, host, this.byFrame.get(pfn) ?? [])
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
    this.batches.push({ slot, count: units.length, bytes: bytes.length, units: made })
    this.liveBytes += bytes.length
    this.stats.modules++
    this.stats.bytes += bytes.length
    for (const [i, unit] of made.entries()) {
      this.stats.units++
      this.stats.instructions += units[i]!.unit.length
      this.credit -= units[i]!.unit.length
      this.enlist(unit)
    }
    return taken
  }

  private enlist(unit: TranslatedUnit): void {
    this.supersede(unit)
    this.choice.cool(unit)
    this.pending = this.pending.filter((host) => !unit.blocks.has(host))
    for (const [i, host] of unit.entries.entries()) {
      // The first entry is why the unit was made; the others may belong to a unit that is better placed.
      if (i > 0 && this.found.has(host)) continue
      this.found.set(host, { unit, entry: i + 1 })
      this.setRow(host, unit.slot, i + 1)
    }
    const siblings = this.byFrame.get(unit.pfn)
    if (siblings !== undefined) siblings.push(unit)
    else this.byFrame.set(unit.pfn, [unit])
    this.memory.watch.watch(unit.pfn)
  }

  /** Drops the units that can be entered nowhere else than this one. */
  private supersede(unit: TranslatedUnit): void {
    const siblings = this.byFrame.get(unit.pfn) ?? []
    const entries = new Set(unit.entries)
    for (const sibling of siblings.filter((other) => other.entries.every((host) => entries.has(host)))) {
      siblings.splice(siblings.indexOf(sibling), 1)
      this.drop(sibling)
    }
  }

  private setRow(host: number, slot: number, entry: number): void {
    const at = mapRowOffset(host) >> 2
    this.rows[at + (MAP_HOST >> 2)] = host
    this.rows[at + (MAP_TARGET >> 2)] = (slot << SLOT_SHIFT) | entry
    this.heats[(host >>> 1) & (COUNTERS - 1)] = UNIT_HERE
  }

  // Invalidation.

  frameWatched(_pfn: Pfn): void {}

  frameStored(pfn: Pfn): void {
    this.records.drop(pfn)
    const units = this.byFrame.get(pfn)
    if (units === undefined) return
    this.byFrame.delete(pfn)
    for (const unit of units) this.drop(unit)
    const first = ((pfn * PAGE_SIZE) >>> 1) & (COUNTERS - 1)
    this.heats.fill(0, first, first + PAGE_SIZE / 2)
  }

  /** Throws all code away. */
  clear(): void {
    while (this.batches.length > 0) this.evictOldest()
  }

  private drop(unit: TranslatedUnit): void {
    for (const host of unit.entries) {
      if (this.found.get(host)?.unit !== unit) continue
      this.found.delete(host)
      this.heats[(host >>> 1) & (COUNTERS - 1)] = 0
      const at = mapRowOffset(host) >> 2
      if (this.rows[at + (MAP_HOST >> 2)] === host) this.rows[at + (MAP_HOST >> 2)] = NOWHERE
    }
    this.table.set(unit.slot, null)
    this.stats.droppedUnits++
  }

  private evictOldest(): void {
    const batch = this.batches.shift()
    if (batch === undefined) return
    for (const unit of batch.units) {
      const siblings = this.byFrame.get(unit.pfn)
      const at = siblings?.indexOf(unit) ?? -1
      if (siblings === undefined || at < 0) continue
      siblings.splice(at, 1)
      if (siblings.length === 0) this.byFrame.delete(unit.pfn)
      this.drop(unit)
    }
    this.liveBytes -= batch.bytes
    this.stats.evictedBatches++
  }

  /** Slots in a row for a batch. What stands there, or is too much, makes room. */
  private takeSlots(count: number, bytes: number): number {
    if (this.nextSlot + count > SLOTS) this.nextSlot = 0
    const slot = this.nextSlot
    this.nextSlot += count
    const overlaps = ({ slot: first, count: size }: Batch): boolean => first < slot + count && first + size > slot
    while (this.batches.length > 0 && (this.liveBytes + bytes > this.maxBytes || this.batches.some(overlaps))) {
      this.evictOldest()
      this.pressure++
    }
    return slot
  }

  // Modules.

  /** A module of functions `0`, `1`, ... */
  private write(units: readonly Unit[]): Uint8Array {
    const { builder } = this
    builder.reset()
    const type = builder.type([Type.i32, Type.i32, Type.i32, Type.i64], [Type.i32])
    const note = this.note === null ? null : builder.importFunction('u', 'note', builder.type(NOTE_PARAMETERS, []))
    builder.importMemory('u', 'memory')
    for (const index of units.keys()) builder.function(type, String(index))
    const { f64 } = Type
    const fused = units.some(needsFloatFunctions)
    const fma = fused ? builder.function(builder.type([f64, f64, f64], [f64])) : -1
    const addToOdd = fused ? builder.function(builder.type([f64, f64], [f64])) : -1
    const write = (parameters: number, body: (code: Code) => void): void => {
      const code = builder.begin(parameters)
      body(code)
      builder.end(code)
    }
    for (const unit of units) {
      write(UNIT_PARAMETERS, (code) => new UnitWriter(code, unit, { fma, addToOdd }, note).write())
    }
    if (fused) {
      write(3, fmaBody)
      write(2, addToOddBody)
    }
    return builder.finish()
  }

  /** Joins the dispatcher and a hart's interpreter. */
  joinTiers(interpret: Run): Run {
    this.tiers ??= new Wasm.Module(tiersModule())
    const imports = { t: { memory: this.memory.memory, enter: this.enter, interpret } }
    return new Wasm.Instance(this.tiers, imports).exports['run'] as Run
  }

  private makeEnter(): (hart: number, budget: number) => number {
    const imports = { u: { memory: this.memory.memory, table: this.table } }
    const instance = new Wasm.Instance(new Wasm.Module(dispatcherModule(this.map)), imports)
    return instance.exports['enter'] as (hart: number, budget: number) => number
  }
}
