/**
 * The translator as an engine: hot code runs as WebAssembly, everything else in the tier below.
 *
 * ```
 *  enter(budget) -> units, from one to the next, until
 *    UNKNOWN  no unit at pc: interpreted to the next transfer of control, or translated when it is hot
 *    STEP     one instruction for the tier below
 *    MISS     an access that traps or needs the host
 *    BUDGET   less is left than the next block needs: the tier below finishes exactly
 * ```
 *
 * R1 Results are those of the reference interpreter: state, retired instructions, where a budget ends, and every translation
 *    that is asked of the hart's memory.
 * R2 While somebody follows accesses or records stores, the reference interpreter runs.
 */
import type { Gvn, Hpa } from '../../base/index.ts'
import { Access } from '../../hardware/index.ts'
import type { Decoded } from '../isa/index.ts'
import { type AccessSize, isShort } from '../isa/index.ts'
import { Cell, type Engine, Exit, type ExitReason, type Hart, type HartMemory } from '../hart/index.ts'
import type { HartArea } from '../wasm/hart-area.ts'
import { Word } from '../wasm/layout.ts'
import type { CodeCache } from './code-cache.ts'
import { TierBelow } from './tier-below.ts'
import { ExitCode } from './unit-abi.ts'

const PC_LOW: number = Cell.pc * 2
const PC_HIGH: number = Cell.pc * 2 + 1
const PAGES_PER_HIGH = 0x10_0000
const BUDGET_WORD: number = Word.budget / 4
const MISSED = -1
const FOR_THE_TIER_BELOW = -2

export interface TranslatorOptions {
  /** How often code is reached before it is translated. Default 40. */
  readonly threshold?: number
}

export class Translator implements Engine {
  readonly hart: Hart
  private readonly area: HartArea
  private readonly cache: CodeCache
  private readonly memory: HartMemory
  private readonly below: TierBelow
  private readonly halves: Int32Array
  private readonly doubles: Float64Array
  private readonly threshold: number
  /** The access behind the last MISS. */
  private missedKind = 0
  private readonly refill = (low: number, high: number, kind: number): number => this.translateAccess(low, high, kind)

  /** @param hart with its state in the area, which follows the TLBs of its memory */
  constructor(hart: Hart, area: HartArea, cache: CodeCache, options: TranslatorOptions = {}) {
    this.hart = hart
    this.area = area
    this.cache = cache
    this.memory = hart.memory
    this.below = new TierBelow(hart, cache.decodes)
    this.halves = hart.state.halves
    this.doubles = hart.state.doubles
    this.threshold = options.threshold ?? 40
    cache.addArea(area)
  }

  fenceI(): void {
    this.below.fenceI()
  }

  run(budget: number): ExitReason {
    const { area, below, cache, doubles, hart } = this
    if (hart.observer !== undefined || cache.memory.recording) {
      // Whoever records may also take stores back, and with them what the TLBs know.
      area.forget()
      return below.run(budget)
    }
    const interrupt = hart.takeableInterrupt()
    if (interrupt !== 0) hart.interrupt(interrupt)
    cache.refill = this.refill
    area.prepare()
    let left = budget
    while (left > 0) {
      const exit = cache.enter(area.base, left)
      const rest = area.i32[BUDGET_WORD] as number
      doubles[Cell.instret] = (doubles[Cell.instret] as number) + (left - rest)
      left = rest
      if (left === 0) break
      let reason: ExitReason = Exit.INTR
      if (exit === ExitCode.BUDGET) return below.run(left)
      if (exit === ExitCode.STEP) {
        reason = below.run(1)
        left--
      } else if (exit === ExitCode.MISS) {
        const size = (this.missedKind >> 2) as AccessSize
        const ended = below.finishMiss(this.decodeAtPc(), size, (this.missedKind & 2) !== 0, (this.missedKind & 1) !== 0)
        if (ended !== null) return ended
        left--
      } else if (!this.find()) {
        left = this.interpret(left)
        reason = this.reason
      }
      if (reason !== Exit.INTR) return reason
      area.refresh()
    }
    return Exit.INTR
  }

  /** Why `interpret` ended. */
  private reason: ExitReason = Exit.INTR

  /** To the next transfer of control. @returns the budget that is left */
  private interpret(budget: number): number {
    const { below, halves } = this
    let left = budget
    while (left > 0) {
      const before = halves[PC_LOW] as number
      this.reason = below.run(1)
      left--
      const distance = ((halves[PC_LOW] as number) - before) | 0
      if (this.reason !== Exit.INTR || (distance !== 2 && distance !== 4)) break
    }
    return left
  }

  /** Sees to a row of the code map for pc. @returns false if the code there is to be interpreted */
  private find(): boolean {
    const { cache } = this
    const host = this.hostOfPc()
    if (host < 0) return false
    if (cache.link(host)) return true
    if (cache.heat(host) < this.threshold) return false
    return cache.translate([host]) > 0
  }

  /** Where the code at pc lies, or -1 if its page is not known. */
  private hostOfPc(): number {
    const { area, halves } = this
    const low = halves[PC_LOW] as number
    const page = ((halves[PC_HIGH] as number) >>> 0) * PAGES_PER_HIGH + (low >>> 12)
    if (area.execute.lookup(page) < 0 && !area.fill(page, Access.execute)) return -1
    return area.execute.lookup(page) + (low & 0xfff)
  }

  /** The instruction at pc, which lies in one page. */
  private decodeAtPc(): Decoded {
    const { decodes, memory } = this.cache
    const host = this.hostOfPc()
    const half = memory.read16(host as Hpa)
    return isShort(half) ? decodes.short(half) : decodes.long(half | (memory.read16((host + 2) as Hpa) << 16))
  }

  /** @returns the host address, or what is negative: the unit is left */
  private translateAccess(low: number, high: number, kind: number): number {
    const { area, cache, memory } = this
    const size = kind >> 2
    if ((low & (size - 1)) !== 0) return FOR_THE_TIER_BELOW
    const page = ((high >>> 0) * PAGES_PER_HIGH + (low >>> 12)) as Gvn
    const { generation } = cache
    const store = (kind & 1) !== 0
    const access = store ? Access.write : Access.read
    if (!area.fill(page, access)) {
      const base = store ? memory.translateWrite(page) : memory.translateRead(page)
      if (base < 0) {
        this.missedKind = kind
        return MISSED
      }
      // A store that somebody must hear of, or code that the walk itself has stored to.
      if (!area.fill(page, access) || cache.generation !== generation) return FOR_THE_TIER_BELOW
    }
    return (store ? area.write : area.read).lookup(page) + (low & 0xfff)
  }
}
