/** The scenarios that Umbra ships. */
import type { Scenario } from '../scenario.ts'
import { guestTableScenarios } from './guest-tables.ts'
import { hostScenarios } from './host-against-guest.ts'
import { intervalScenarios } from './interval.ts'
import { lifetimeScenarios } from './lifetime.ts'
import { sharedLockScenarios } from './shared-lock.ts'
import { srcuScenarios } from './srcu.ts'
import { vmScenarios } from './vm.ts'

export const scenarios: readonly Scenario[] = [
  ...hostScenarios,
  ...lifetimeScenarios,
  ...intervalScenarios,
  ...vmScenarios,
  ...guestTableScenarios,
  ...sharedLockScenarios,
  ...srcuScenarios,
]
