/**
 * Progress on stderr: a block that is redrawn in place on a terminal, lines elsewhere.
 *
 * R1 On a terminal at most ten redraws a second of real time; elsewhere a line each so many virtual nanoseconds, so that
 *    two runs of one seed print the same.
 */
import { progressBlock, progressLine } from '../view/index.ts'
import type { RunProgress } from '../check/index.ts'

const REDRAW_MILLISECONDS = 100
const LINE_EVERY_NS = 20_000_000

export interface LiveOptions {
  /** Print lines when stderr is no terminal. */
  readonly lines: boolean
}

export class Live {
  private readonly terminal: boolean = process.stderr.isTTY && process.env['TERM'] !== 'dumb'
  private readonly lines: boolean
  private drawn = 0
  private lastDraw = 0
  private nextLine = LINE_EVERY_NS

  constructor(options: LiveOptions) {
    this.lines = options.lines
  }

  /** Shows how far the run is, if it is time to. */
  update(progress: () => RunProgress): void {
    if (this.terminal) {
      const now = performance.now()
      if (now - this.lastDraw < REDRAW_MILLISECONDS) return
      this.lastDraw = now
      const width = process.stderr.columns || 80
      const lines = progressBlock(progress()).map((line) => line.slice(0, width - 1))
      this.erase()
      process.stderr.write(lines.map((line) => `${line}\n`).join(''))
      this.drawn = lines.length
      return
    }
    if (!this.lines) return
    const run = progress()
    if (run.now < this.nextLine) return
    this.nextLine = run.now - (run.now % LINE_EVERY_NS) + LINE_EVERY_NS
    process.stderr.write(`${progressLine(run)}\n`)
  }

  /** Removes the block, so that something else can be printed. */
  erase(): void {
    if (this.drawn > 0) process.stderr.write(`\x1b[${this.drawn}A\x1b[J`)
    this.drawn = 0
  }
}
