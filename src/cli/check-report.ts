/**
 * What a check came to: a line for each scenario, what was found, and the end with its exit code.
 *
 * R1 What is printed depends on the results alone: not on time, threads or the order in which units ended.
 */
import { conclude, joinCoverage, uncoveredPairs } from '../check/index.ts'
import type { Finding } from '../check/index.ts'
import { coverageLines, plural } from '../view/index.ts'
import type { ScenarioCoverage } from '../view/index.ts'
import { ExitCode } from './exit-code.ts'
import type { Output } from './output.ts'
import { SourceLines } from './source-lines.ts'
import type { ScenarioUnits, UnitRunner } from './units.ts'

/** Results of units, and why some have none. */
export type Outcomes = Pick<UnitRunner, 'results' | 'died'>

export class CheckReport {
  private readonly output: Output
  private readonly outcomes: Outcomes
  private schedules = 0
  private states = 0
  private scenarios = 0
  private explored = 0
  private violated = 0
  private failed = 0
  private lost = 0
  private readonly coverage: ScenarioCoverage[] = []

  constructor(output: Output, outcomes: Outcomes) {
    this.output = output
    this.outcomes = outcomes
  }

  /** Prints what is known about a scenario. @param show prints what was found */
  async add({ scenario, units }: ScenarioUnits, show: (finding: Finding) => Promise<void>): Promise<void> {
    const { results, died } = this.outcomes
    const { verdict, schedules, states, finding, missing, coverage } = conclude(units, results)
    if (coverage.length > 0) this.coverage.push({ scenario, data: joinCoverage(coverage) })
    const stopped = missing.length > 0
    this.scenarios++
    this.schedules += schedules
    this.states += states
    if (!stopped) this.explored++
    if (finding !== null) {
      if (finding.invariant === null) this.failed++
      else this.violated++
    }
    if (units.every(({ id }) => !results.has(id) && !died.has(id))) return
    const { output } = this
    if (output.json) output.object({ type: 'scenario', name: scenario, verdict, schedules, states, stopped })
    else {
      const paint = finding === null ? output.chalk.green : output.chalk.red.bold
      output.line(`${scenario.padEnd(38)} ${paint(verdict)}${stopped ? ' (stopped)' : ''}`)
    }
    for (const { id } of missing) {
      const why = died.get(id)
      if (why === undefined) continue
      this.lost++
      if (output.json) output.object({ type: 'lost', unit: id, why })
      else output.line(output.chalk.red.bold(`LOST: unit '${id}' was run twice and gave no result: ${why}`))
    }
    if (finding !== null) await show(finding)
  }

  /** Prints what the runs have reached, if that was asked for. */
  private printCoverage(): void {
    const { output, coverage } = this
    const lines = new SourceLines()
    if (!output.json) {
      output.line()
      for (const line of coverageLines(coverage, (site) => lines.of(site))) output.line(line)
      output.line()
      return
    }
    for (const { scenario, data } of coverage) {
      const { count, uncovered } = uncoveredPairs(data.orders)
      const pairs = uncovered.map(({ object, first, second, ran }) => ({
        object,
        first: { ...first, site: lines.of(first.site) },
        second: { ...second, site: lines.of(second.site) },
        ran: ran ? 'first before second' : 'never',
      }))
      const vacuous = data.work.filter(({ did }) => did === 0).map(({ what }) => what)
      output.object({ type: 'coverage', scenario, ...count, uncovered: pairs, work: data.work, vacuous })
    }
  }

  /** Prints the end. @param reason why the search ended early, or null */
  end(reason: string | null): ExitCode {
    const { output, scenarios, schedules, states, violated, failed, lost } = this
    const unfinished = scenarios - this.explored
    if (this.coverage.length > 0) this.printCoverage()
    const exitCode =
      violated > 0
        ? ExitCode.violation
        : failed + lost > 0
          ? ExitCode.internal
          : unfinished > 0
            ? ExitCode.budget
            : ExitCode.consistent
    if (output.json) {
      output.object({
        type: 'verdict',
        exitCode,
        scenarios,
        schedules,
        states,
        violated,
        failed,
        lost,
        unfinished,
        reason,
      })
      return exitCode
    }
    const parts = [plural(scenarios, 'scenario'), plural(schedules, 'schedule')]
    if (states > 0) parts.push(plural(states, 'state'))
    if (unfinished > 0) parts.push(`${unfinished} not finished${reason === null ? '' : ` (${reason})`}`)
    if (lost > 0) parts.push(`${plural(lost, 'unit')} lost`)
    const message =
      violated > 0 ? `VIOLATION in ${plural(violated, 'scenario')}` : failed > 0 ? 'FAILED' : 'no violation'
    output.line(`${message}: ${parts.join(', ')}`)
    return exitCode
  }
}
