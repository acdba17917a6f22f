/**
 * What an option is, and how its text becomes a value.
 *
 * The tables in `commands.ts` are made of these; parsing, help, error messages and completion scripts read them, so an
 * option is described once.
 *
 * R1 A default is written as text, as a user would type it, and goes through the same parser.
 */

export interface OptionSpec {
  /**
   * - `flag` takes no value
   * - `count` a whole number; `k`, `M`, `G` multiply by powers of 1000
   * - `size` bytes; `K`, `M`, `G` (also `KiB`, `MB`) multiply by powers of 1024
   * - `choice` one of `choices`; `list` some of them, separated by commas, or `all`
   * - `file` a path; `text` anything
   */
  readonly type: 'flag' | 'count' | 'size' | 'choice' | 'list' | 'file' | 'text'
  /** One line for help. */
  readonly summary: string
  readonly default?: string
  readonly choices?: readonly string[]
  /** What stands for the value in help; the type's name in capitals otherwise. */
  readonly placeholder?: string
  readonly short?: string
  /** Smallest legal value of a count or size. Default 0. */
  readonly least?: number
  /** Largest legal value of a count or size. */
  readonly most?: number
}

export type OptionTable = Readonly<Record<string, OptionSpec>>

type Value<O extends OptionSpec> = O['type'] extends 'flag'
  ? boolean
  :
      | (O['type'] extends 'count' | 'size' ? number : O['type'] extends 'list' ? readonly string[] : string)
      | (O extends { readonly default: string } ? never : undefined)

/** The values of a table's options, by name. */
export type OptionValues<T extends OptionTable> = { readonly [K in keyof T]: Value<T[K]> }

/** What a user got wrong: one line, and one line that helps. */
export class UsageError extends Error {
  readonly hint: string | undefined

  constructor(message: string, hint?: string) {
    super(message)
    this.name = 'UsageError'
    this.hint = hint
  }
}

const DECIMAL: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 }
const BINARY: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 }

function quantity(text: string, units: Readonly<Record<string, number>>, suffix: RegExp): number | undefined {
  const match = /^(0x[0-9a-f]+|\d[\d_]*(?:\.\d+)?)([a-z]*)$/i.exec(text)
  if (match === null) return undefined
  const unit = units[match[2]!.toLowerCase().replace(suffix, '')]
  const value = Number(match[1]!.replaceAll('_', '')) * (unit ?? NaN)
  return Number.isSafeInteger(value) ? value : undefined
}

/** Bytes in `64M`, `4KiB`, `0x1000`; undefined when it is none. */
export const parseSize = (text: string): number | undefined => quantity(text, BINARY, /i?b$/)
/** The number in `100`, `5M`, `2_000`, `0x10`; undefined when it is none. */
export const parseCount = (text: string): number | undefined => quantity(text, DECIMAL, /$^/)

/**
 * The value that a text stands for.
 * @throws UsageError naming the option, the text and what was expected
 */
export function parseValue(name: string, spec: OptionSpec, text: string): string | number | readonly string[] {
  const expected = (what: string, hint?: string): UsageError =>
    new UsageError(`--${name} is '${text}'; expected ${what}`, hint)
  switch (spec.type) {
    case 'count':
    case 'size': {
      const value = spec.type === 'size' ? parseSize(text) : parseCount(text)
      const example = spec.type === 'size' ? 'a size such as 4096, 64K or 2M' : 'a whole number such as 100, 5k or 2M'
      if (value === undefined) throw expected(example)
      const { least = 0, most = Infinity } = spec
      if (value < least || value > most) throw expected(most === Infinity ? `${least} or more` : `${least} to ${most}`)
      return value
    }
    case 'choice': {
      const choices = spec.choices ?? []
      if (!choices.includes(text)) throw expected(`one of ${choices.join(', ')}`, didYouMean(text, choices))
      return text
    }
    case 'list': {
      const choices = spec.choices ?? []
      if (text === 'all') return choices
      const items = text.split(',').filter((item) => item !== '')
      const stranger = items.find((item) => !choices.includes(item))
      if (stranger !== undefined) {
        const hint = didYouMean(stranger, choices)
        throw new UsageError(`--${name}: unknown '${stranger}'; expected some of ${choices.join(', ')}, or all`, hint)
      }
      return items
    }
    case 'flag':
    case 'file':
    case 'text':
      return text
  }
}

/** Edits that turn one word into the other (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}

/** `did you mean 'x'?` for the nearest word, when one is near. */
export function didYouMean(word: string, words: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of words) {
    const edits = candidate.startsWith(word) && word.length > 1 ? 0 : distance(word, candidate)
    if (edits >= least) continue
    least = edits
    best = candidate
  }
  return best === undefined ? undefined : `did you mean '${best}'?`
}

/** `--memory SIZE`, `-h, --help`: how help shows an option. */
export function optionUsage(name: string, spec: OptionSpec): string {
  const value =
    spec.type === 'flag' ? '' : ` ${spec.placeholder ?? (spec.choices ?? [spec.type.toUpperCase()]).join('|')}`
  return `${spec.short === undefined ? '' : `-${spec.short}, `}--${name}${value}`
}
