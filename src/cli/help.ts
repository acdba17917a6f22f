/** `umbra help`: made from the tables, like everything else that names an option. */
import type { Command } from './command.ts'
import { COMMON_OPTIONS } from './command.ts'
import { EXIT_CODE_TEXT } from './exit-code.ts'
import { optionUsage } from './options.ts'
import type { OptionTable } from './options.ts'
import type { Output } from './output.ts'
import { wrap } from '../view/index.ts'

const WIDTH = 100

/** Two columns: what is typed, and what it does. */
function columns(rows: readonly (readonly [left: string, right: string])[], left: number): string[] {
  return rows.flatMap(([head, text]) => {
    const lines = wrap(text, WIDTH - left - 4)
    const first =
      head.length > left ? [`  ${head}`, `  ${''.padEnd(left)}  ${lines[0]}`] : [`  ${head.padEnd(left)}  ${lines[0]}`]
    return [...first, ...lines.slice(1).map((line) => `  ${''.padEnd(left)}  ${line}`)]
  })
}

function optionRows(table: OptionTable): (readonly [string, string])[] {
  return Object.entries(table).map(([name, spec]) => {
    const usage = optionUsage(name, spec)
    const choices = spec.type === 'list' ? `; all, or some of ${(spec.choices ?? []).join(', ')}` : ''
    const otherwise = spec.default === undefined ? '' : ` (default ${spec.default})`
    return [usage, `${spec.summary}${choices}${otherwise}`]
  })
}

const usageLine = (command: Command): string => {
  const operand = command.operand
  const shown = operand === undefined ? '' : operand.required ? ` ${operand.name}` : ` [${operand.name}]`
  return `umbra ${command.name}${shown} [options]`
}

/** Help on one command. */
export function commandHelp(command: Command, output: Output): void {
  if (output.json) return output.object({ type: 'help', ...describe(command) })
  const { bold } = output.chalk
  const own = Object.fromEntries(Object.entries(command.options).filter(([name]) => !(name in COMMON_OPTIONS)))
  const print = (lines: readonly string[]): void => lines.forEach((line) => output.line(line))
  output.line(`${bold(`umbra ${command.name}`)}: ${command.summary}`)
  output.line()
  output.line(`usage: ${usageLine(command)}`)
  if (command.operand !== undefined) print(columns([[command.operand.name, command.operand.summary]], 26))
  for (const paragraph of command.details) {
    output.line()
    print(wrap(paragraph, WIDTH))
  }
  if (Object.keys(own).length > 0) {
    output.line()
    output.line(bold('options'))
    print(columns(optionRows(own), 26))
  }
  output.line()
  output.line(bold('common options'))
  print(columns(optionRows(COMMON_OPTIONS), 26))
  if (command.examples.length === 0) return
  output.line()
  output.line(bold('examples'))
  for (const [line, what] of command.examples) {
    output.line(`  ${what}`)
    output.line(`    $ ${line}`)
  }
}

/** Help on all commands. */
export function generalHelp(commands: readonly Command[], output: Output): void {
  if (output.json) {
    for (const command of commands) output.object({ type: 'help', ...describe(command) })
    return
  }
  const { bold } = output.chalk
  output.line('umbra: RISC-V guests on a KVM-like hypervisor, while the host takes their pages away')
  output.line()
  output.line('usage: umbra COMMAND [options]      without arguments: umbra demo')
  output.line()
  output.line(bold('commands'))
  for (const line of columns(
    commands.map(({ name, summary }) => [name, summary]),
    12,
  ))
    output.line(line)
  output.line()
  output.line(bold('exit codes'))
  for (const [code, text] of EXIT_CODE_TEXT) output.line(`  ${code}  ${text}`)
  output.line()
  output.line('umbra help COMMAND shows the options of a command; umbra --version the version.')
}

function describe(command: Command): object {
  const { name, summary, operand, options, examples } = command
  return { name, summary, usage: usageLine(command), operand, options, examples: examples.map(([line]) => line) }
}
