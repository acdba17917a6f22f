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
 * R3 Code is thrown away by batches, oldest first, when slots or bytes run out.
 */
import { KernelBug, PAGE_SIZE, Wasm } from '../../base/index.ts'
import type { Pfn, WasmTable } from '../../base/index.ts'
import type { PhysicalMemory, StoreWatcher } from '../../hardware/index.ts'
import { DecodeCache } from '../hart/index.ts'
import type { Code } from '../wasm/code.ts'
import { ModuleBuilder } from '../wasm/emit.ts'
import { addToOddBody, fmaBody } from '../wasm/float-functions.ts'
import { type InterpreterParts, interpreterParts } from '../wasm/interpreter.ts'
import { EXPANSIONS_BYTES } from '../wasm/interpreter-module.ts'
import { Type } from '../wasm/opcodes.ts'
import { dispatcherModule } from './dispatcher.ts'
import { Discovery } from './discover.ts'
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
import { type Made, UnitChoice } from './unit-choice.ts'
import { needsFloatFunctions } from './unit-floats.ts'
import { UnitWriter } from './unit-writer.ts'

/** Functions that can be live at once. */
const SLOTS = 8192
/** Bytes of modules that are kept; machine code is about twice that. */
const MAX_BYTES = 12 * 1024 * 1024

/** Jumps are counted by the low bits of the host address they go to. */
const COUNTERS = 65536
/** Jumps to a place after which it is translated: translating costs as much as interpreting some 100,000 instructions. */
const DEFAULT_THRESHOLD = 6000
/** Units in a module at most, and runs that hot code waits for company. */
const MAX_BATCH = 16
const PATIENCE = 4
/** Scratch bytes that a code cache takes. */
export const CODE_CACHE_BYTES: number = MAP_BYTES + COUNTERS * 2 + EXPANSIONS_BYTES

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
  private readonly threshold: number
  private parts: InterpreterParts | null = null
  /** Hot code that is not translated yet, and the runs since the last one was found. */
  private pending: number[] = []
  private age = 0
  private batches: Batch[] = []
  private liveBytes = 0
  private nextSlot = 0
  private readonly imports: Record<string, unknown>

  /** @param threshold jumps to a place after which it is translated. @throws KernelBug if scratch has no `CODE_CACHE_BYTES` */
  constructor(memory: PhysicalMemory, threshold: number = DEFAULT_THRESHOLD) {
    this.memory = memory
    this.threshold = threshold
    if (memory.scratch.available < CODE_CACHE_BYTES) throw new KernelBug('no room for a code cache')
    this.map = memory.scratch.allocate(MAP_BYTES)
    this.heatTable = memory.scratch.allocate(COUNTERS * 2)
    this.heats = new Uint16Array(memory.memory.buffer, this.heatTable, COUNTERS)
    this.rows = new Int32Array(memory.memory.buffer, this.map, MAP_BYTES / 4)
    this.table = new Wasm.Table({ element: 'anyfunc', initial: SLOTS, maximum: SLOTS })
    this.choice = new UnitChoice(new Discovery(this.decodes, new Surveys()), this.heats, threshold)
    this.imports = { memory: memory.memory }
    this.enter = this.makeEnter()
    memory.watch.attach(this)
  }

  /** Bytes of the modules that are kept. */
  get bytes(): number {
    return this.liveBytes
  }

  /** Counts that units have led to code which is no entry of one. @returns whether it is hot by now */
  isHot(host: number): boolean {
    const at = (host >>> 1) & (COUNTERS - 1)
    this.heats[at] = (this.heats[at] as number) + 1
    return this.heats[at] === this.threshold
  }

  /** What the interpreters below have in common; they look into the code map wherever they jump to. */
  interpreter(): InterpreterParts {
    if (this.parts === null) {
      const hooks = {
        map: this.map,
        rows: MAP_ROWS,
        rowShift: MAP_ROW_SHIFT,
        heat: this.heatTable,
        counters: COUNTERS,
        threshold: this.threshold,
      }
      this.parts = interpreterParts(this.memory, hooks)
    }
    return this.parts
  }

  /** Rows of the code map that lead somewhere. */
  liveRows(): number {
    let live = 0
    for (let at = MAP_HOST >> 2; at < this.rows.length; at += 1 << (MAP_ROW_SHIFT - 2)) if (this.rows[at] !== 0) live++
    return live
  }

  /** Makes the row of an entry, if the code there is translated. */
  link(host: number): boolean {
    const known = this.found.get(host)
    if (known === undefined) return false
    this.setRow(host, known.unit.slot, known.entry)
    return true
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
    this.pending.push(host)
    this.age = 0
    if (this.pending.length >= Math.min(MAX_BATCH, 1 + (this.stats.modules >> 3))) this.flush()
  }

  /** A run begins: what is hot does not wait for ever. */
  tick(): void {
    if (this.pending.length > 0 && ++this.age >= PATIENCE) this.flush()
  }

  private flush(): void {
    const hosts = this.pending.filter((host) => !this.found.has(host))
    this.pending = []
    for (let at = 0; at < hosts.length; at += MAX_BATCH) this.translate(hosts.slice(at, at + MAX_BATCH))
  }

  /**
   * Translates the code at host addresses, in one module.
   * @returns how many of them are units now
   */
  translate(hosts: readonly number[]): number {
    const { memory } = this
    const units: { readonly unit: Unit; readonly pfn: Pfn }[] = []
    for (const host of hosts) {
      const pfn = Math.floor(host / PAGE_SIZE) as Pfn
      if (units.some((made) => made.pfn === pfn && made.unit.blockAt[(host % PAGE_SIZE) >> 1] !== -1)) continue
      const unit = this.choice.around(memory.bytes, host, this.byFrame.get(pfn) ?? [])
      if (unit !== null) units.push({ unit, pfn })
    }
    if (units.length === 0) return 0
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
      this.enlist(unit)
    }
    return units.length
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
  }

  // Invalidation.

  frameWatched(_pfn: Pfn): void {}

  frameStored(pfn: Pfn): void {
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
      const at = mapRowOffset(host) >> 2
      if (this.rows[at + (MAP_HOST >> 2)] === host) this.rows[at + (MAP_HOST >> 2)] = 0
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
    while (this.batches.length > 0 && (this.liveBytes + bytes > MAX_BYTES || this.batches.some(overlaps))) {
      this.evictOldest()
    }
    return slot
  }

  // Modules.

  /** A module of functions `0`, `1`, ... */
  private write(units: readonly Unit[]): Uint8Array {
    const { builder } = this
    builder.reset()
    const type = builder.type([Type.i32, Type.i32, Type.i32, Type.i64], [Type.i32])
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
      write(UNIT_PARAMETERS, (code) => new UnitWriter(code, unit, { fma, addToOdd }).write())
    }
    if (fused) {
      write(3, fmaBody)
      write(2, addToOddBody)
    }
    return builder.finish()
  }

  private makeEnter(): (hart: number, budget: number) => number {
    const imports = { u: { memory: this.memory.memory, table: this.table } }
    const instance = new Wasm.Instance(new Wasm.Module(dispatcherModule(this.map)), imports)
    return instance.exports['enter'] as (hart: number, budget: number) => number
  }
}
