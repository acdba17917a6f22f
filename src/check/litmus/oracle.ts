/**
 * What a litmus test allows on a sequentially consistent machine, by the definition of a grace period and by nothing else:
 * all interleavings of the steps, where `sync` waits exactly for the sections of its domain that were open when it began.
 *
 * R1 Exact: every reachable state is visited once. It shares no code with the implementations of SRCU.
 */
import { isRegister, outcomeText } from './program.ts'
import type { Outcome, Process } from './program.ts'

/** One interleaving: the process that makes each next step. A sync is two of them: it begins, and it ends. */
export type Witness = readonly number[]

/** What a state is: small numbers in one array, so that it has a short key. */
interface State {
  /** By process, its next step; then by process, the sections that its sync waits for, -1 in none; then open sections;
   *  then values of names. */
  readonly cells: readonly number[]
  readonly proc: number
  readonly from: State | null
}

export interface OracleOptions {
  /** Only interleavings whose reads agree with it: with eight processes all of them are too many. */
  readonly wanted?: Outcome
  /** False: a grace period waits for nobody. What can be only then is what an SRCU has to prevent. Default true. */
  readonly waits?: boolean
}

/** Every outcome that can be, each with one interleaving that leads to it. */
export function allowedOutcomes(
  procs: readonly Process[],
  names: readonly string[],
  options: OracleOptions = {},
): ReadonlyMap<string, Witness> {
  const table = new Table(procs, options)
  const seen = new Set<string>()
  const outcomes = new Map<string, Witness>()
  const left = [table.start()]
  for (let state = left.pop(); state !== undefined; state = left.pop()) {
    let ended = true
    for (let proc = 0; proc < procs.length; proc++) {
      if (state.cells[proc] === procs[proc]!.length) continue
      ended = false
      const next = table.advance(state, proc)
      if (next === null) continue
      const key = String.fromCharCode(...next.cells.map((cell) => cell + 1))
      if (seen.has(key)) continue
      seen.add(key)
      left.push(next)
    }
    if (!ended) continue
    const text = outcomeText(names, table.values(state))
    if (!outcomes.has(text)) outcomes.set(text, pathOf(state))
  }
  return outcomes
}

function pathOf(state: State): number[] {
  const path: number[] = []
  for (let at: State | null = state; at.from !== null; at = at.from) path.push(at.proc)
  return path.toReversed()
}

/** The processes, with a number for each register, location and section. */
class Table {
  private readonly procs: readonly Process[]
  private readonly names = new Map<string, number>()
  private readonly sections = new Map<string, number>()
  /** Bits of the sections of a domain. */
  private readonly domains = new Map<string, number>()

  private readonly wanted: Outcome
  private readonly waits: boolean

  constructor(procs: readonly Process[], { wanted = {}, waits = true }: OracleOptions) {
    this.procs = procs
    this.wanted = wanted
    this.waits = waits
    for (const [proc, steps] of procs.entries()) {
      for (const step of steps) {
        if ('location' in step) numbered(this.names, step.location)
        if (step.op === 'read') numbered(this.names, `${proc}:${step.register}`)
        if (step.op !== 'lock' && step.op !== 'down') continue
        const bit = 1 << numbered(this.sections, sectionOf(step, proc))
        this.domains.set(step.domain, (this.domains.get(step.domain) ?? 0) | bit)
      }
    }
  }

  start(): State {
    const { length } = this.procs
    const cells = Array.from({ length: 2 * length + 1 + this.names.size }, () => 0)
    return { cells: cells.fill(-1, length, 2 * length), proc: -1, from: null }
  }

  /** The state after one step of a process, or null when it can make none. */
  advance(state: State, proc: number): State | null {
    const { length } = this.procs
    const step = this.procs[proc]![state.cells[proc]!]!
    const cells = [...state.cells]
    const open = 2 * length
    cells[proc]!++
    switch (step.op) {
      case 'read': {
        const register = `${proc}:${step.register}`
        const value = cells[this.at(step.location)]!
        if ((this.wanted[register] ?? value) !== value) return null
        cells[this.at(register)] = value
        break
      }
      case 'write':
        cells[this.at(step.location)] = step.value
        break
      case 'await':
        if (cells[this.at(step.location)] !== step.value) return null
        break
      case 'lock':
      case 'down':
        cells[open]! |= 1 << this.sections.get(sectionOf(step, proc))!
        break
      case 'unlock':
      case 'up':
        cells[open]! &= ~(1 << this.sections.get(sectionOf(step, proc))!)
        break
      case 'sync': {
        const waits = cells[length + proc]!
        if (waits === -1) {
          cells[length + proc] = cells[open]! & (this.domains.get(step.domain) ?? 0)
          cells[proc]!--
        } else if (this.waits && (waits & cells[open]!) !== 0) return null
        else cells[length + proc] = -1
      }
    }
    return { cells, proc, from: state }
  }

  values({ cells }: State): ReadonlyMap<string, number> {
    return new Map([...this.names.keys()].map((name) => [name, cells[this.at(name)]!]))
  }

  private at(name: string): number {
    return 2 * this.procs.length + 1 + this.names.get(name)!
  }
}

/** An index in a register is the process's own; one in a location is everybody's. */
function sectionOf({ domain, index }: { readonly domain: string; readonly index: string }, proc: number): string {
  return isRegister(index) ? `${domain}/${proc}:${index}` : `${domain}/${index}`
}

function numbered(numbers: Map<string, number>, name: string): number {
  let number = numbers.get(name)
  if (number === undefined) numbers.set(name, (number = numbers.size))
  return number
}
