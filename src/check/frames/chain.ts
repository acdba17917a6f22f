/**
 * Where a task stands, in words: its chain of calls with their places and the locals that matter. For timelines.
 *
 * R1 Nothing here changes anything; values are shortened.
 */
import { placeIn, running } from './runtime.ts'
import type { Frame } from './runtime.ts'

/** One call of a chain. Plain JSON. */
export interface CallView {
  readonly call: string
  readonly file: string
  /** From 1, both. */
  readonly line: number
  readonly column: number
  /** Names and values. */
  readonly locals: readonly (readonly [string, string])[]
}

/** The calls around what runs now, innermost first; empty when no lowered function runs. */
export function runningCalls(): readonly CallView[] {
  return callsFrom(running.frame)
}

/** The calls of a parked chain, innermost first. */
export function callsFrom(leaf: Frame | null): readonly CallView[] {
  const calls: CallView[] = []
  for (let at = leaf; at !== null; at = at.parent ?? at.caller) calls.push(viewOf(at))
  return calls
}

function viewOf(frame: Frame): CallView {
  const { site, module, pc } = frame
  const [line, column] = placeIn(frame)
  const values = frame.locals()
  const live = pc < 0 ? [] : site.live[pc]!
  const locals: [string, string][] = []
  for (const at of live) {
    const name = site.locals[at]!
    // Temporaries begin with a dollar sign, renamed variables end in one and a number.
    if (name.startsWith('$') || values[at] === undefined) continue
    locals.push([name.replace(/\$\d+$/, ''), valueText(values[at])])
  }
  return { call: site.name, file: module.file, line, column: column + 1, locals }
}

const LONGEST = 24

function valueText(value: unknown, depth = 0): string {
  switch (typeof value) {
    case 'number':
      return Number.isInteger(value) && value >= 4096 ? `0x${value.toString(16)}` : String(value)
    case 'bigint':
      return `0x${value.toString(16)}`
    case 'string':
      return value.length > LONGEST ? `'${value.slice(0, LONGEST)}..'` : `'${value}'`
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'function':
      return 'function'
    case 'object':
      return value === null ? 'null' : objectText(value, depth)
    default:
      return typeof value
  }
}

function objectText(value: object, depth: number): string {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    const list = Array.from(value as unknown as ArrayLike<unknown>)
    if (depth > 0) return `[${list.length}]`
    const shown = list.slice(0, 4).map((one) => valueText(one, depth + 1))
    return `[${shown.join(' ')}${list.length > shown.length ? ' ..' : ''}]`
  }
  const { id, name, start, end } = value as Partial<Record<'id' | 'name' | 'start' | 'end', unknown>>
  const kind = value.constructor.name
  if (typeof name === 'string') return `${kind} ${name}`
  if (typeof id === 'number') return `${kind} ${id}`
  if (typeof start === 'number' && typeof end === 'number') return `${valueText(start)}-${valueText(end)}`
  return kind
}
