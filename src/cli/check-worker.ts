/** A thread of `umbra check --workers`: runs units, each by itself. */
import type { SearchConfig, Unit, UnitResult } from '../check/index.ts'
import { workerData } from 'piscina'
import { SharedWords, StateCount } from './check-budget.ts'
import { runUnitOn } from './prover.ts'
import { scenarioNamed } from './scenario-names.ts'

/** What a thread is started with. */
export interface WorkerSetup {
  readonly config: SearchConfig
  readonly buffer: SharedArrayBuffer
  readonly memory: number
}

const { config, buffer, memory } = workerData as WorkerSetup
const shared = new SharedWords(memory, buffer)
const count = new StateCount(shared)

/** Runs a unit. */
export default async function work(unit: Unit): Promise<UnitResult> {
  const scenario = await scenarioNamed(unit.scenario)
  return runUnitOn(scenario, unit, config, {
    stop: () => shared.isStopped(),
    onRun: () => shared.ran(),
    onStates: (states) => count.saw(states),
  })
}
