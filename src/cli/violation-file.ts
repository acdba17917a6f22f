/**
 * A violation as a file: what broke, the schedule that repeats it, and its timeline; for a bug report or for later.
 *
 * R1 A replay of it needs the scenario, the schedule and the digest; the rest is for reading.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CallView, Scenario } from '../check/index.ts'
import { UsageError } from './options.ts'
import { codeHash } from './result-file.ts'
import { seal } from './sealed-schedule.ts'
import { digestText } from './steps.ts'
import type { AnnotatedRun } from './steps.ts'
import { version } from './version.ts'

const FORMAT = 1
const TYPE = 'umbra-violation'

/** One line of a timeline. */
interface WrittenStep {
  /** From 1. */
  readonly number: number
  readonly task: string
  readonly cpu: number
  /** Virtual nanoseconds. */
  readonly now: number
  readonly event: object
  readonly source: string | null
  readonly calls: readonly CallView[]
  /** One of the two steps that race. */
  readonly races: boolean
}

export interface ViolationFile {
  readonly type: string
  readonly format: number
  readonly version: string
  /** Hash of all code that the run depends on. */
  readonly code: string
  readonly scenario: string
  /** With its seal. */
  readonly schedule: string
  readonly digest: string
  readonly steps: number
  readonly invariant: string | null
  readonly what: string | null
  /** Who was running. */
  readonly task: string | null
  readonly page: object | null
  readonly replay: string
  readonly timeline: readonly WrittenStep[]
}

/** The command that repeats a run. */
export const replayCommand = (scenario: string, schedule: string, digest: string): string =>
  `umbra replay ${scenario} ${seal(scenario, schedule)} --digest ${digest}`

const plainly = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value)

/** The first step of a run that is not as the file has it, in words; null when none is. */
export function firstDifference(file: ViolationFile, { steps }: AnnotatedRun): string | null {
  for (let at = 0; at < Math.max(steps.length, file.timeline.length); at++) {
    const [was, is] = [file.timeline[at], steps[at]]
    const before = was === undefined ? 'the end' : `${was.task}: ${JSON.stringify(was.event)}`
    const now = is === undefined ? 'the end' : `${is.stamp.task}: ${JSON.stringify(is.event, plainly)}`
    if (before !== now) return `step ${at + 1} was ${before} and is ${now}`
  }
  return null
}

/** @returns the path of the file. @throws UsageError when it cannot be written */
export function writeViolation(folder: string, scenario: Scenario, annotated: AnnotatedRun): string {
  const { run, steps, race } = annotated
  const digest = digestText(run)
  const { violation, failure, schedule } = run
  const file: ViolationFile = {
    type: TYPE,
    format: FORMAT,
    version: version(),
    code: codeHash([scenario.name]),
    scenario: scenario.name,
    schedule: seal(scenario.name, schedule),
    digest,
    steps: run.steps,
    invariant: violation?.invariant ?? null,
    what: violation?.what ?? failure?.message ?? null,
    task: violation?.task ?? null,
    page: violation?.page ?? null,
    replay: replayCommand(scenario.name, schedule, digest),
    timeline: steps.map(({ event, stamp, source, calls }, at) => ({
      number: at + 1,
      task: stamp.task,
      cpu: stamp.cpu,
      now: stamp.now,
      event,
      source,
      calls,
      races: race?.includes(at) === true,
    })),
  }
  const path = join(folder, `${scenario.name.replaceAll(/[^\w.-]+/g, '-').replace(/^[.-]+/, '')}-${digest}.json`)
  try {
    mkdirSync(folder, { recursive: true })
    writeFileSync(path, `${JSON.stringify(file, plainly, 1)}\n`)
  } catch (error) {
    throw new UsageError(`cannot write '${path}': ${(error as NodeJS.ErrnoException).code}`)
  }
  return path
}

/** @throws UsageError for a file that cannot be read, is something else, or is of other code */
export function readViolation(path: string): ViolationFile {
  const refuse = (why: string): UsageError => new UsageError(`cannot replay '${path}': ${why}`)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw refuse(String((error as NodeJS.ErrnoException).code))
  }
  let file: ViolationFile | null
  try {
    file = JSON.parse(text) as ViolationFile | null
  } catch {
    throw refuse('it is not JSON, or was cut')
  }
  if (file?.type !== TYPE) throw refuse('it is no violation file')
  if (file.format !== FORMAT) throw refuse(`its format is ${file.format}; expected ${FORMAT}`)
  if (file.version !== version()) throw refuse(`it was written by umbra ${file.version}, and this is ${version()}`)
  for (const key of ['scenario', 'schedule', 'digest'] as const) {
    if (typeof file[key] !== 'string') throw refuse(`its ${key} is missing`)
  }
  return file
}
