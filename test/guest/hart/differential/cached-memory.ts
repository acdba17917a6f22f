/** The arena in physical memory, behind TLBs: what engines with fast TLBs need. */
import type { Gvn, Pfn } from '../../../../src/base/index.ts'
import { Access, PhysicalMemory, TlbSet } from '../../../../src/hardware/index.ts'
import {
  CODE_CACHE_BYTES,
  CodeCache,
  DecodeCache,
  type Engine,
  Exit,
  type ExitReason,
  EXPANSIONS_BYTES,
  HART_AREA_BYTES,
  HartArea,
  type Hart,
  interpreterParts,
  type TranslationSource,
  Translator,
  WasmInterpreter,
} from '../../../../src/guest/index.ts'
import { ARENA, ARENA_BYTES } from './arena.ts'
import { CODE_BYTES } from './case.ts'
import { OurSide } from './ours.ts'
import { PagedMemory } from './paged-memory.ts'

/** Few entries, so that they make room for each other. */
const ENTRIES = 8
/** Frame 0 is nobody's, as in the kernel. */
const BASE = 4096
/** Instructions: about a block. */
const PIECE = 5

export class CachedMemory extends PagedMemory implements TranslationSource {
  readonly storage: PhysicalMemory
  readonly tlb: TlbSet = new TlbSet({ entries: ENTRIES })
  private readonly satps: bigint[] = []

  constructor() {
    const scratchBytes = HART_AREA_BYTES + EXPANSIONS_BYTES + CODE_CACHE_BYTES
    const physical = new PhysicalMemory((BASE + ARENA_BYTES) / 4096, { scratchBytes })
    super(physical, BASE)
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

  planWalk(): void {}
  adoptEntry(): void {}

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

/** Cases on the generated interpreter. */
export function interpreterSide(template: Uint8Array, wrap: (engine: Engine) => Engine = (engine) => engine): OurSide {
  const memory = new CachedMemory()
  const area = new HartArea(memory.storage)
  const parts = interpreterParts(memory.storage)
  const make = (hart: Hart): Engine => {
    area.attach(memory, hart.reservations, hart.id)
    return wrap(new WasmInterpreter(hart, area, new DecodeCache(), () => parts))
  }
  return new OurSide(template, make, memory, area.state)
}

/**
 * Cases on the translator.
 * @param threshold jumps to a place after which it is translated; at 1, all of a case is translated before it runs
 */
export function translatorSide(template: Uint8Array, threshold?: number): OurSide {
  const memory = new CachedMemory()
  const area = new HartArea(memory.storage)
  const cache = new CodeCache(memory.storage, threshold)
  const make = (hart: Hart): Engine => {
    area.attach(memory, hart.reservations, hart.id)
    const engine = new Translator(hart, area, cache)
    const ahead = (budget: number): ExitReason => {
      translateAhead(cache, memory.base + Number(hart.pc) - ARENA)
      let reason: ExitReason = Exit.INTR
      // In pieces: a run begins in translated code wherever it is an entry, and ends before a block that is too long.
      for (let left = budget; left > 0 && reason === Exit.INTR; left -= PIECE) {
        reason = engine.run(Math.min(left, PIECE))
      }
      return reason
    }
    const run = threshold === 1 ? ahead : (budget: number): ExitReason => engine.run(budget)
    return { hart, run, fenceI: () => engine.fenceI() }
  }
  return new OurSide(template, make, memory, area.state)
}

/** The first places of a program, and of the page behind it, from which code can be translated. */
function translateAhead(cache: CodeCache, entry: number): void {
  const next = entry - (entry % 4096) + 4096
  for (const start of entry + CODE_BYTES > next ? [entry, next] : [entry]) {
    for (let at = start; at < start + 32 && cache.translate([at]) === 0; at += 2);
  }
}
