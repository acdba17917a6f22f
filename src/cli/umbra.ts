/**
 * The umbra command: from arguments to an exit code.
 *
 * R1 A mistake of the user is one line on stderr, perhaps with one line that helps; a stack only with --debug.
 */
import { DeadlockError, TaskFailure } from '../sched/index.ts'
import { KernelBug, KernelError } from '../base/index.ts'
import { findCommand, COMMANDS } from './commands.ts'
import { ExitCode } from './exit-code.ts'
import { commandHelp, generalHelp } from './help.ts'
import { UsageError } from './options.ts'
import { Output } from './output.ts'
import type { Io } from './output.ts'
import { version } from './version.ts'

function dispatch(args: readonly string[], io: Io): Promise<ExitCode> {
  const [first, ...rest] = args
  const output = (): Output => new Output(io, { json: args.includes('--json'), noColor: args.includes('--no-color') })
  if (first === '--version' || first === '-V') {
    if (args.includes('--json')) output().object({ type: 'version', version: version() })
    else output().line(`umbra ${version()}`)
    return Promise.resolve(ExitCode.consistent)
  }
  if (first === '--help' || first === '-h') {
    generalHelp(COMMANDS, output())
    return Promise.resolve(ExitCode.consistent)
  }
  if (first === undefined || first.startsWith('-')) return findCommand('demo').invoke(args, io, commandHelp)
  return findCommand(first).invoke(rest, io, commandHelp)
}

/** The failure itself, without the task or deadlock report around it. */
const rootOf = (error: unknown): unknown => (error instanceof TaskFailure ? rootOf(error.cause) : error)

function report(error: unknown, args: readonly string[], io: Io): ExitCode {
  const root = rootOf(error)
  const message = error instanceof Error ? error.message : String(error)
  if (args.includes('--json')) new Output(io, { json: true, noColor: true }).object({ type: 'error', message })
  io.stderr.write(`umbra: ${message}\n`)
  if (root instanceof UsageError && root.hint !== undefined) io.stderr.write(`umbra: ${root.hint}\n`)
  if (args.includes('--debug') && root instanceof Error) io.stderr.write(`${root.stack}\n`)
  if (root instanceof UsageError) return ExitCode.badInput
  if (root instanceof KernelError) return root.code === 'ENOMEM' ? ExitCode.budget : ExitCode.badInput
  if (root instanceof DeadlockError) return ExitCode.violation
  if (root instanceof KernelBug && root.invariant !== undefined) return ExitCode.violation
  return ExitCode.internal
}

/** Runs one command. Never throws. */
export async function umbra(args: readonly string[], io: Io): Promise<ExitCode> {
  try {
    return await dispatch(args, io)
  } catch (error) {
    return report(error, args, io)
  }
}
