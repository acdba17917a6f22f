/** The arena in physical memory, behind TLBs: what engines with fast TLBs need. */
import type { Gvn, Pfn } from '../../../../src/base/index.ts'
import { Access, PhysicalMemory, TlbSet } from '../../../../src/hardware/index.ts'
import {
  DecodeCache,
  type Engine,
  EXPANSIONS_BYTES,
  HART_AREA_BYTES,
  HartArea,
  type Hart,
  type InterpreterParts,
  interpreterModule,
  type TranslationSource,
  WasmInterpreter,
} from '../../../../src/guest/index.ts'
import { Wasm } from '../../../../src/base/index.ts'
import { FlatBytes } from '../flat-memory.ts'
import { ARENA_BYTES } from './arena.ts'
import { OurSide } from './ours.ts'
import { PagedMemory } from './paged-memory.ts'

/** Few entries, so that they make room for each other. */
const ENTRIES = 8

export class CachedMemory extends PagedMemory implements TranslationSource {
  readonly storage: PhysicalMemory
  readonly tlb: TlbSet = new TlbSet({ entries: ENTRIES })
  private readonly satps: bigint[] = []

  constructor() {
    const physical = new PhysicalMemory(ARENA_BYTES / 4096, { scratchBytes: HART_AREA_BYTES + EXPANSIONS_BYTES })
    super(new FlatBytes(ARENA_BYTES, physical.memory.buffer))
    this.storage = physical
  }

  override sfenceVma(): void {
    this.tlb.flushAll()
  }
  override translateFetch(page: Gvn): number {
    return this.through(page, Access.execute, (wanted) => super.translateFetch(wanted))
  }
  override translateRead(page: Gvn): number {
    return this.through(page, Access.read, (wanted) => super.translateRead(wanted))
  }
  override translateWrite(page: Gvn): number {
    return this.through(page, Access.write, (wanted) => super.translateWrite(wanted))
  }

  known(page: number, access: Access): number {
    const tlb = this.tlb.forAccess(access)
    const hit = tlb.lookup(page, 0, 0, this.contextKey())
    return hit < 0 ? -1 : tlb.pfnAt(hit) * 4096
  }

  contextKey(): number {
    if (!this.satps.includes(this.satp)) this.satps.push(this.satp)
    return this.satps.indexOf(this.satp) * 8 + this.context
  }

  private through(page: Gvn, access: Access, walk: (page: Gvn) => number): number {
    const known = this.known(page, access)
    if (known >= 0) return known
    const base = walk(page)
    if (base >= 0) this.tlb.forAccess(access).fill(page, 0, 0, this.contextKey(), false, (base / 4096) as Pfn, page)
    return base
  }
}

/** Cases on a fast engine. */
export function fastSide(template: Uint8Array, wrap: (engine: Engine) => Engine = (engine) => engine): OurSide {
  const memory = new CachedMemory()
  const area = new HartArea(memory.storage)
  const parts: InterpreterParts = {
    module: new Wasm.Module(interpreterModule()),
    expansions: memory.storage.scratch.allocate(EXPANSIONS_BYTES),
  }
  const make = (hart: Hart): Engine => {
    area.attach(memory, hart.reservations, hart.id)
    return wrap(new WasmInterpreter(hart, area, new DecodeCache(), () => parts))
  }
  return new OurSide(template, make, memory, area.state)
}
