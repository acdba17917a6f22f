/**
 * A scenario: a small world, the tasks that meet in it, and how one run of it under one policy is judged.
 *
 * R1 Setup and the end run alone: every decision of a schedule is about the tasks.
 * R2 A run is a function of scenario, parts and policy. Nothing is kept between two runs but cleared memory.
 * R3 A run without an end is given up after `limit` events and reported as I11.
 */
import { KernelError } from '../base/index.ts'
import type { Invariant, TraceEvent, TraceStamp } from '../base/index.ts'
import type { PhysicalMemory } from '../hardware/index.ts'
import type { Kernel } from '../host/index.ts'
import { encodeSchedule } from '../sched/index.ts'
import type { Policy } from '../sched/index.ts'
import { ScenarioFailure } from './scenario-failure.ts'
import { Auditor, violationOf } from './auditor.ts'
import type { AuditLevel } from './auditor.ts'
import { JudgingPolicy } from './judging-policy.ts'
import { KernelWorld } from './kernel-world.ts'
import { ChosenFailures } from './open-choices.ts'
import { ViolationError } from './violation.ts'
import type { Violation } from './violation.ts'
import { DEFAULT_PAGES, buildWorld, createKernel, takeDown } from './world.ts'
import type { World, WorldOptions, WorldParts } from './world.ts'

/** What the tasks of a scenario do. `T` is what its setup prepared for them. */
export interface ScenarioSpec<T> {
  /** In lower case, with hyphens. */
  readonly name: string
  /** One line. */
  readonly what: string
  /** The invariants that the scenario is about. All are judged. */
  readonly invariants: readonly Invariant[]
  readonly world?: WorldOptions
  /** Prepares the world: warms a TLB, registers a client. */
  readonly setup?: (world: World) => Promise<T>
  /** The tasks by name, spawned in this order. A KernelError that one throws is an answer, not a failure. */
  readonly tasks: Readonly<Record<string, (world: World, state: T) => Promise<void>>>
  /** Undoes the setup, and may judge what came out: throw a KernelBug that names an invariant. */
  readonly end?: (world: World, state: T) => Promise<void>
}

export interface Scenario {
  readonly name: string
  readonly what: string
  readonly invariants: readonly Invariant[]
  /** Names of its tasks. */
  readonly tasks: readonly string[]
  /** Pages of its memory that tasks may meet in, without the guest's page tables. */
  readonly pages: number
  /** One run under a policy. */
  run(policy: Policy, options?: RunOptions): Promise<Run>
  /** A run that somebody drives: one whose policy leaves decisions open. */
  start(policy: Policy, options?: Pick<RunOptions, 'parts'>): StartedRun
}

/** A run that was begun. Nothing but the end of its setup has to come by itself. */
export interface StartedRun {
  readonly kernel: Kernel
  readonly auditor: Auditor
  /** Tasks that have not ended; -1 before they are spawned. */
  readonly progress: Progress
}

/** How far a run is. */
export class Progress {
  /** The tasks of the scenario that have not ended; -1 until they are spawned. */
  left = -1
  world: World | null = null
}

/** @param step number of the event, from 1 for the first one of the tasks; with null, of the last one */
export type Observe = (seen: RecordedEvent | null, world: World, step: number) => void

export interface RunOptions {
  /** What stands in for production code. */
  readonly parts?: WorldParts
  /** Keep the events of the tasks. Default false. */
  readonly record?: boolean
  /** How closely the auditor looks. Default 'all'. */
  readonly audit?: AuditLevel
  /** Told each event as it happens, and null once, when the tasks have ended. It may look, not change. */
  readonly observe?: Observe
  /** Events after which a run counts as endless. Default 20,000. */
  readonly limit?: number
  /** Judge the world at every decision too, as a search over states does. Default false. */
  readonly closely?: boolean
}

export interface RecordedEvent {
  readonly event: TraceEvent
  readonly stamp: TraceStamp
}

/** What one run came to. */
export interface Run {
  /** The first violation, or null. */
  readonly violation: Violation | null
  /** What ended the run that is not a violation: a mistake in the scenario, or a defect of Umbra. */
  readonly failure: Error | null
  /** The schedule as one line, for replay. */
  readonly schedule: string
  /** Events from the moment the tasks were spawned. */
  readonly steps: number
  /** A number that two recorded runs of equal traces share. */
  readonly digest: number
  /** The events, when the run was recorded. */
  readonly trace: readonly RecordedEvent[]
}

/** The same, as what was wrong in one line; null for a clean run. */
export function findingOf(run: Run): string | null {
  if (run.violation !== null) return run.violation.invariant
  return run.failure === null ? null : run.failure.message
}

/**
 * One run; where it seems clean, once more judged at every decision, as a search over states does. The trace is the
 * same, up to where it ends.
 * @param policyOf a new policy for each run
 */
export async function runClosely(scenario: Scenario, policyOf: () => Policy, options: RunOptions = {}): Promise<Run> {
  const run = await scenario.run(policyOf(), options)
  if (findingOf(run) !== null) return run
  const closer = await scenario.run(policyOf(), { ...options, closely: true })
  return findingOf(closer) === null ? run : closer
}

/** Makes a scenario. */
export function defineScenario<T = void>(spec: ScenarioSpec<T>): Scenario {
  const spare = new SpareMemory()
  return {
    name: spec.name,
    what: spec.what,
    invariants: spec.invariants,
    tasks: Object.keys(spec.tasks),
    pages: spec.world?.pages ?? DEFAULT_PAGES,
    run: (policy, options = {}) => runScenario(spec, policy, options, spare),
    start: (policy, options = {}) => startScenario(spec, policy, options),
  }
}

const DEFAULT_LIMIT = 20_000
/** Switch points of the tasks after which a run counts as endless, whether or not they leave events. */
const POINTS = 200_000

/** Watches one run: counts, digests and keeps its events. */
class Recorder {
  static readonly opaque = true
  stage: 'setup' | 'tasks' | 'end' = 'setup'
  steps = 0
  digest = 0x811c9dc5
  readonly trace: RecordedEvent[] = []
  private readonly limit: number
  private readonly keep: boolean
  private readonly told: Observe | undefined
  /** While it watches. */
  private world: World | null = null

  constructor({ limit = DEFAULT_LIMIT, record = false, observe }: RunOptions) {
    this.limit = limit
    this.keep = record
    this.told = observe
  }

  begin(world: World): void {
    this.world = world
    this.stage = 'tasks'
  }

  /** All tasks have ended. */
  ending(world: World): void {
    this.told?.(null, world, this.steps)
    this.stage = 'end'
  }

  end(): void {
    this.world = null
  }

  observe(event: TraceEvent, stamp: TraceStamp): void {
    if (this.world === null) return
    this.steps++
    if (this.keep) {
      this.mix(`${stamp.task} ${stamp.now}`)
      for (const value of Object.values(event)) this.mix(typeof value === 'object' ? 'object' : String(value))
      this.trace.push({ event, stamp })
    }
    this.told?.({ event, stamp }, this.world, this.steps)
    if (this.steps <= this.limit) return
    this.world = null
    const what = `no end after ${this.limit} events: some task goes round and round`
    throw new ViolationError({ invariant: 'I11', what, page: {}, task: stamp.task, now: stamp.now, history: [] })
  }

  private mix(text: string): void {
    let { digest } = this
    for (let i = 0; i < text.length; i++) digest = Math.imul(digest ^ text.charCodeAt(i), 0x01000193)
    this.digest = digest
  }
}

/** The physical memory of the last run, for the next one. */
class SpareMemory {
  private memory: PhysicalMemory | null = null

  /** Options for a kernel; two runs at once do not share. */
  take(): { readonly memory?: PhysicalMemory } {
    const { memory } = this
    this.memory = null
    return memory === null ? {} : { memory }
  }

  give(memory: PhysicalMemory): void {
    this.memory = memory
  }
}

async function runScenario<T>(
  spec: ScenarioSpec<T>,
  policy: Policy,
  options: RunOptions,
  spare: SpareMemory,
): Promise<Run> {
  const judging = options.closely === true ? new JudgingPolicy(policy) : null
  const own = { ...spec.world?.kernel, ...spare.take(), policy: judging ?? policy }
  const kernel = createKernel({ ...spec.world, kernel: own }, options.parts)
  const recorder = new Recorder(options)
  // Before the auditor, which stops a run inside the offending event: the recorder has seen it by then.
  kernel.trace.attach((event, stamp) => recorder.observe(event, stamp), { accesses: true })
  const auditor = new Auditor(kernel.trace, new KernelWorld(kernel), {
    level: options.audit ?? 'all',
    stop: true,
    sweepEvery: 100,
  })
  if (judging !== null) judging.judge = () => auditor.judgeState(sleepersOf(kernel))
  let violation: Violation | null = null
  let failure: Error | null = null
  try {
    await kernel.run(() => runTasks(kernel, spec, options.parts ?? {}, recorder, new Progress()))
    violation = auditor.finish()[0] ?? null
  } catch (error) {
    violation = violationOf(error, auditor)
    if (violation === null) failure = new ScenarioFailure(recorder.stage, error)
  }
  const schedule = encodeSchedule(kernel.sched.schedule)
  spare.give(kernel.memory)
  return { violation, failure, schedule, steps: recorder.steps, digest: recorder.digest >>> 0, trace: recorder.trace }
}

/** Names of the tasks that sleep. */
export const sleepersOf = ({ sched }: Kernel): string[] =>
  sched
    .livingTasks()
    .filter((task) => task.state === 'blocked' && task.waitsFor?.spins !== true)
    .map(({ name }) => name)

function startScenario<T>(spec: ScenarioSpec<T>, policy: Policy, options: RunOptions): StartedRun {
  const kernel = createKernel({ ...spec.world, kernel: { ...spec.world?.kernel, policy } }, options.parts)
  const auditor = new Auditor(kernel.trace, new KernelWorld(kernel), { level: 'all', stop: true, sweepEvery: Infinity })
  const progress = new Progress()
  kernel.sched.start('main', () => runTasks(kernel, spec, options.parts ?? {}, null, progress))
  return { kernel, auditor, progress }
}

async function runTasks<T>(
  kernel: Kernel,
  spec: ScenarioSpec<T>,
  parts: WorldParts,
  recorder: Recorder | null,
  progress: Progress,
): Promise<void> {
  const world = await buildWorld(kernel, spec.world, parts)
  // A scenario whose tasks need nothing prepared has no setup, and a T that nobody looks at.
  const state = (await spec.setup?.(world)) as T
  progress.world = world
  recorder?.begin(world)
  // A proof sees such a loop as a cycle of states.
  if (recorder !== null) kernel.sched.patience.left = POINTS
  if (spec.world?.failures !== undefined) {
    kernel.allocator.failures = new ChosenFailures(kernel.sched, spec.world.failures)
  }
  // Blocked without a switch point, and woken once, by the last to end: waiting adds no decision to a schedule.
  const { sched } = kernel
  const waiter = sched.current
  const bodies = Object.entries(spec.tasks)
  progress.left = bodies.length
  const spawned = bodies.map(([name, body]) =>
    kernel.spawn(name, async () => {
      await answering(() => body(world, state))
      if (--progress.left === 0) sched.wake(waiter)
    }),
  )
  while (progress.left > 0) await sched.block({ describe: () => 'the end of all tasks', holders: () => spawned })
  kernel.allocator.failures = null
  recorder?.ending(world)
  await spec.end?.(world, state)
  await takeDown(world)
  recorder?.end()
}

/** An errno is one of the answers that an operation may give; everything else ends the run. */
async function answering(body: () => Promise<void>): Promise<void> {
  try {
    await body()
  } catch (error) {
    if (!(error instanceof KernelError)) throw error
  }
}
