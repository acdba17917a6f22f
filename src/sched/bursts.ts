/**
 * Bursts: how a kernel shares the event loop with the program around it.
 *
 * A kernel runs for some real time, stops between two steps, and goes on in the next turn of the event loop. If a burst
 * runs out of microtasks while a task still holds the token, that task awaits something foreign.
 *
 * R1 Real time decides when a burst ends, never what runs next: no decision and no trace event depends on it.
 */
import { afterMicrotasks, nextTurn, realMilliseconds } from './host-loop.ts'

/** Real milliseconds of one burst. */
const BURST_MILLISECONDS = 20
/** Questions between two looks at the real clock. */
const BURST_CHECK = 64

export class Bursts {
  static readonly opaque = true
  phase: 'idle' | 'running' | 'breathing' | 'ended' = 'idle'
  private endsAt = 0
  private untilCheck = BURST_CHECK
  private readonly onTurn: (() => void) | undefined
  private readonly onForeignAwait: () => void

  /**
   * @param onTurn called before each burst
   * @param onForeignAwait called when the running task awaits what the scheduler does not own
   */
  constructor(onTurn: (() => void) | undefined, onForeignAwait: () => void) {
    this.onTurn = onTurn
    this.onForeignAwait = onForeignAwait
  }

  /** Has the present burst had its time? */
  isOver(): boolean {
    if (--this.untilCheck > 0) return false
    if (realMilliseconds() >= this.endsAt) return true
    this.untilCheck = BURST_CHECK
    return false
  }

  /** Nothing runs until somebody outside says so. */
  pause(): void {
    this.phase = 'breathing'
  }

  /** Ends the present burst; `begin` opens the next one, after the surrounding program has had its turn. */
  next(begin: () => void): void {
    this.phase = 'breathing'
    nextTurn(() => {
      this.onTurn?.()
      this.phase = 'running'
      this.endsAt = realMilliseconds() + BURST_MILLISECONDS
      this.untilCheck = BURST_CHECK
      afterMicrotasks(() => {
        if (this.phase === 'running') this.onForeignAwait()
      })
      begin()
    })
  }
}
