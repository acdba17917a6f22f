/** What a command is: one row of the table from which help, completion, parsing and errors are made. */
import type { ExitCode } from './exit-code.ts'
import type { OptionTable, OptionValues } from './options.ts'
import { Output } from './output.ts'
import type { Io } from './output.ts'
import { UsageError } from './options.ts'
import { parse } from './parse.ts'

/** Options that every command takes. */
export const COMMON_OPTIONS: {
  readonly json: { readonly type: 'flag'; readonly summary: string }
  readonly 'no-color': { readonly type: 'flag'; readonly summary: string }
  readonly debug: { readonly type: 'flag'; readonly summary: string }
  readonly help: { readonly type: 'flag'; readonly short: string; readonly summary: string }
} = {
  json: { type: 'flag', summary: 'print one JSON object a line on stdout, and nothing else there' },
  'no-color': { type: 'flag', summary: 'no colours (also: NO_COLOR; FORCE_COLOR forces them)' },
  debug: { type: 'flag', summary: 'print the stack of an error' },
  help: { type: 'flag', short: 'h', summary: 'help on this command' },
}

export interface Operand {
  readonly name: string
  readonly summary: string
  readonly required: boolean
  /** How many there may be. Default 1. */
  readonly most?: number
  /** What completion offers. */
  readonly completes: 'guests' | 'commands' | readonly string[]
}

/** A command, without the types of its options. */
export interface Command {
  readonly name: string
  readonly summary: string
  /** Paragraphs for `umbra help NAME`. */
  readonly details: readonly string[]
  readonly operand: Operand | undefined
  readonly options: OptionTable
  readonly examples: readonly (readonly [command: string, what: string])[]
  /** Parses the arguments and runs. @throws UsageError */
  invoke(args: readonly string[], io: Io, help: (command: Command, output: Output) => void): Promise<ExitCode>
}

export interface CommandSpec<T extends OptionTable> {
  readonly name: string
  readonly summary: string
  readonly details?: readonly string[]
  readonly operand?: Operand
  readonly options: T
  readonly examples?: readonly (readonly [command: string, what: string])[]
  run(
    values: OptionValues<T>,
    operand: string | undefined,
    output: Output,
    operands: readonly string[],
  ): Promise<ExitCode>
}

/** Ties a command's options to the types that its `run` receives. */
export function defineCommand<const T extends OptionTable>(spec: CommandSpec<T>): Command {
  const options = { ...spec.options, ...COMMON_OPTIONS }
  const command: Command = {
    name: spec.name,
    summary: spec.summary,
    details: spec.details ?? [],
    operand: spec.operand,
    options,
    examples: spec.examples ?? [],
    async invoke(args, io, help) {
      const { values, operands } = parse(args, options)
      const common = values as OptionValues<typeof COMMON_OPTIONS>
      const output = new Output(io, { json: common.json, noColor: common['no-color'] })
      if (common.help) {
        help(command, output)
        return 0
      }
      const most = spec.operand === undefined ? 0 : (spec.operand.most ?? 1)
      if (operands.length > most) {
        const extra = operands[most]!
        throw new UsageError(`unexpected argument '${extra}'`, `umbra help ${spec.name} shows what it takes`)
      }
      if (spec.operand?.required === true && operands.length === 0) {
        throw new UsageError(`${spec.operand.name} is missing: ${spec.operand.summary}`, `umbra help ${spec.name}`)
      }
      return spec.run(values, operands[0], output, operands)
    },
  }
  return command
}
