/**
 * `umbra merge`: the results of several shards, as if one process had run them all.
 *
 * R1 What is not there is named: shards, and units of shards that are.
 * R2 Results of other code, or of another question, are refused with what differs.
 * R3 A bug is known by scenario, invariant and shrunk schedule; found twice it is one bug.
 */
import { isNeedless, planUnits } from '../check/index.ts'
import type { Finding, UnitResult } from '../check/index.ts'
import { plural } from '../view/index.ts'
import { CheckReport } from './check-report.ts'
import { ExitCode } from './exit-code.ts'
import { UsageError } from './options.ts'
import type { Output } from './output.ts'
import { codeHash, readResults, writeResults } from './result-file.ts'
import type { Asked, ResultFile } from './result-file.ts'
import { unitsOfShard } from './units.ts'
import type { ScenarioUnits } from './units.ts'
import { version } from './version.ts'

interface NamedFile extends ResultFile {
  readonly path: string
}

/** What the second differs in, in words; null when nothing. */
function difference(first: Asked, second: Asked): string | null {
  for (const key of Object.keys(first) as (keyof Asked)[]) {
    const [a, b] = [first[key], second[key]]
    if (JSON.stringify(a) === JSON.stringify(b)) continue
    if (!Array.isArray(a) || !Array.isArray(b)) return `${key} is ${String(b)}, not ${String(a)}`
    const missing = a.filter((name) => !b.includes(name))
    const extra = b.filter((name) => !a.includes(name))
    return `${key} differ: ${[...missing.map((name) => `-${name}`), ...extra.map((name) => `+${name}`)].join(' ') || 'another order'}`
  }
  return null
}

/** @throws UsageError when the files do not belong together, or not to this Umbra */
function checkAsked(files: readonly NamedFile[]): Asked {
  const [{ asked, path }] = files as [NamedFile]
  for (const other of files.slice(1)) {
    const what = difference(asked, other.asked)
    if (what !== null) throw new UsageError(`'${other.path}' and '${path}' do not belong together: ${what}`)
  }
  const own = { ...asked, version: version(), code: codeHash(asked.scenarios) }
  const what = difference(asked, own)
  if (what !== null) throw new UsageError(`'${path}' is of another Umbra: here, ${what}`)
  return asked
}

/** Of two results of a unit, the one that came to its end. @throws Error when both did and differ */
function join(first: UnitResult | undefined, second: UnitResult): UnitResult {
  if (first === undefined || (second.complete && !first.complete)) return second
  if (first.complete && second.complete && JSON.stringify(first) !== JSON.stringify(second)) {
    throw new Error(`unit '${first.unit}' has two results that differ: a run is not repeatable`)
  }
  return first
}

/** @throws Error when a unit has two results */
function joinAll(files: readonly NamedFile[], asked: Asked): ResultFile {
  const results = new Map<string, UnitResult>()
  const died = new Map<string, string>()
  for (const file of files) {
    for (const [id, result] of file.results) results.set(id, join(results.get(id), result))
    for (const [id, why] of file.died) died.set(id, why)
  }
  for (const id of results.keys()) died.delete(id)
  const shards = [...new Set(files.flatMap((file) => file.shards))].toSorted((a, b) => a - b)
  return { asked, shards, results, died }
}

/** Puts result files together and prints what they come to. @throws UsageError */
export async function merge(
  values: { readonly out: string | undefined },
  paths: readonly string[],
  output: Output,
): Promise<ExitCode> {
  const files = paths.map((path) => ({ ...readResults(path), path }))
  const asked = checkAsked(files)
  const all = joinAll(files, asked)
  const plan = asked.scenarios.map((scenario) => ({ scenario, units: planUnits(scenario, asked) }))
  const report = new CheckReport(output, all)
  for (const each of plan) {
    await report.add(each, () => {
      for (const [key, finding] of bugsOf(each, all)) printBug(each.scenario, key, finding, output)
      return Promise.resolve()
    })
  }
  const missing = printMissing(plan, all, output)
  if (values.out !== undefined) writeResults(values.out, all)
  return report.end(missing)
}

/** The distinct bugs of a scenario, the shortest first. */
function bugsOf({ units }: ScenarioUnits, { results }: ResultFile): [string, Finding][] {
  const bugs = new Map<string, Finding>()
  for (const { id } of units) {
    const finding = results.get(id)?.finding ?? null
    if (finding === null) continue
    const key = `${finding.invariant ?? 'failure'} ${finding.schedule}`
    if (!bugs.has(key)) bugs.set(key, finding)
  }
  return [...bugs].toSorted(
    ([, a], [, b]) => a.preemptions - b.preemptions || a.switches - b.switches || a.deviations - b.deviations,
  )
}

function printBug(scenario: string, key: string, finding: Finding, output: Output): void {
  const { what, schedule, preemptions, switches } = finding
  const replay = `umbra replay ${scenario} ${schedule}`
  if (output.json) output.object({ type: 'bug', scenario, key, ...finding, replay })
  else {
    output.line(`  ${what}`)
    output.line(`  ${plural(preemptions, 'preemption')}, ${switches} switches: ${replay}`)
  }
}

/** Names what is not there. @returns it in words, or null */
function printMissing(
  plan: readonly ScenarioUnits[],
  { asked, shards, results, died }: ResultFile,
  output: Output,
): string | null {
  const words: string[] = []
  for (let number = 1; number <= asked.totalShards; number++) {
    const units = unitsOfShard(plan, { number, of: asked.totalShards }).flatMap((each) => each.units)
    const needed = units.filter((unit) => {
      const siblings = plan.find(({ scenario }) => scenario === unit.scenario)!.units
      return results.get(unit.id)?.complete !== true && !died.has(unit.id) && !isNeedless(unit, siblings, results)
    })
    if (!shards.includes(number)) {
      words.push(`shard ${number}/${asked.totalShards} is missing`)
      if (output.json)
        output.object({ type: 'missing', shard: `${number}/${asked.totalShards}`, units: needed.map(({ id }) => id) })
      else output.line(`MISSING: shard ${number}/${asked.totalShards} (${plural(needed.length, 'unit')})`)
      continue
    }
    for (const { id } of needed) {
      if (output.json) output.object({ type: 'missing', unit: id })
      else output.line(`MISSING: unit '${id}' of shard ${number}/${asked.totalShards} did not come to its end`)
    }
    if (needed.length > 0)
      words.push(`${plural(needed.length, 'unit')} of shard ${number}/${asked.totalShards} missing`)
  }
  return words.length === 0 ? null : words.join(', ')
}
