/**
 * Progress on stderr: a block that is redrawn in place on a terminal, lines elsewhere.
 *
 * R1 On a terminal at most ten redraws a second of real time; elsewhere a line each so many virtual nanoseconds, so that
 *    two runs of one seed print the same.
 */
import { progressBlock, progressLine } from '../view/index.ts'
import type { RunProgress } from '../check/index.ts'
import type { Io, Sink } from './output.ts'

const REDRAW_MILLISECONDS = 100
const LINE_EVERY_NS = 500_000

export class Live {
  /** True when the block can be redrawn in place. */
  readonly isTerminal: boolean
  private readonly sink: Sink
  private drawn = 0
  private lastDraw = 0
  private nextLine = LINE_EVERY_NS

  constructor({ stderr, env }: Io) {
    this.sink = stderr
    this.isTerminal = stderr.isTTY === true && env['TERM'] !== 'dumb'
  }

  /** Redraws the block, if it is time to. */
  redraw(progress: () => RunProgress): void {
    const now = performance.now()
    if (now - this.lastDraw < REDRAW_MILLISECONDS) return
    this.lastDraw = now
    const width = this.sink.columns ?? 80
    const lines = progressBlock(progress()).map((line) => line.slice(0, width - 1))
    this.erase()
    this.sink.write(lines.map((line) => `${line}\n`).join(''))
    this.drawn = lines.length
  }

  /** Prints a line, if it is time to. @param now virtual nanoseconds */
  line(now: number, progress: () => RunProgress): void {
    if (now < this.nextLine) return
    this.nextLine = now - (now % LINE_EVERY_NS) + LINE_EVERY_NS
    this.sink.write(`${progressLine(progress())}\n`)
  }

  /** Removes the block, so that something else can be printed. */
  erase(): void {
    if (this.drawn > 0) this.sink.write(`\x1b[${this.drawn}A\x1b[J`)
    this.drawn = 0
  }
}
