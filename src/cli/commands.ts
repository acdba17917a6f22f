/**
 * The table of commands: names, operands, options with types, defaults and help.
 *
 * Parsing, `umbra help`, error messages and the completion scripts are made from it; nothing repeats it.
 */
import { CHECK_COMMANDS } from './check-commands.ts'
import type { Command } from './command.ts'
import { defineCommand } from './command.ts'
import { SHELLS, completionScript } from './completion.ts'
import { ExitCode } from './exit-code.ts'
import { GUEST_COMMANDS } from './guest-commands.ts'
import { EXAMPLE_GUEST_NAMES } from './guests.ts'
import { commandHelp, generalHelp } from './help.ts'
import { UsageError, didYouMean } from './options.ts'

const commands: Command[] = [
  ...GUEST_COMMANDS,
  ...CHECK_COMMANDS,
  defineCommand({
    name: 'help',
    summary: 'help on all commands, or on one',
    operand: { name: 'COMMAND', summary: 'a command', required: false, completes: 'commands' },
    options: {},
    run(_values, operand, output) {
      if (operand === undefined) generalHelp(commands, output)
      else commandHelp(findCommand(operand), output)
      return Promise.resolve(ExitCode.consistent)
    },
  }),
  defineCommand({
    name: 'completion',
    summary: 'a completion script for a shell',
    operand: { name: 'SHELL', summary: `one of ${SHELLS.join(', ')}`, required: true, completes: SHELLS },
    options: {},
    examples: [['source <(umbra completion bash)', 'complete commands, options and guests in this shell']],
    run(_values, operand, output) {
      const shell = SHELLS.find((name) => name === operand)
      if (shell === undefined) {
        throw new UsageError(
          `unknown shell '${operand}'; expected one of ${SHELLS.join(', ')}`,
          didYouMean(operand!, SHELLS),
        )
      }
      const script = completionScript(shell, commands, EXAMPLE_GUEST_NAMES)
      if (output.json) output.object({ type: 'completion', shell, script })
      else output.line(script)
      return Promise.resolve(ExitCode.consistent)
    },
  }),
]

export const COMMANDS: readonly Command[] = commands

/** @throws UsageError for a command that does not exist */
export function findCommand(name: string): Command {
  const found = commands.find((command) => command.name === name)
  if (found !== undefined) return found
  const isGuest = EXAMPLE_GUEST_NAMES.includes(name) || /\.elf$|\//.test(name)
  const hint = isGuest
    ? `did you mean 'umbra run ${name}'?`
    : didYouMean(
        name,
        commands.map((command) => command.name),
      )
  throw new UsageError(`unknown command '${name}'`, hint ?? 'umbra help shows all commands')
}
