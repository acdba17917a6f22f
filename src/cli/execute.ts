/**
 * Runs a session for a command: progress, trace file, Ctrl-C, and what is printed at the end.
 *
 * R1 Ctrl-C ends the run where it stands and prints the verdict so far; a second one ends the process at once.
 * R2 A reader of stdout that has gone away ends the run in the same way.
 */
import { closeSync, openSync } from 'node:fs'
import type { Probe } from '../base/index.ts'
import { checksMade, verdictOf } from '../check/index.ts'
import type { RunProgress, RunReport, Session, SessionOptions, Verdict } from '../check/index.ts'
import { TRACE_HEADER, eventText, traceLine, verdictLine, violationLines } from '../view/index.ts'
import { ExitCode } from './exit-code.ts'
import { Live } from './live.ts'
import { UsageError } from './options.ts'
import { LineFile } from './output.ts'
import type { Output } from './output.ts'

/** The parts of a session's options that the command line does not choose. */
type Hooks = Pick<SessionOptions, 'probe' | 'onTurn'>

export interface ExecuteOptions {
  /** Print progress as lines when stderr is no terminal. */
  readonly lines: boolean
  /** File for the trace, or undefined. */
  readonly trace: string | undefined
}

/** Opens a file for writing. @throws UsageError */
export function openForWriting(path: string, option: string): number {
  try {
    return openSync(path, 'w')
  } catch (error) {
    throw new UsageError(`--${option}: cannot write '${path}': ${(error as NodeJS.ErrnoException).code}`)
  }
}

/** Runs a session to its end, or to Ctrl-C. */
export async function execute(
  create: (hooks: Hooks) => Session,
  options: ExecuteOptions,
  output: Output,
): Promise<RunReport> {
  const fd = options.trace === undefined ? undefined : openForWriting(options.trace, 'trace')
  const trace = fd === undefined ? undefined : new LineFile(fd)
  for (const line of TRACE_HEADER) trace?.write(line)
  const live = new Live(output.io)
  output.beforeWrite = () => live.erase()
  let session: Session
  const progress = (): RunProgress => session.progress()
  const lines = options.lines && !live.isTerminal && !output.json
  const probe: Probe = (event, stamp) => {
    trace?.write(traceLine(event, stamp))
    if (lines) live.line(stamp.now, progress)
  }
  const hooks: Hooks = {
    probe: lines || trace !== undefined ? probe : undefined,
    onTurn: () => {
      if (output.closed) session.stop()
      if (live.isTerminal && !output.json) live.redraw(progress)
    },
  }
  session = create(hooks)
  let interrupts = 0
  const onInterrupt = (): void => {
    if (++interrupts > 1) process.exit(130)
    session.stop()
  }
  process.on('SIGINT', onInterrupt)
  process.on('SIGTERM', onInterrupt)
  try {
    return await session.run()
  } finally {
    process.off('SIGINT', onInterrupt)
    process.off('SIGTERM', onInterrupt)
    live.erase()
    trace?.flush()
    if (fd !== undefined) closeSync(fd)
  }
}

const EXIT_CODES: Readonly<Record<Verdict, ExitCode>> = {
  consistent: ExitCode.consistent,
  violation: ExitCode.violation,
  crashed: ExitCode.badInput,
  budget: ExitCode.budget,
  internal: ExitCode.internal,
}

export const exitCodeOf = (report: RunReport): ExitCode => EXIT_CODES[verdictOf(report)]

/** The violations and the verdict, in colour: `print` writes one line. */
export function printVerdict(report: RunReport, colours: Output['chalk'], print: (line: string) => void): void {
  for (const violation of report.audit.violations) {
    const [head, ...rest] = violationLines(violation)
    print(colours.red.bold(head!))
    for (const line of rest) print(line)
  }
  const line = verdictLine(report)
  const paint = { consistent: colours.green, budget: colours.yellow, crashed: colours.yellow } as const
  const verdict = verdictOf(report)
  print(verdict === 'violation' || verdict === 'internal' ? colours.red.bold(line) : paint[verdict].bold(line))
}

/** The report as JSON objects, one a line: guests, host, SRCU domains, storms, violations, verdict. */
export function printObjects(report: RunReport, output: Output): void {
  const { figures, audit } = report
  for (const guest of report.guests) output.object({ type: 'guest', ...guest, figures: figures.mm(guest.mm) })
  output.object({ type: 'host', frames: report.frames, swapPages: report.swapPages, ...figures.host })
  for (const domain of figures.srcu.values()) output.object({ type: 'srcu', ...domain })
  for (const storm of report.storms) output.object({ type: 'storm', ...storm })
  for (const { history, ...violation } of audit.violations) {
    const events = history.map(({ event, stamp }) => ({ ...stamp, event: eventText(event) }))
    output.object({ type: 'violation', ...violation, history: events })
  }
  output.object({
    type: 'verdict',
    verdict: verdictOf(report),
    exitCode: exitCodeOf(report),
    message: verdictLine(report),
    seed: report.seed,
    virtualNanoseconds: report.time,
    checks: checksMade(audit),
    checksByInvariant: Object.fromEntries(audit.checks),
    violations: audit.violations.length,
    schedule: report.schedule,
  })
}
