/** The scenarios that Umbra ships. */
import type { Scenario } from '../scenario.ts'
import { intervalScenarios } from './interval.ts'
import { lifetimeScenarios } from './lifetime.ts'
import { operationScenarios } from './operations.ts'
import { srcuScenarios } from './srcu.ts'
import { vmScenarios } from './vm.ts'

export const scenarios: readonly Scenario[] = [
  ...operationScenarios,
  ...lifetimeScenarios,
  ...intervalScenarios,
  ...vmScenarios,
  ...srcuScenarios,
]
