/**
 * One run with everything that a timeline shows of a step: the event, the line of TypeScript that it comes from, and the
 * calls of the task with their locals.
 *
 * The line is that of the native build, where the stack leads to it; calls and locals are those of the lowered one. Both
 * run the same schedule, and their traces are compared.
 *
 * R1 A file that cannot be lowered costs the calls and locals, and nothing else.
 */
import { fileURLToPath } from 'node:url'
import type { CallView, RecordedEvent, Run, Scenario } from '../check/index.ts'
import { racingSteps, runClosely } from '../check/index.ts'
import { replay } from '../sched/index.ts'
import type { Schedule } from '../sched/index.ts'
import { UsageError } from './options.ts'
import { loweredCheck, loweredScenario } from './scenario-names.ts'
import { sourceOf } from './source-positions.ts'
import type { SourceFile } from './source-positions.ts'

export interface Step extends RecordedEvent {
  /** `src/host/zap.ts:61`, or null. */
  readonly source: string | null
  /** Innermost first; empty when they are not known. */
  readonly calls: readonly CallView[]
}

export interface AnnotatedRun {
  readonly run: Run
  readonly steps: readonly Step[]
  /** Indices of the two steps that race, or null. */
  readonly race: readonly [number, number] | null
  /** Why there are no calls, or null. */
  readonly withoutCalls: string | null
  /** `file:line:column` where a run failed that found no violation; null when that is not known. */
  readonly failedAt: string | null
}

/** Of a run's trace. */
export const digestText = ({ digest }: Run): string => digest.toString(16).padStart(8, '0')

/** Runs a schedule on both builds. */
export async function annotate(scenario: Scenario, schedule: Schedule): Promise<AnnotatedRun> {
  const lines = new SourceLines()
  const sources: (string | null)[] = []
  const run = await runClosely(
    scenario,
    () => {
      sources.length = 0
      return replay(schedule)
    },
    {
      record: true,
      observe: (seen) => {
        if (seen !== null) sources.push(lines.ofCaller())
      },
    },
  )
  let calls: readonly (readonly CallView[])[] = []
  let withoutCalls: string | null = null
  let failedAt = placeOf(run.failure)
  try {
    const lowered = await callsOf(scenario.name, schedule, run)
    calls = lowered.calls
    failedAt ??= lowered.failedAt
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    withoutCalls = error.message
  }
  const steps = run.trace.map((one, at) => ({ ...one, source: sources[at] ?? null, calls: calls[at] ?? [] }))
  const race = run.violation === null ? null : racingSteps(run.trace, run.violation.page)
  return { run, steps, race, withoutCalls, failedAt }
}

async function callsOf(
  name: string,
  schedule: Schedule,
  native: Run,
): Promise<{ readonly calls: readonly (readonly CallView[])[]; readonly failedAt: string | null }> {
  const lowered = await loweredScenario(name)
  const { runningCalls } = await loweredCheck()
  const calls: (readonly CallView[])[] = []
  const run = await runClosely(
    lowered,
    () => {
      calls.length = 0
      return replay(schedule)
    },
    {
      record: true,
      observe: (seen) => {
        if (seen !== null) calls.push(runningCalls())
      },
    },
  )
  // A foreign await has a place only where frames wait.
  const failedAt = / at (?<place>\S+:\d+:\d+) \(/.exec(run.failure?.message ?? '')?.groups?.['place'] ?? null
  if (run.digest !== native.digest && failedAt === null) {
    throw new UsageError('the lowered build gives another trace: this is a bug of Umbra')
  }
  return { calls, failedAt }
}

/** Where an error was thrown: in a file of the user's, if its stack leads to one. */
function placeOf(failure: Error | null): string | null {
  const stack = failure?.cause instanceof Error ? failure.cause.stack : failure?.stack
  const places = [
    ...(stack ?? '').matchAll(/(?<=[\s(])(?<path>(?:file:\/\/)?\/[^\s():]+):(?<line>\d+):(?<column>\d+)/g),
  ]
    .map(({ groups }) => groups as { path: string; line: string; column: string })
    .map((one) => ({ ...one, path: one.path.startsWith('file:') ? fileURLToPath(one.path) : one.path }))
  const own = places.find(
    ({ path }) => !path.includes('/node_modules/') && !ours.some((folder) => path.startsWith(folder)),
  )
  if (own === undefined) return null
  const { file, locate } = sourceOf(own.path)
  const [line, column] = [Number(own.line), Number(own.column)]
  const found = locate(line, column - 1)
  return found === null ? `${file}:${line}:${column}` : `${file}:${found.line}:${found.column + 1}`
}

/** Functions that only pass an event on. */
const RELAYS = /^(base|check\/(?!world|scenarios|museum)|cli)\b/
const build = new URL('../', import.meta.url).href
/** Built files, and what a stack calls them when it was mapped already. */
const ours = ['../', '../../../src/'].map((path) => fileURLToPath(new URL(path, import.meta.url)))

/** Finds the source line of a stack's innermost frame that says something. */
export class SourceLines {
  private readonly files = new Map<string, SourceFile>()

  ofCaller(): string | null {
    for (const site of callSites()) {
      const url = site.getFileName() ?? ''
      if (!url.startsWith('file:') || (url.startsWith(build) && RELAYS.test(url.slice(build.length)))) continue
      const [line, column] = [site.getLineNumber() ?? 1, site.getColumnNumber() ?? 1]
      let source = this.files.get(url)
      if (source === undefined) this.files.set(url, (source = sourceOf(fileURLToPath(url))))
      return `${source.file}:${source.locate(line, column - 1)?.line ?? line}`
    }
    return null
  }
}

/** The stack as it is, whatever the process makes of stacks: positions of the emitted files. */
function callSites(): readonly NodeJS.CallSite[] {
  const { stackTraceLimit } = Error
  const format: unknown = Reflect.get(Error, 'prepareStackTrace')
  Error.stackTraceLimit = 20
  Error.prepareStackTrace = (_, sites) => sites
  const sites = new Error('a stack').stack as unknown as readonly NodeJS.CallSite[]
  Reflect.set(Error, 'prepareStackTrace', format)
  Error.stackTraceLimit = stackTraceLimit
  return sites
}
