/**
 * Where units run: in this thread, or in a pool of worker threads.
 *
 * R1 Both give the same results; a pool gives them in another order.
 */
import { Piscina } from 'piscina'
import type { Scenario, SearchConfig, SearchOptions, Unit, UnitResult } from '../check/index.ts'
import type { SharedWords } from './check-budget.ts'
import type { WorkerSetup } from './check-worker.ts'
import { runUnitOn } from './prover.ts'

export interface UnitPool {
  /** Units that run at the same time. */
  readonly size: number
  /** @throws when the thread of the unit died */
  run(unit: Unit): Promise<UnitResult>
  close(): Promise<void>
}

/** Told what goes on in this thread. */
export type Watchers = Required<Pick<SearchOptions, 'onRun' | 'onStates'>>

export class LocalPool implements UnitPool {
  readonly size = 1
  private readonly scenarios: ReadonlyMap<string, Scenario>
  private readonly config: SearchConfig
  private readonly stop: () => boolean
  private readonly watchers: Watchers

  constructor(scenarios: readonly Scenario[], config: SearchConfig, stop: () => boolean, watchers: Watchers) {
    this.scenarios = new Map(scenarios.map((scenario) => [scenario.name, scenario]))
    this.config = config
    this.stop = stop
    this.watchers = watchers
  }

  run(unit: Unit): Promise<UnitResult> {
    const scenario = this.scenarios.get(unit.scenario)!
    return runUnitOn(scenario, unit, this.config, { stop: this.stop, ...this.watchers })
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

export class ThreadPool implements UnitPool {
  readonly size: number
  private readonly piscina: Piscina<Unit, UnitResult>

  constructor(size: number, config: SearchConfig, { buffer, memory }: SharedWords) {
    this.size = size
    const workerData: WorkerSetup = { config, buffer, memory }
    this.piscina = new Piscina({
      filename: new URL('check-worker.js', import.meta.url).href,
      minThreads: size,
      maxThreads: size,
      workerData,
    })
  }

  run(unit: Unit): Promise<UnitResult> {
    return this.piscina.run(unit)
  }

  async close(): Promise<void> {
    await this.piscina.destroy()
  }
}
