/**
 * The translator as an engine: hot code runs as WebAssembly, everything else in the tier below.
 *
 * ```
 *  units, from one to the next (dispatcher.ts), until
 *    UNKNOWN  no unit at pc: translated when it is hot
 *    STEP     an instruction for the tier below
 *    BELOW    an access that the fast TLB does not answer, or a number that is not ordinary
 *    BUDGET   less is left than the next block needs
 *  then the WebAssembly interpreter, until it reaches an entry of a unit (tiers.ts), or warm or hot code, or the budget
 *  is spent
 * ```
 *
 * R1 Results are those of the reference interpreter: state, retired instructions, where a budget ends, and every translation
 *    that is asked of the hart's memory.
 * R2 While somebody records stores, the reference interpreter runs; who follows accesses hears of those of units, too.
 */
import { KernelBug, hex } from '../../base/index.ts'
import { Access } from '../../hardware/index.ts'
import { Cell, type Engine, Exit, type ExitReason, type Hart } from '../hart/index.ts'
import type { HartArea } from '../wasm/hart-area.ts'
import { type Run, WasmInterpreter } from '../wasm/interpreter.ts'
import { FOUND_UNIT, HOT_CODE, LOST_CODE, WARM_CODE } from '../wasm/unit-hooks.ts'
import { Word } from '../wasm/layout.ts'
import type { CodeCache, Note } from './code-cache.ts'
import { INTERPRETED } from './tiers.ts'

const PC_LOW: number = Cell.pc * 2
const PC_HIGH: number = Cell.pc * 2 + 1
const PAGES_PER_HIGH = 0x10_0000
/** Stops for attention in a row before anything is executed: a place gets warm, and hot, and is lost, once each. */
const MOST_IDLE = 8
const BUDGET_WORD: number = Word.budget / 4
const INTERPRETED_WORD: number = INTERPRETED / 4

export class Translator implements Engine {
  static readonly opaque = true
  readonly hart: Hart
  private readonly area: HartArea
  private readonly cache: CodeCache
  private readonly below: WasmInterpreter
  private readonly halves: Int32Array
  /** The loop of the tiers without an observer and with one. */
  private readonly tiers: (Run | null)[] = [null, null]
  private readonly note: Note
  private expansions = 0
  /** Instructions that the hart had retired when the last run began. */
  private executed = 0

  /** @param area attached to the TLBs of the hart's memory; the hart's state is in it; @param patience as `WasmInterpreter` */
  constructor(hart: Hart, area: HartArea, cache: CodeCache, patience?: number) {
    this.hart = hart
    this.area = area
    this.cache = cache
    this.below = new WasmInterpreter(hart, area, cache.decodes, () => cache.interpreter(), patience)
    this.note = (low, high, place, kind) => this.below.note(low, high, place, kind)
    this.halves = hart.state.halves
  }

  fenceI(): void {
    this.below.fenceI()
  }

  run(budget: number): ExitReason {
    const { area, below, cache } = this
    if (!below.begin()) return below.byReference(budget)
    cache.follow(this.hart.observer === undefined ? null : this.note)
    const { instret } = this.hart
    cache.tick(instret - this.executed)
    this.executed = instret
    const run = this.joined()
    let idle = 0
    for (let left = budget; left > 0; left = area.i32[BUDGET_WORD] as number) {
      const reason = run(area.base, this.expansions, left)
      below.tell()
      if (left !== (area.i32[BUDGET_WORD] as number)) idle = 0
      else if (++idle > MOST_IDLE || reason === FOUND_UNIT) this.stuck(reason)
      if (reason === HOT_CODE || reason === WARM_CODE || reason === LOST_CODE) this.attend(reason)
      else return reason === 0 ? Exit.INTR : (reason as ExitReason)
    }
    return Exit.INTR
  }

  /** The tiers hand a place to each other and execute nothing. */
  private stuck(reason: number): never {
    const { cells } = this.hart.state
    const host = this.hostOfPc()
    throw new KernelBug(
      `translator: hart ${this.hart.id} makes no progress at pc ${hex(cells[Cell.pc] as bigint)} (hpa ${hex(host)}): reason ${reason}, ${this.cache.link(host) ? 'a unit is' : 'no unit is'} there`,
    )
  }

  private joined(): Run {
    const observed = this.hart.observer === undefined ? 0 : 1
    const known = this.tiers[observed]
    if (known !== undefined && known !== null) return known
    const { run, expansions } = this.below.generatedRun()
    this.expansions = expansions
    return (this.tiers[observed] = this.cache.joinTiers(run))
  }

  /** The interpreter has stopped before code that wants attention. */
  private attend(reason: number): void {
    const { cache } = this
    const host = this.hostOfPc()
    if (host < 0) return
    if (reason === WARM_CODE) cache.warm(host)
    else if (!cache.link(host) && reason === HOT_CODE && (this.jumped() || !cache.covers(host))) cache.add(host)
  }

  /** Whether a unit has led to where the interpreter has stopped at once. */
  private jumped(): boolean {
    const { i32 } = this.area
    return i32[INTERPRETED_WORD] === i32[BUDGET_WORD]
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
