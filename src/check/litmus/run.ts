/**
 * Compares what the implementations of SRCU show with what a sequentially consistent machine may show.
 *
 * R1 Sound: no schedule shows an outcome that the oracle does not allow.
 * R2 Complete: each outcome that it allows is shown by some schedule, so that an SRCU that waits for too much is found
 *    as well. The oracle's interleaving of an outcome is followed; random schedules help where SRCU's own steps
 *    do not let it. The outcome of a test that only a grace period prevents is sought by the interleaving that would
 *    lead to it if none waited. With eight processes only the outcome of the test is asked for, and none else.
 */
import { bounded, random } from '../../sched/index.ts'
import type { Policy } from '../../sched/index.ts'
import type { SrcuKind } from '../../notifier/index.ts'
import { nextPlan } from '../explore/index.ts'
import { Following, LitmusRun } from './machine.ts'
import type { MakeSrcu } from './machine.ts'
import { allowedOutcomes } from './oracle.ts'
import { outcomeText } from './program.ts'
import type { Litmus, Misuse } from './tests.ts'

/** Every implementation. */
export const srcuKinds: readonly SrcuKind[] = ['tiny', 'classic', 'counted']

/** Processes of which the oracle knows every outcome. */
const MOST_PROCESSES = 6

export interface LitmusOptions {
  /** Preemptions of the schedules that are all run, if they are no more than `schedules`. Default 1. */
  readonly preemptions?: number
  /** Bounded and random schedules, at most so many of each. Default 200. */
  readonly schedules?: number
  readonly make?: MakeSrcu
  readonly stop?: () => boolean
}

export interface LitmusResult {
  readonly name: string
  readonly kind: SrcuKind
  /** Outcomes that the oracle allows; null where it was asked for the test's own alone, since all would be too many. */
  readonly allowed: number | null
  /** Those that were shown. */
  readonly shown: number
  /** The outcome of the test was shown. */
  readonly exists: boolean
  /** All schedules within the preemptions were run. */
  readonly exhausted: boolean
  readonly schedules: number
  /** What is wrong, or null. */
  readonly wrong: string | null
}

/** Runs one test on one implementation. */
export async function runLitmus(test: Litmus, kind: SrcuKind, options: LitmusOptions = {}): Promise<LitmusResult> {
  const names = Object.keys(test.exists)
  const alone = test.procs.length > MOST_PROCESSES
  const allowed = allowedOutcomes(test.procs, names, alone ? { wanted: test.exists } : {})
  const wanted = names.map((name) => `${name}=${test.exists[name]}`).join(' ')
  const shown = new Set<string>()
  let wrong: string | null = null
  let schedules = 0
  const isOver = (): boolean => wrong !== null || options.stop?.() === true
  const run = async (policy: Policy): Promise<void> => {
    const machine = new LitmusRun(kind, policy, test.procs, options.make)
    schedules++
    try {
      await machine.run(test.procs)
    } catch (error) {
      wrong = error instanceof Error ? error.message : String(error)
      return
    }
    const outcome = outcomeText(names, machine.values)
    shown.add(outcome)
    if (alone && outcome !== wanted) return
    if (!allowed.has(outcome)) wrong = `${outcome} was shown, and cannot be`
  }
  const most = options.schedules ?? 200
  const prevented = allowedOutcomes(test.procs, names, { wanted: test.exists, waits: false }).get(wanted)
  if (prevented !== undefined && !allowed.has(wanted)) await run(new Following(prevented))
  for (const witness of allowed.values()) if (!isOver()) await run(new Following(witness))
  let plan: number[] | null = []
  for (let made = 0; plan !== null && made < most && !isOver(); made++) {
    const policy = bounded(plan)
    await run(policy)
    plan = nextPlan(policy.taken, options.preemptions ?? 1)
  }
  for (let seed = 1; seed <= most && !isOver(); seed++) await run(random(seed, { period: 1 + (seed % 4) }))
  const missing = [...allowed.keys()].filter((outcome) => !shown.has(outcome))
  if (wrong === null && missing.length > 0 && options.stop?.() !== true) wrong = `never shown: ${missing.join('; ')}`
  const reachable = test.linux === 'Sometimes' && !test.needsWeakMemory
  if (allowed.has(wanted) !== reachable) wrong = `the oracle ${reachable ? 'does not allow' : 'allows'} ${wanted}`
  return {
    name: test.name,
    kind,
    allowed: alone ? null : allowed.size,
    shown: shown.size,
    exists: shown.has(wanted),
    exhausted: plan === null,
    schedules,
    wrong,
  }
}

export interface MisuseResult {
  readonly name: string
  readonly kind: SrcuKind
  /** What the API said, or null. */
  readonly reported: string | null
  readonly wrong: string | null
}

/** Runs what the API has to refuse. */
export async function runMisuse({ name, procs, reported: expected }: Misuse, kind: SrcuKind): Promise<MisuseResult> {
  let reported: string | null = null
  try {
    await new LitmusRun(kind, bounded(), procs).run(procs)
  } catch (error) {
    reported = error instanceof Error ? error.message : String(error)
  }
  const isRight = expected === null ? reported === null : reported !== null && expected.test(reported)
  return { name, kind, reported, wrong: isRight ? null : (reported ?? 'nothing was reported') }
}
