/** `umbra page`: the pages of a scenario's memory at one step of one schedule, and who maps them. */
import { addressReport, pageOf } from '../check/index.ts'
import type { AddressReport, RecordedEvent, World } from '../check/index.ts'
import { KernelError } from '../base/index.ts'
import { decodeSchedule, replay } from '../sched/index.ts'
import { addressLines, plural } from '../view/index.ts'
import { ExitCode } from './exit-code.ts'
import { UsageError } from './options.ts'
import type { Output } from './output.ts'
import { scenarioNamed } from './scenario-names.ts'

export interface PageValues {
  /** Event of the tasks after which to look; undefined: when all tasks have ended. */
  readonly until: number | undefined
  /** Number of the page; undefined: all. */
  readonly page: number | undefined
}

/** Runs the schedule and prints the pages. @throws UsageError */
export async function page(values: PageValues, operands: readonly string[], output: Output): Promise<ExitCode> {
  const [name = '', text = 'u1:'] = operands
  const scenario = await scenarioNamed(name)
  let schedule
  try {
    schedule = decodeSchedule(text)
  } catch (error) {
    if (error instanceof KernelError) throw new UsageError(error.message)
    throw error
  }
  const { until, page: wanted } = values
  let reports: AddressReport[] | null = null
  let pages = 0
  let isOver = false
  const observe = (seen: RecordedEvent | null, world: World, step: number): void => {
    // A run that breaks something ends before its tasks do: then the last step counts.
    if (isOver || (until !== undefined && step !== until)) return
    isOver = seen === null
    pages = world.pages
    reports = []
    for (let index = 0; index < pages; index++) {
      if (wanted === undefined || wanted === index)
        reports.push(addressReport(world.kernel, world.mm, pageOf(world, index)))
    }
  }
  const run = await scenario.run(replay(schedule), { observe })
  if (reports === null) {
    throw new UsageError(`--until is ${until}; this schedule has ${plural(run.steps, 'event')}`)
  }
  if (wanted !== undefined && wanted >= pages) throw new UsageError(`--page is ${wanted}; expected 0 to ${pages - 1}`)
  for (const report of reports as AddressReport[]) {
    if (output.json) output.object({ type: 'page', ...report })
    else {
      for (const line of addressLines(report)) output.line(line)
      output.line()
    }
  }
  const { violation, failure } = run
  if (!output.json && violation !== null) output.line(`the schedule breaks ${violation.invariant}: ${violation.what}`)
  if (failure !== null) output.note(`umbra: the run failed: ${failure.message}`)
  return failure === null ? ExitCode.consistent : ExitCode.internal
}
