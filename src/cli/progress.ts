/** Rate and progress of a search, on one line of a terminal's standard error. */
import { countText, plural } from '../view/index.ts'
import type { Output } from './output.ts'

/** Rate and progress on one line of a terminal. */
export class Progress {
  private readonly output: Output
  private readonly began = performance.now()
  private lastDraw = 0
  private runs = 0

  constructor(output: Output) {
    this.output = output
    if (this.isShown) output.beforeWrite = () => this.erase()
  }

  ran(scenario: string, place: string, schedules: number): void {
    this.runs++
    const now = performance.now()
    if (!this.isShown || now - this.lastDraw < 100) return
    this.lastDraw = now
    const rate = Math.round((this.runs * 1000) / Math.max(1, now - this.began))
    this.erase()
    this.output.io.stderr.write(`${place} ${scenario}: ${plural(schedules, 'schedule')}, ${countText(rate)} a second`)
  }

  erase(): void {
    if (this.isShown) this.output.io.stderr.write('\r\x1b[K')
  }

  private get isShown(): boolean {
    const { stderr, env } = this.output.io
    return stderr.isTTY === true && env['TERM'] !== 'dumb' && !this.output.json
  }
}
