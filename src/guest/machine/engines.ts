/**
 * The engines that can execute a machine's harts, by name, and the tables they need.
 *
 * R1 Which engine runs is no part of what a run computes: same trace, same virtual time, same memory.
 * R2 Registers live in the hart's area from the start if there is room for it, so that an engine can be changed at any
 *    boundary of a quantum.
 */
import { KernelError, Wasm } from '../../base/index.ts'
import type { WasmModule } from '../../base/index.ts'
import type { PhysicalMemory } from '../../hardware/index.ts'
import type { Vcpu } from '../../mmu/index.ts'
import { DecodeCache, type Engine, type Hart, type HartState, Interpreter } from '../hart/index.ts'
import { EXPANSIONS_BYTES, HART_AREA_BYTES, HartArea, WasmInterpreter, interpreterModule } from '../wasm/index.ts'
import type { InterpreterParts } from '../wasm/index.ts'
import { CODE_CACHE_BYTES, CodeCache, Translator } from '../translate/index.ts'

/** From the slowest, which every other one is checked against, to the fastest. */
export const ENGINE_NAMES = ['reference', 'interpreter', 'translator'] as const
export type EngineName = (typeof ENGINE_NAMES)[number]
export const DEFAULT_ENGINE: EngineName = 'translator'

/** Scratch bytes that a kernel needs for machines of so many harts each. */
export function engineBytes(harts: readonly number[]): number {
  return harts.reduce((sum, count) => sum + count * HART_AREA_BYTES, EXPANSIONS_BYTES + CODE_CACHE_BYTES)
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
    let observed: WasmModule | null = null
    const shared = {
      module: new Wasm.Module(interpreterModule()),
      observed: () => (observed ??= new Wasm.Module(interpreterModule(null, true))),
      expansions: scratch.allocate(EXPANSIONS_BYTES),
    }
    scratch.shared.set(SHARED, shared)
    return shared
  }
}
