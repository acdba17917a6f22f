/** The scenarios that Umbra ships. */
import type { Scenario } from '../scenario.ts'
import { hostScenarios } from './host-against-guest.ts'
import { intervalScenarios } from './interval.ts'
import { lifetimeScenarios } from './lifetime.ts'
import { srcuScenarios } from './srcu.ts'
import { vmScenarios } from './vm.ts'

export const scenarios: readonly Scenario[] = [
  ...hostScenarios,
  ...lifetimeScenarios,
  ...intervalScenarios,
  ...vmScenarios,
  ...srcuScenarios,
]
