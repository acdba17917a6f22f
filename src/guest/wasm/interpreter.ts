/**
 * The engine around the generated interpreter (interpreter-module.ts).
 *
 * R1 To a guest, to the trace and to virtual time there is no difference between this engine and the reference interpreter.
 * R2 When every access has an observer, or stores are recorded, the reference interpreter does everything.
 */
import { Wasm } from '../../base/index.ts'
import type { WasmModule } from '../../base/index.ts'
import type { Access } from '../../hardware/index.ts'
import { type Engine, Exit, type ExitReason, type Hart, Interpreter } from '../hart/index.ts'
import type { HartArea } from './hart-area.ts'
import { FETCH_FRAME, FETCH_PAGE } from './interpreter-module.ts'

type Run = (area: number, expansions: number, budget: number) => number

export class WasmInterpreter implements Engine {
  static readonly opaque = true
  readonly hart: Hart
  private readonly area: HartArea
  private readonly reference: Interpreter
  private readonly expansions: number
  private readonly generated: Run

  /**
   * @param area attached to the TLBs of the hart's memory; its state is the hart's
   * @param module compiled from `interpreterModule`
   * @param expansions offset of a zeroed table of `EXPANSIONS_BYTES` in the memory; harts may share it
   */
  constructor(hart: Hart, area: HartArea, module: WasmModule, expansions: number, reference: Interpreter) {
    this.hart = hart
    this.area = area
    this.reference = reference
    this.expansions = expansions
    const { memory } = area.memory
    const fill = (page: number, access: Access): number => (this.area.fill(page, access) ? 1 : 0)
    const step = (): number => this.step()
    const instance = new Wasm.Instance(module, { umbra: { memory, fill, step } })
    this.generated = instance.exports['run'] as Run
  }

  run(budget: number): ExitReason {
    const { area, reference } = this
    if (this.hart.observer !== undefined || area.memory.recording) {
      // Whoever records may also take stores back: what the TLBs know is restored behind the listeners' backs.
      area.forget()
      return reference.run(budget)
    }
    reference.begin()
    area.prepare()
    area.i32[FETCH_PAGE / 4] = -1
    area.i32[FETCH_PAGE / 4 + 1] = -1
    area.i32[FETCH_FRAME / 4] = -1
    const reason = this.generated(area.base, this.expansions, budget)
    return reason === 0 ? Exit.INTR : (reason as ExitReason)
  }

  fenceI(): void {
    this.reference.fenceI()
  }

  /** One instruction, with the fetch page of the generated code. @returns 0 to go on, or the reason to leave */
  private step(): number {
    const { area, reference } = this
    const { i32 } = area
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
