/** The shipped scenarios as operands name them. */
import { scenarios } from '../check/index.ts'
import type { Scenario } from '../check/index.ts'
import { UsageError, didYouMean } from './options.ts'

const NAMES = scenarios.map(({ name }) => name)

/** No scenario has this name. */
export const unknown = (name: string): UsageError =>
  new UsageError(`no scenario is named '${name}'`, didYouMean(name, NAMES) ?? 'umbra check --list shows all')

/** The scenarios of the names, or of their beginnings. @throws UsageError */
export function chosen(names: readonly string[]): readonly Scenario[] {
  if (names.length === 0) return scenarios
  const found = new Set<Scenario>()
  for (const name of names) {
    const exact = scenarios.filter((scenario) => scenario.name === name)
    const begun = exact.length > 0 ? exact : scenarios.filter((scenario) => scenario.name.startsWith(name))
    if (begun.length === 0) throw unknown(name)
    for (const scenario of begun) found.add(scenario)
  }
  return [...found]
}
