/** Flat memory behind TLBs, and an engine with fast TLBs on it. */
import type { Gvn, Pfn } from '../../../src/base/index.ts'
import { Access, PhysicalMemory, TlbSet } from '../../../src/hardware/index.ts'
import {
  CODE_CACHE_BYTES,
  CodeCache,
  EXPANSIONS_BYTES,
  HART_AREA_BYTES,
  HartArea,
  Hart,
  DecodeCache,
  interpreterParts,
  ReservationTable,
  type TranslationSource,
  Translator,
  WasmInterpreter,
} from '../../../src/guest/index.ts'
import { FlatBytes, FlatMemory } from '../hart/flat-memory.ts'
import type { Bench } from './program.ts'

class CachedFlatMemory extends FlatMemory implements TranslationSource {
  readonly storage: PhysicalMemory
  readonly tlb: TlbSet = new TlbSet({ entries: 64 })

  constructor(base: number, size: number) {
    const storage = new PhysicalMemory(size / 4096, {
      scratchBytes: HART_AREA_BYTES + CODE_CACHE_BYTES + EXPANSIONS_BYTES,
    })
    super(base, size, new FlatBytes(size, storage.memory.buffer))
    this.storage = storage
  }

  override translateFetch(page: Gvn): number {
    return this.through(page, Access.execute, super.translateFetch(page))
  }
  override translateRead(page: Gvn): number {
    return this.through(page, Access.read, super.translateRead(page))
  }
  override translateWrite(page: Gvn): number {
    return this.through(page, Access.write, super.translateWrite(page))
  }

  planWalk(): void {}
  adoptEntry(): void {}

  known(page: number, access: Access): number {
    const tlb = this.tlb.forAccess(access)
    const hit = tlb.lookup(page, 0, 0, 0)
    return hit < 0 ? -1 : tlb.pfnAt(hit) * 4096
  }

  contextKey(): number {
    return 0
  }

  private through(page: Gvn, access: Access, base: number): number {
    if (base >= 0 && this.known(page, access) < 0) {
      this.tlb.forAccess(access).fill(page, 0, 0, 0, false, (base / 4096) as Pfn, page)
    }
    return base
  }
}

/** A hart whose registers and fast TLBs generated code has. */
function areaOn(memory: CachedFlatMemory): { readonly area: HartArea; readonly hart: Hart } {
  const area = new HartArea(memory.storage)
  const hart = new Hart({ id: 0, memory, state: area.state, reservations: new ReservationTable(1) })
  area.attach(memory, hart.reservations, 0)
  return { area, hart }
}

/** The translator, with a threshold that one round of a loop reaches. */
export function translatorBench(base: number, size: number): Bench {
  const memory = new CachedFlatMemory(base, size)
  const { area, hart } = areaOn(memory)
  return { memory, engine: new Translator(hart, area, new CodeCache(memory.storage, 1)) }
}

/** The WebAssembly interpreter on a memory of that size. */
export function wasmBench(base: number, size: number): Bench {
  const memory = new CachedFlatMemory(base, size)
  const { area, hart } = areaOn(memory)
  const parts = interpreterParts(memory.storage)
  return { memory, engine: new WasmInterpreter(hart, area, new DecodeCache(), () => parts) }
}
