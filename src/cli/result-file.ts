/**
 * Result files of `umbra check --out`: what was asked, by which code, and what each unit gave; one JSON object a line.
 *
 * R1 A file says which shards it holds and how many there are, so that a lost one is noticed.
 * R2 A file that was cut is refused: its last line says how many units it has.
 * R3 Putting files together is a join of sets: in any order, any number of times, with the same outcome.
 */
import { createHash } from 'node:crypto'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SearchConfig, UnitResult } from '../check/index.ts'
import { UsageError } from './options.ts'
import { fileOf } from './scenario-names.ts'
import type { Outcomes } from './check-report.ts'

const FORMAT = 1

/** What two files must share to be put together. */
export interface Asked extends SearchConfig {
  readonly version: string
  /** Hash of all code that a run depends on. */
  readonly code: string
  readonly scenarios: readonly string[]
  /** Number of shards. */
  readonly totalShards: number
}

export interface ResultFile extends Outcomes {
  readonly asked: Asked
  /** Numbers of the shards in it, ascending. */
  readonly shards: readonly number[]
}

/** Hash of the built code, and of the files that the scenarios come from. */
export function codeHash(scenarios: readonly string[]): string {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.js'))
    .map((entry) => `${entry.parentPath}/${entry.name}`)
  const own = new Set(scenarios.map(fileOf).filter((file) => file !== undefined))
  const hash = createHash('sha256')
  for (const file of [...files.toSorted(), ...[...own].toSorted()]) {
    hash.update(`${own.has(file) ? file : relative(root, file)}\n`).update(readFileSync(file))
  }
  return hash.digest('hex').slice(0, 16)
}

/** @throws UsageError when the file cannot be written */
export function writeResults(path: string, { asked, shards, results, died }: ResultFile): void {
  const lines: object[] = [{ type: 'results', format: FORMAT, ...asked, shards }]
  for (const result of byId(results.values())) lines.push({ type: 'unit', ...result })
  for (const [unit, why] of [...died].toSorted(([a], [b]) => (a < b ? -1 : 1))) lines.push({ type: 'lost', unit, why })
  lines.push({ type: 'end', units: results.size })
  try {
    writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  } catch (error) {
    throw new UsageError(`--out: cannot write '${path}': ${(error as NodeJS.ErrnoException).code}`)
  }
}

const byId = (results: Iterable<UnitResult>): UnitResult[] =>
  [...results].toSorted((a, b) => (a.unit < b.unit ? -1 : a.unit > b.unit ? 1 : 0))

/** @throws UsageError for a file that cannot be read, was cut, or is something else */
export function readResults(path: string): ResultFile {
  const refuse = (why: string): UsageError => new UsageError(`cannot read results from '${path}': ${why}`)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw refuse(String((error as NodeJS.ErrnoException).code))
  }
  const rows = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line, at) => parseRow(line) ?? refuse(`line ${at + 1} is not a JSON object`))
  const wrong = rows.find((row) => row instanceof UsageError)
  if (wrong !== undefined) throw wrong
  const [head, ...rest] = rows as Record<string, unknown>[]
  if (head?.['type'] !== 'results') throw refuse('it is not a file of umbra check --out')
  if (head['format'] !== FORMAT) throw refuse(`its format is ${String(head['format'])}; expected ${FORMAT}`)
  const { type: _, format: __, shards, ...asked } = head
  const results = new Map<string, UnitResult>()
  const died = new Map<string, string>()
  for (const { type, ...row } of rest) {
    if (type === 'unit') results.set(String(row['unit']), row as unknown as UnitResult)
    else if (type === 'lost') died.set(String(row['unit']), String(row['why']))
  }
  const end = rest.at(-1)
  if (end?.['type'] !== 'end' || end['units'] !== results.size) throw refuse('it was cut: its end is missing')
  return { asked: asked as unknown as Asked, shards: shards as number[], results, died }
}

function parseRow(line: string): Record<string, unknown> | null {
  try {
    const row = JSON.parse(line) as unknown
    return typeof row === 'object' && row !== null ? (row as Record<string, unknown>) : null
  } catch {
    return null
  }
}
