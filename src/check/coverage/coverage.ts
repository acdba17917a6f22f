/**
 * What the runs of a scenario have reached: the orders of dependent steps, and the work of each mechanism.
 *
 * R1 A run that is watched is the same run: watching decides nothing and emits nothing.
 * R2 Coverage is plain data, and joins as a set.
 */
import type { Scenario } from '../scenario.ts'
import { Orders, joinOrders } from './orders.ts'
import type { OrderData } from './orders.ts'
import { WorkCounter, joinWork } from './work.ts'
import type { Worked } from './work.ts'

/** Coverage of one scenario as plain data. */
export interface CoverageData {
  readonly orders: OrderData
  readonly work: readonly Worked[]
}

export class Coverage {
  private readonly orders = new Orders()
  private readonly work = new WorkCounter()

  /** The scenario, each run of it watched. Its runs must not overlap. */
  watch(scenario: Scenario): Scenario {
    return {
      ...scenario,
      run: async (policy, options = {}) => {
        const run = await scenario.run(this.orders.watch(policy), {
          ...options,
          observe: (seen, world, step) => {
            if (seen !== null) this.work.observe(seen.event, seen.stamp)
            options.observe?.(seen, world, step)
          },
        })
        this.orders.runEnded()
        this.work.runEnded()
        return run
      },
    }
  }

  data(): CoverageData {
    return { orders: this.orders.data(), work: this.work.data() }
  }
}

/** All of them together. */
export function joinCoverage(all: readonly CoverageData[]): CoverageData {
  return { orders: joinOrders(all.map(({ orders }) => orders)), work: joinWork(all.map(({ work }) => work)) }
}
