/** Runs a small scenario under many random schedules. */
import { Scheduler, random } from '../../src/sched/index.ts'

export interface ScheduleOptions {
  readonly cpus?: number
  /** One switch point in so many stops the running task. Default: 2, 3, 4, ... by seed. */
  readonly period?: number
  /** Default true. */
  readonly migrate?: boolean
}

export type Scenario = (sched: Scheduler, seed: number) => Promise<void>

function runSeed(seed: number, scenario: Scenario, options: ScheduleOptions): Promise<void> {
  const period = options.period ?? 2 + (seed % 4)
  const policy = random(seed, { period, migrate: options.migrate ?? true, values: true })
  const sched = new Scheduler({ seed, cpus: options.cpus ?? 2, policy })
  return sched.run('main', () => scenario(sched, seed))
}

/** Runs the scenario under `count` schedules; the first failure names its seed. */
export async function underSchedules(count: number, scenario: Scenario, options: ScheduleOptions = {}): Promise<void> {
  for (let seed = 1; seed <= count; seed++) {
    try {
      await runSeed(seed, scenario, options)
    } catch (failure) {
      throw new Error(`seed ${seed} of ${count}: ${String(failure)}`, { cause: failure })
    }
  }
}

/** The first failure within `count` schedules, or null: how a test shows that it has teeth. */
export async function firstFailure(
  count: number,
  scenario: Scenario,
  options: ScheduleOptions = {},
): Promise<{ readonly seed: number; readonly message: string } | null> {
  for (let seed = 1; seed <= count; seed++) {
    try {
      await runSeed(seed, scenario, options)
    } catch (failure) {
      return { seed, message: String(failure) }
    }
  }
  return null
}

/** Runs a scenario once without preemption; what it throws fails the test. */
export async function run<T>(body: (sched: Scheduler) => Promise<T>): Promise<T> {
  const sched = new Scheduler({ cpus: 2 })
  return await sched.run('main', () => body(sched))
}

/** Runs the scenario once without preemption. @returns the message of its failure, or null */
export async function failureOf(scenario: Scenario): Promise<string | null> {
  try {
    await run((sched) => scenario(sched, 0))
    return null
  } catch (failure) {
    return String(failure)
  }
}
