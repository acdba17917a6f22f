/** The command line as typed values: node:util's parseArgs behind the tables. */
import { parseArgs } from 'node:util'
import { UsageError, didYouMean, parseValue } from './options.ts'
import type { OptionTable, OptionValues } from './options.ts'

export interface Parsed<T extends OptionTable> {
  readonly values: OptionValues<T>
  readonly operands: readonly string[]
}

/**
 * Parses the arguments of one command.
 * @throws UsageError for an unknown option, a missing or an unfit value
 */
export function parse<T extends OptionTable>(args: readonly string[], table: T): Parsed<T> {
  const names = Object.keys(table)
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { type, short }]) => [
      name,
      { type: type === 'flag' ? ('boolean' as const) : ('string' as const), ...(short === undefined ? {} : { short }) },
    ]),
  )
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true, allowPositionals: true })
  const values: Record<string, unknown> = {}
  for (const [name, spec] of Object.entries(table)) {
    if (spec.type === 'flag') values[name] = false
    else values[name] = spec.default === undefined ? undefined : parseValue(name, spec, spec.default)
  }
  const operands: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') operands.push(token.value)
    if (token.kind !== 'option') continue
    const spec = table[token.name]
    if (spec === undefined) {
      const near = didYouMean(token.name, names)?.replace("'", "'--")
      throw new UsageError(`unknown option '${token.rawName}'`, near)
    }
    if (spec.type === 'flag') {
      if (token.value !== undefined)
        throw new UsageError(`--${token.name} takes no value; it was given '${token.value}'`)
      values[token.name] = true
    } else if (token.value === undefined || (!token.inlineValue && /^--?[a-z]/.test(token.value))) {
      throw new UsageError(`--${token.name} needs a value: ${spec.summary}`)
    } else {
      values[token.name] = parseValue(token.name, spec, token.value)
    }
  }
  return { values: values as OptionValues<T>, operands }
}
