/**
 * The engine around the generated interpreter (interpreter-module.ts).
 *
 * R1 To a guest, to the trace and to virtual time there is no difference between this engine and the reference interpreter.
 * R2 While stores are recorded the reference interpreter does everything; if every access has an observer it does so until
 *    the run is long enough to pay for code that tells of its accesses (observation.ts).
 */
import { Wasm } from '../../base/index.ts'
import type { Gvn, WasmModule } from '../../base/index.ts'
import type { Access, PhysicalMemory } from '../../hardware/index.ts'
import { type DecodeCache, type Engine, Exit, type ExitReason, type Hart, Interpreter } from '../hart/index.ts'
import type { HartArea } from './hart-area.ts'
import { FETCH_FRAME, FETCH_PAGE } from './interpreter-emitter.ts'
import { EXPANSIONS_BYTES, interpreterModule } from './interpreter-module.ts'
import { KnownMiss } from './known-miss.ts'
import { Observation } from './observation.ts'
import { scratchPieces } from './scratch-pieces.ts'
import type { UnitHooks } from './unit-hooks.ts'
import { walkModule } from './walk-module.ts'

/** Making observed code takes as long as these, by reference. */
const PATIENCE = 50_000

/** What the interpreters of one memory have in common. */
export interface InterpreterParts {
  /** Compiled from `interpreterModule`; the same, observed, made when it is first asked for. */
  readonly module: WasmModule
  observed(): WasmModule
  /** Compiled from `walkModule` for this memory. */
  readonly walk: WasmModule
  /** Offset in the memory of a table of `EXPANSIONS_BYTES`, zero at first. */
  readonly expansions: number
  /** What changes when records of decoded code are dropped, if there are such. */
  readonly records?: { readonly generation: number }
}

/**
 * Makes them, in the memory's scratch area.
 * @param hooks of the tier above
 * @throws KernelError ENOMEM when the scratch area has no room
 */
export function interpreterParts(memory: PhysicalMemory, hooks: UnitHooks | null = null): InterpreterParts {
  const { expansions } = scratchPieces(memory.scratch, 'the tables of the interpreter', {
    expansions: EXPANSIONS_BYTES,
  })
  const walk = walkModule({ bytes: memory.byteLength, watched: memory.watchOffset })
  let observed: WasmModule | null = null
  return {
    module: new Wasm.Module(interpreterModule(hooks)),
    observed: () => (observed ??= new Wasm.Module(interpreterModule(hooks, true))),
    walk: new Wasm.Module(walk),
    expansions,
  }
}

/** Of interpreter-module.ts: answers the reasons of unit-hooks.ts too, if the module was made with hooks. */
export type Run = (area: number, expansions: number, budget: number) => number

export class WasmInterpreter implements Engine {
  static readonly opaque = true
  readonly hart: Hart
  private readonly area: HartArea
  private readonly memory: KnownMiss
  private readonly reference: Interpreter
  private readonly shared: () => InterpreterParts
  private readonly observation: Observation
  /** Instructions that the reference interpreter executes for an observer before generated code does. */
  private patience: number
  private expansions = 0
  private records: { readonly generation: number } | undefined = undefined
  /** Made at the first run that generated code can do. */
  private generated: Run | null = null
  private observed: Run | null = null
  /** The reference interpreter has run alone since generated code last did. */
  private stale = false

  /**
   * @param area attached to the TLBs of the hart's memory; its state is the hart's
   * @param cache of decoded instructions; harts may share it
   * @param shared what harts of one memory have in common; asked for when it is needed
   * @param patience instructions that the reference interpreter executes for an observer before generated code does
   */
  constructor(
    hart: Hart,
    area: HartArea,
    cache: DecodeCache,
    shared: () => InterpreterParts,
    patience: number = PATIENCE,
  ) {
    this.hart = hart
    this.area = area
    this.memory = new KnownMiss(hart.memory)
    this.reference = new Interpreter(hart, cache, this.memory)
    this.shared = shared
    this.patience = patience
    this.observation = new Observation(hart, area)
  }

  run(budget: number): ExitReason {
    return this.begin() ? this.continue(budget) : this.byReference(budget)
  }

  // For an engine around this one.

  /** Begins a run: pending interrupts, and the rows that are good now. @returns false if `byReference` has to do all of it */
  begin(): boolean {
    const { area, reference } = this
    if (area.memory.recording || (this.hart.observer !== undefined && this.patience > 0)) {
      this.stale = true
      return false
    }
    if (this.stale) {
      // Whoever records may also take stores back: what the TLBs know is then restored behind the listeners' backs.
      area.forget()
      this.stale = false
    }
    reference.begin()
    area.prepare()
    return true
  }

  byReference(budget: number): ExitReason {
    const before = this.hart.instret
    const reason = this.reference.run(budget)
    if (this.hart.observer !== undefined) this.patience -= this.hart.instret - before
    return reason
  }

  /** The generated code, for an engine that goes on with a run that has begun; and its second argument. */
  generatedRun(): { readonly run: Run; readonly expansions: number } {
    const run = this.hart.observer === undefined ? this.plainRun() : this.observedRun()
    return { run, expansions: this.expansions }
  }

  /** What units tell of their accesses when there is an observer. */
  note(low: number, high: number, place: number, kind: number): void {
    this.observation.note(low, high, place, kind)
  }

  /** Generated code has returned: all that it did is told. */
  tell(): void {
    this.observation.tell()
    this.area.settle()
  }

  private continue(budget: number): ExitReason {
    const { area } = this
    const { run, expansions } = this.generatedRun()
    this.forgetFetchPage()
    const reason = run(area.base, expansions, budget)
    this.observation.tell()
    area.settle()
    return reason === 0 ? Exit.INTR : (reason as ExitReason)
  }

  fenceI(): void {
    this.reference.fenceI()
  }

  private forgetFetchPage(): void {
    const { i32 } = this.area
    i32[FETCH_PAGE / 4] = -1
    i32[FETCH_PAGE / 4 + 1] = -1
    i32[FETCH_FRAME / 4] = -1
  }

  private plainRun(): Run {
    return (this.generated ??= this.instantiate(this.shared().module))
  }

  private observedRun(): Run {
    return (this.observed ??= this.instantiate(this.shared().observed()))
  }

  private instantiate(module: WasmModule): Run {
    const { walk, expansions, records } = this.shared()
    const { memory } = this.area.memory
    const note = (low: number, high: number, place: number, kind: number): void =>
      this.observation.note(low, high, place, kind)
    const fill = (page: number, access: Access): number => this.fill(page as Gvn, access)
    const step = (): number => this.step()
    const { refill } = new Wasm.Instance(walk, { umbra: { memory, fill } }).exports
    this.expansions = expansions
    this.records = records
    return new Wasm.Instance(module, { umbra: { memory, refill, step, note } }).exports['run'] as Run
  }

  /** Makes the row of a page. @returns 0 if the access has to be left to the reference */
  private fill(page: Gvn, access: Access): number {
    const { area, memory } = this
    this.observation.tell()
    area.settle()
    const filled = area.fill(page, access)
    if (filled !== 'unknown') return filled ? 1 : 0
    const before = this.records?.generation
    const base = memory.ask(page, access)
    // The walk itself may store, to code even.
    if (this.records?.generation !== before) return 0
    return base >= 0 && area.fillWith(page, access, base) ? 1 : 0
  }

  /** One instruction, with the fetch page of the generated code. @returns 0 to go on, or the reason to leave */
  private step(): ExitReason | 0 {
    const { area, reference } = this
    const { i32 } = area
    this.observation.tell()
    area.settle()
    reference.setFetchPage(
      i32[FETCH_PAGE / 4] as number,
      i32[FETCH_PAGE / 4 + 1] as number,
      i32[FETCH_FRAME / 4] as number,
    )
    const reason = reference.step()
    area.refresh()
    const known = reference.fetchBase >= 0
    i32[FETCH_PAGE / 4] = known ? reference.fetchLow : -1
    i32[FETCH_PAGE / 4 + 1] = known ? reference.fetchHigh : -1
    i32[FETCH_FRAME / 4] = reference.fetchBase
    return reason
  }
}
