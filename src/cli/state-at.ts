/** The state of a run after one of its steps, for `umbra replay --until N --show ...`. */
import type { CallView } from '../check/index.ts'
import type { Kernel } from '../host/index.ts'
import { replay } from '../sched/index.ts'
import type { Schedule } from '../sched/index.ts'
import {
  callText,
  pagesStateLines,
  srcuStateLines,
  tablesStateLines,
  tasksStateLines,
  tlbStateLines,
} from '../view/index.ts'
import { UsageError } from './options.ts'
import { loweredCheck, loweredScenario } from './scenario-names.ts'

/** What can be shown, and how; `locals` needs the lowered build. */
const VIEWS: Readonly<Record<string, (kernel: Kernel, calls: CallsOf) => string[]>> = {
  tables: tablesStateLines,
  tlb: tlbStateLines,
  srcu: srcuStateLines,
  pages: pagesStateLines,
  tasks: tasksStateLines,
  locals: localLines,
}

export const VIEW_NAMES: readonly string[] = Object.keys(VIEWS)

type Task = ReturnType<Kernel['sched']['livingTasks']>[number]
type CallsOf = (task: Task) => readonly CallView[]

function localLines(kernel: Kernel, calls: CallsOf): string[] {
  return kernel.sched
    .livingTasks()
    .flatMap((task) => [`task ${task.name}`, ...calls(task).map((call) => `    ${callText(call)}`)])
}

export interface ShownState {
  readonly name: string
  readonly lines: readonly string[]
}

/**
 * Runs a schedule of a scenario on the lowered build and looks at the world after one of its steps.
 * @param until number of the step, from 1
 * @throws UsageError when the run has no such step, or its file cannot be lowered
 */
export async function stateAt(
  name: string,
  schedule: Schedule,
  until: number,
  shown: readonly string[],
): Promise<readonly ShownState[]> {
  const scenario = await loweredScenario(name)
  const { callsFrom, runningCalls } = await loweredCheck()
  let states: readonly ShownState[] | null = null
  const run = await scenario.run(replay(schedule), {
    observe(seen, { kernel }, step) {
      if (seen === null || step !== until) return
      const calls: CallsOf = (task) =>
        task === kernel.sched.current ? runningCalls() : callsFrom((task.handle as { leaf?: never }).leaf ?? null)
      states = shown.map((view) => ({ name: view, lines: VIEWS[view]!(kernel, calls) }))
    },
  })
  if (states === null) throw new UsageError(`--until is ${until}, but the run has ${run.steps} steps`)
  return states
}
