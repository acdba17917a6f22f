/** `umbra check --why-states`: what differs between states of a scenario in which all tasks stand at the same places. */
import type { Scenario, WhyStates } from '../check/index.ts'
import { plural } from '../view/index.ts'
import { ExitCode } from './exit-code.ts'
import { UsageError } from './options.ts'
import type { Output } from './output.ts'
import { isUnprovable } from './prover.ts'
import { loweredCheck, loweredScenario } from './scenario-names.ts'

/** Paths of a group that are printed. */
const MOST = 12
/** Calls of a task that are printed, innermost first. */
const CALLS = 3

/** Looks into each scenario. @param stop asked now and then: true ends the search */
export async function why(
  wanted: readonly Scenario[],
  states: number,
  stop: () => boolean,
  output: Output,
): Promise<ExitCode> {
  const { whyStates } = await loweredCheck()
  let isWhole = true
  for (const { name } of wanted) {
    if (stop()) return ExitCode.budget
    const found = await seen(name, async () => whyStates(await loweredScenario(name), { states, stop }))
    isWhole &&= found.complete
    if (output.json) output.object({ type: 'why-states', scenario: name, ...found })
    else for (const line of lines(name, found)) output.line(line)
  }
  return isWhole ? ExitCode.consistent : ExitCode.budget
}

/** @throws UsageError where states cannot be seen */
async function seen(name: string, look: () => Promise<WhyStates>): Promise<WhyStates> {
  try {
    return await look()
  } catch (error) {
    if (error instanceof Error && isUnprovable(error)) throw new UsageError(`${name}: ${error.message}`)
    throw error
  }
}

function lines(name: string, { states, complete, groups, largest }: WhyStates): string[] {
  const text = [
    `${name}: ${plural(states, 'state')}${complete ? '' : ' and more'}, the tasks at ${plural(groups, 'combination')} of places`,
  ]
  for (const group of largest) {
    if (group.states === 1) continue
    text.push(`  ${plural(group.states, 'state')} with`)
    for (const task of group.tasks) text.push(`    ${task.split(' < ').slice(0, CALLS).join(' < ')}`)
    text.push('  differ in')
    for (const { path, count, values } of group.differing.slice(0, MOST)) {
      text.push(`    ${path}: ${values.join(', ')}${count > values.length ? ` and ${count - values.length} more` : ''}`)
    }
    const left = group.differing.length - MOST
    if (left > 0) text.push(`    and ${plural(left, 'other place')}`)
  }
  return text
}
