/**
 * Runs the units of a search over a pool.
 *
 * R1 What comes out does not depend on the pool: a unit that another pool would not have run is left out of `results`.
 * R2 A unit whose thread died is run once more, and then named.
 */
import { isNeedless } from '../check/index.ts'
import type { Unit, UnitResult } from '../check/index.ts'
import type { UnitPool } from './pool.ts'

/** Part of a search: of the units of a policy, unit `i` belongs to shard `i % of + 1`, so that each shard has its share of proofs. */
export interface Shard {
  readonly number: number
  readonly of: number
}

/** The units of one scenario. */
export interface ScenarioUnits {
  readonly scenario: string
  readonly units: readonly Unit[]
}

/** @returns for each scenario that has any, the units of the shard */
export function unitsOfShard(plan: readonly ScenarioUnits[], { number, of }: Shard): ScenarioUnits[] {
  const seen = new Map<string, number>()
  const isOurs = ({ policy }: Unit): boolean => {
    const index = seen.get(policy) ?? 0
    seen.set(policy, index + 1)
    return index % of === number - 1
  }
  return plan
    .map(({ scenario, units }) => ({ scenario, units: units.filter(isOurs) }))
    .filter(({ units }) => units.length > 0)
}

export class UnitRunner {
  /** Results by unit. */
  readonly results: Map<string, UnitResult> = new Map()
  /** Why a unit has no result although it was run: what its threads died of. */
  readonly died: Map<string, string> = new Map()
  private readonly plan: readonly ScenarioUnits[]
  private readonly pool: UnitPool
  private readonly isOver: () => boolean
  private readonly queue: { readonly unit: Unit; readonly siblings: readonly Unit[] }[]

  constructor(plan: readonly ScenarioUnits[], pool: UnitPool, isOver: () => boolean) {
    this.plan = plan
    this.pool = pool
    this.isOver = isOver
    this.queue = plan.flatMap(({ units }) => units.map((unit) => ({ unit, siblings: units })))
  }

  /** Runs all units. @param onResult called after each, one call at a time */
  async run(onResult: () => Promise<void>): Promise<void> {
    let told = Promise.resolve()
    const lane = async (): Promise<void> => {
      for (let next = this.take(); next !== undefined; next = this.take()) {
        await this.runOne(next)
        told = told.then(onResult)
        await told
      }
    }
    await Promise.all(Array.from({ length: this.pool.size }, lane))
    this.dropNeedless()
  }

  /** Has everything that the scenario needs come to an end? */
  isSettled({ units }: ScenarioUnits): boolean {
    return units.every(
      (unit) => this.results.has(unit.id) || this.died.has(unit.id) || isNeedless(unit, units, this.results),
    )
  }

  /** Units not yet begun that may still be needed. */
  waiting(): Unit[] {
    return this.queue.filter(({ unit, siblings }) => !isNeedless(unit, siblings, this.results)).map(({ unit }) => unit)
  }

  private take(): Unit | undefined {
    if (this.isOver()) return undefined
    for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
      if (!isNeedless(next.unit, next.siblings, this.results)) return next.unit
    }
    return undefined
  }

  private async runOne(unit: Unit): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        this.results.set(unit.id, await this.pool.run(unit))
        return
      } catch (error) {
        if (attempt === 1) continue
        this.died.set(unit.id, error instanceof Error ? error.message : String(error))
        return
      }
    }
  }

  private dropNeedless(): void {
    for (const { units } of this.plan) {
      for (const unit of units.filter((each) => isNeedless(each, units, this.results))) {
        this.results.delete(unit.id)
        this.died.delete(unit.id)
      }
    }
  }
}
