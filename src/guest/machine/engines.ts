/**
 * The engines that can execute a machine's harts, by name, and the tables they need.
 *
 * R1 Which engine runs is no part of what a run computes: same trace, same virtual time, same memory.
 * R2 Registers live in the hart's area from the start if there is room for it, so that an engine can be changed at any
 *    boundary of a quantum.
 */
import { KernelError, PAGE_SIZE } from '../../base/index.ts'
import { TLB_DEFAULT_ENTRIES, TLB_WORDS_PER_ENTRY } from '../../hardware/index.ts'
import type { PhysicalMemory, TlbOptions } from '../../hardware/index.ts'
import type { Vcpu } from '../../mmu/index.ts'
import { DecodeCache, type Engine, type Hart, type HartState, Interpreter } from '../hart/index.ts'
import { EXPANSIONS_BYTES, HART_AREA_BYTES, HartArea, WasmInterpreter, interpreterParts } from '../wasm/index.ts'
import type { InterpreterParts } from '../wasm/index.ts'
import { CODE_CACHE_BYTES, CodeCache, Translator } from '../translate/index.ts'

/** From the slowest, which every other one is checked against, to the fastest. */
export const ENGINE_NAMES = ['reference', 'interpreter', 'translator'] as const
export type EngineName = (typeof ENGINE_NAMES)[number]
export const DEFAULT_ENGINE: EngineName = 'translator'

const MOST_TLB_ENTRIES = 16384
const TLB_WAYS = 4

/** As many entries as the guest has pages, in limits; a page and its frame have an entry each, often in one set. */
function tlbEntries(memory: number): number {
  let entries = TLB_DEFAULT_ENTRIES
  while (entries < memory / PAGE_SIZE && entries < MOST_TLB_ENTRIES) entries *= 2
  return entries
}

/** Bytes of the TLBs of a hart. */
const tlbBytes = (memory: number): number => 3 * tlbEntries(memory) * TLB_WORDS_PER_ENTRY * 4

/**
 * Scratch bytes that a kernel needs for machines of so many harts each.
 * @param memory bytes of RAM of each: with room for their TLBs too, generated code resolves misses by itself
 */
export function engineBytes(harts: readonly number[], memory: readonly number[] = []): number {
  const tlbs = memory.map((bytes, index) => (harts[index] ?? 0) * tlbBytes(bytes))
  const areas = harts.map((count) => count * HART_AREA_BYTES)
  return [...areas, ...tlbs].reduce((sum, bytes) => sum + bytes, EXPANSIONS_BYTES + CODE_CACHE_BYTES)
}

const SHARED = 'interpreter'
const CODE = 'translator'

export interface TranslationOptions {
  /** Jumps to a place after which it is translated. */
  readonly threshold?: number | undefined
  /** Bytes of translated modules that are kept at most. */
  readonly codeBytes?: number | undefined
}

export class Engines {
  static readonly opaque = true
  private readonly memory: PhysicalMemory
  private readonly areas: HartArea[] = []
  /** Pieces of scratch with TLBs. */
  private readonly tlbs: number[] = []
  private readonly cache = new DecodeCache()
  private readonly options: TranslationOptions

  /** @param options the first machine's count for all */
  constructor(memory: PhysicalMemory, harts: number, options: TranslationOptions = {}) {
    this.memory = memory
    this.options = options
    const shared = memory.scratch.shared.has(SHARED) ? 0 : EXPANSIONS_BYTES
    if (memory.scratch.available < shared + harts * HART_AREA_BYTES) return
    for (let hart = 0; hart < harts; hart++) this.areas.push(new HartArea(memory))
  }

  /** The fastest that there is room for. */
  get fastest(): EngineName {
    if (this.areas.length === 0) return 'reference'
    const { scratch } = this.memory
    return scratch.shared.has(CODE) || scratch.available >= CODE_CACHE_BYTES ? DEFAULT_ENGINE : 'interpreter'
  }

  /** The TLBs for a hart of a guest with so much memory: beside its tables, if nothing else needs the room. */
  tlbOf(hart: number, memory: number): TlbOptions {
    const { scratch } = this.memory
    const options = { entries: tlbEntries(memory), ways: TLB_WAYS }
    const code = scratch.shared.has(CODE) ? 0 : CODE_CACHE_BYTES
    const interpreter = scratch.shared.has(SHARED) ? 0 : EXPANSIONS_BYTES
    const needed = tlbBytes(memory)
    if (this.areas[hart] === undefined || scratch.available < needed + code + interpreter) return options
    const offset = scratch.allocate(needed)
    if (offset < 0) return options
    this.tlbs.push(offset)
    return { ...options, buffer: this.memory.memory.buffer, offset }
  }

  /** Where a hart's registers live; undefined for memory of their own. */
  stateOf(hart: number): HartState | undefined {
    return this.areas[hart]?.state
  }

  /**
   * An engine for a hart whose memory is a vCPU's.
   * @throws KernelError ENOMEM when the kernel's scratch area is too small for the tables of a fast engine
   */
  create(name: EngineName, hart: Hart, vcpu: Vcpu): Engine {
    const area = this.areas[hart.id]
    if (name === 'reference') {
      area?.detach()
      return new Interpreter(hart, this.cache)
    }
    if (area === undefined) {
      throw new KernelError(
        'ENOMEM',
        `engine ${name}: no room for its tables (${HART_AREA_BYTES} bytes a hart): give the kernel more frames or scratchBytes, or take engine reference`,
      )
    }
    const code = name === 'translator' ? this.codeCache() : null
    area.attach(vcpu, hart.reservations, hart.id)
    if (code !== null) return new Translator(hart, area, code, this.options.threshold)
    return new WasmInterpreter(hart, area, this.cache, () => this.shared(), this.options.threshold)
  }

  release(): void {
    for (const area of this.areas) area.release()
    this.areas.length = 0
    for (const offset of this.tlbs) this.memory.scratch.release(offset)
    this.tlbs.length = 0
  }

  /** Translated code of all machines over one memory. */
  private codeCache(): CodeCache {
    const { scratch } = this.memory
    const known = scratch.shared.get(CODE) as CodeCache | undefined
    if (known !== undefined) return known
    if (scratch.available < CODE_CACHE_BYTES) {
      throw new KernelError(
        'ENOMEM',
        `engine translator: no room for translated code (${CODE_CACHE_BYTES} bytes): give the kernel more frames or scratchBytes, or take engine interpreter`,
      )
    }
    const cache = new CodeCache(this.memory, this.options.threshold, this.options.codeBytes)
    scratch.shared.set(CODE, cache)
    return cache
  }

  /** What all machines over one memory share; made once. */
  private shared(): InterpreterParts {
    const { scratch } = this.memory
    const known = scratch.shared.get(SHARED) as InterpreterParts | undefined
    if (known !== undefined) return known
    const shared = interpreterParts(this.memory)
    scratch.shared.set(SHARED, shared)
    return shared
  }
}
