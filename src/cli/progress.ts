/**
 * Rate and progress of a search, on one line of a terminal's standard error.
 *
 * R1 What is left is an estimate and is called so: known for hunts; for a bounded search that is running, from where it
 *    is in its tree; for one that has not begun, the mean of those that have ended. Proofs have no schedules: there the
 *    number of those to come is told, and the time that they take if they are like those that have ended.
 * R2 Nobody knows how many states a scenario has. Of a proof that runs, states and rate are told, and how deep it is.
 */
import type { Unit, UnitResult } from '../check/index.ts'
import { countText, plural, timeText } from '../view/index.ts'
import type { SharedWords } from './check-budget.ts'
import type { Output } from './output.ts'
import type { UnitRunner } from './units.ts'

const REDRAW_MILLISECONDS = 100

/** What is known about the unit that runs in this thread. */
export interface RunningUnit {
  readonly schedules: number
  readonly left: (() => number) | undefined
}

/** Schedules still to be run: an estimate. */
export function schedulesLeft(
  waiting: readonly Unit[],
  results: Iterable<UnitResult>,
  running: RunningUnit | null = null,
): number {
  let trees = 0
  let inTrees = 0
  for (const { words, schedules } of results) {
    if (words === null) continue
    trees++
    inTrees += schedules
  }
  let left = running?.left?.() ?? 0
  for (const { policy, count } of waiting) {
    const isHunt = policy === 'pct' || policy === 'random'
    left += isHunt || trees === 0 ? count : Math.min(count, inTrees / trees)
  }
  return Math.round(left)
}

/** The line. @param milliseconds since the search began */
export function progressText(place: string, schedules: number, left: number, milliseconds: number): string {
  const rate = (schedules * 1000) / Math.max(1, milliseconds)
  const text = `${place} ${plural(schedules, 'schedule')}, ${countText(Math.round(rate))} a second`
  if (left === 0 || !Number.isFinite(left) || rate === 0) return text
  return `${text}, about ${countText(left)} left (${timeText(Math.round((left / rate) * 1e9))})`
}

/** How far the proof is that runs in this thread. */
export interface RunningProof {
  readonly states: number
  /** States on the path to the present one. */
  readonly depth: number
  readonly milliseconds: number
}

/** The line of a search that proves. @param done proofs that have ended, @param waiting those that have not */
export function proofText(
  place: string,
  states: number,
  done: number,
  waiting: number,
  milliseconds: number,
  running: RunningProof | null = null,
): string {
  const text = running === null ? `${place} ${plural(states, 'state')}` : `${place} ${runningText(running)}`
  if (waiting === 0) return text
  const time = done === 0 ? '' : ` (${timeText(Math.round((milliseconds / done) * waiting * 1e6))})`
  return `${text}, about ${plural(waiting, 'proof')} left${time}`
}

function runningText({ states, depth, milliseconds }: RunningProof): string {
  const rate = Math.round((states * 1000) / Math.max(1, milliseconds))
  return `${plural(states, 'state')} so far, ${countText(rate)} a second, depth ${countText(depth)}`
}

/** Draws while a search runs. */
export class Progress {
  private running: RunningUnit | null = null
  private proof: RunningProof | null = null
  private proofBegan = 0
  private readonly output: Output
  private readonly began = performance.now()
  private timer: NodeJS.Timeout | null = null

  constructor(output: Output) {
    this.output = output
  }

  /** Told of each run of the unit that runs in this thread. */
  ran(schedules: number, left: (() => number) | undefined): void {
    this.running = { schedules, left }
    this.proof = null
  }

  /** Told now and then by the proof that runs in this thread. */
  proves(states: number, depth: number): void {
    const now = performance.now()
    if (this.proof === null || states < this.proof.states) this.proofBegan = now
    this.proof = { states, depth, milliseconds: now - this.proofBegan }
  }

  /** @param place what is being done, @param made what was made so far */
  begin(runner: UnitRunner, place: () => string, made: Pick<SharedWords, 'schedules' | 'states'>): void {
    const { stderr, env } = this.output.io
    if (stderr.isTTY !== true || env['TERM'] === 'dumb' || this.output.json) return
    this.output.beforeWrite = () => this.erase()
    this.timer = setInterval(() => {
      const text = this.text(runner, place(), made)
      this.erase()
      stderr.write(text.slice(0, (stderr.columns || 80) - 1))
    }, REDRAW_MILLISECONDS)
  }

  end(): void {
    if (this.timer === null) return
    clearInterval(this.timer)
    this.erase()
  }

  private text(runner: UnitRunner, place: string, made: Pick<SharedWords, 'schedules' | 'states'>): string {
    const elapsed = performance.now() - this.began
    const waiting = runner.waiting()
    const proofs = waiting.filter(({ policy }) => policy === 'prove').length
    const proved = [...runner.results.values()].filter(({ states }) => states > 0).length
    if (proofs + proved > 0 || this.proof !== null) {
      return proofText(place, made.states, proved, proofs, elapsed, this.proof)
    }
    const left = schedulesLeft(waiting, runner.results.values(), this.running)
    return progressText(place, made.schedules, left, elapsed)
  }

  private erase(): void {
    this.output.io.stderr.write('\r\x1b[K')
  }
}
