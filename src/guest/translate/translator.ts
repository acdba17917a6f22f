/**
 * The translator as an engine: hot code runs as WebAssembly, everything else in the tier below.
 *
 * ```
 *  enter(budget) -> units, from one to the next, until
 *    UNKNOWN  no unit at pc: translated when it is hot
 *    STEP     an instruction for the tier below
 *    ACCESS   an access that the fast TLB does not answer
 *    BUDGET   less is left than the next block needs
 *  then the WebAssembly interpreter, until it reaches an entry of a unit, or hot code, or the budget is spent
 * ```
 *
 * R1 Results are those of the reference interpreter: state, retired instructions, where a budget ends, and every translation
 *    that is asked of the hart's memory.
 * R2 While somebody follows accesses or records stores, the reference interpreter runs.
 */
import { Access } from '../../hardware/index.ts'
import { Cell, type Engine, Exit, type ExitReason, type Hart } from '../hart/index.ts'
import type { HartArea } from '../wasm/hart-area.ts'
import { WasmInterpreter } from '../wasm/interpreter.ts'
import { FOUND_UNIT, HOT_CODE, WARM_CODE } from '../wasm/interpreter-module.ts'
import { Word } from '../wasm/layout.ts'
import type { CodeCache } from './code-cache.ts'
import { ExitCode } from './unit-abi.ts'

const PC_LOW: number = Cell.pc * 2
const PC_HIGH: number = Cell.pc * 2 + 1
const PAGES_PER_HIGH = 0x10_0000
const BUDGET_WORD: number = Word.budget / 4

export class Translator implements Engine {
  static readonly opaque = true
  readonly hart: Hart
  private readonly area: HartArea
  private readonly cache: CodeCache
  private readonly below: WasmInterpreter
  private readonly halves: Int32Array
  private readonly doubles: Float64Array

  /** @param area attached to the TLBs of the hart's memory; the hart's state is in it */
  constructor(hart: Hart, area: HartArea, cache: CodeCache) {
    this.hart = hart
    this.area = area
    this.cache = cache
    this.below = new WasmInterpreter(hart, area, cache.decodes, () => cache.interpreter())
    this.halves = hart.state.halves
    this.doubles = hart.state.doubles
  }

  fenceI(): void {
    this.below.fenceI()
  }

  run(budget: number): ExitReason {
    const { area, below, cache } = this
    if (!below.begin()) return below.byReference(budget)
    cache.tick()
    let left = budget
    while (left > 0) {
      const exit = cache.enter(area.base, left)
      const before = left
      left = this.retire(before)
      if (left === 0) break
      if (exit === ExitCode.STEP) {
        const ended = below.single()
        if (ended !== 0) return ended
        left--
        continue
      }
      if (exit === ExitCode.UNKNOWN && this.find(left < before)) continue
      const reason = below.continue(left) as number
      if (reason !== FOUND_UNIT && reason !== HOT_CODE && reason !== WARM_CODE) return reason as ExitReason
      left = area.i32[BUDGET_WORD] as number
      if (reason === HOT_CODE) this.translateHere()
      else if (reason === WARM_CODE) cache.warm(this.hostOfPc())
    }
    return Exit.INTR
  }

  /** Counts what units have executed. @returns the budget that is left */
  private retire(before: number): number {
    const left = this.area.i32[BUDGET_WORD] as number
    this.doubles[Cell.instret] = (this.doubles[Cell.instret] as number) + (before - left)
    return left
  }

  /**
   * Sees to a row of the code map for pc.
   * @param jumped a unit has led to pc: a run may also begin anywhere, which makes no place hot
   * @returns false if the code there is to be interpreted
   */
  private find(jumped: boolean): boolean {
    const { cache } = this
    const host = this.hostOfPc()
    if (host < 0) return false
    if (cache.link(host)) return true
    if (!jumped || !cache.isHot(host)) return false
    cache.add(host)
    return cache.link(host)
  }

  private translateHere(): void {
    const host = this.hostOfPc()
    if (host >= 0) this.cache.add(host)
  }

  /** Where the code at pc lies, or -1 if its page is not known. */
  private hostOfPc(): number {
    const { area, halves } = this
    const low = halves[PC_LOW] as number
    const page = ((halves[PC_HIGH] as number) >>> 0) * PAGES_PER_HIGH + (low >>> 12)
    if (area.execute.lookup(page) < 0 && area.fill(page, Access.execute) !== true) return -1
    return area.execute.lookup(page) + (low & 0xfff)
  }
}
