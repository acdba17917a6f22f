/** `umbra museum`: the list of exhibits, their stories, their trials, and the chains in which a repair led to the next bug. */
import { chains, exhibits } from '../../check/index.ts'
import type { Exhibit } from '../../check/index.ts'
import { tableLines } from '../../view/index.ts'
import { ExitCode } from '../exit-code.ts'
import { UsageError, didYouMean } from '../options.ts'
import type { Output } from '../output.ts'
import { METER, METER_SUMMARY, meter } from './meter.ts'
import { replayLine, runAll, runOne } from './run.ts'
import { repairedBy, show, showFacts } from './show.ts'

const ACTIONS = ['list', 'show', 'run', 'replay', 'chain']

/** @throws UsageError for an action or an exhibit that does not exist */
export async function museum(operands: readonly string[], output: Output): Promise<ExitCode> {
  const [action = 'list', name, schedule] = operands
  if (!ACTIONS.includes(action)) {
    throw new UsageError(
      `museum: unknown action '${action}'; expected ${ACTIONS.join(', ')}`,
      didYouMean(action, ACTIONS),
    )
  }
  if (action === 'list') return list(output)
  if (action === 'chain') return walk(name, output)
  if (name === undefined) throw new UsageError(`museum ${action}: NAME is missing`, 'umbra museum lists all exhibits')
  if (action === 'run' && name === 'all') return runAll(output)
  if (name === METER) return meter(output)
  const exhibit = named(name)
  if (action === 'replay') return replayLine(exhibit, schedule, output)
  if (action === 'run') return (await runOne(exhibit, output)) ? ExitCode.consistent : ExitCode.violation
  await show(exhibit, output)
  return ExitCode.consistent
}

function named(name: string): Exhibit {
  const exhibit = exhibits.find((candidate) => candidate.name === name)
  if (exhibit !== undefined) return exhibit
  const names = [METER, ...exhibits.map((candidate) => candidate.name)]
  throw new UsageError(`museum: no exhibit is named '${name}'`, didYouMean(name, names) ?? 'umbra museum lists them')
}

function list(output: Output): ExitCode {
  if (output.json) {
    for (const exhibit of exhibits) showFacts(exhibit, output)
    return ExitCode.consistent
  }
  const rows = exhibits.map((exhibit) => [
    `  ${exhibit.name}`,
    exhibit.breaks,
    exhibit.fix === null ? 'a relative' : `${exhibit.fix.commit} ${exhibit.fix.version}`,
    exhibit.fix?.subject ?? exhibit.scenario.what,
  ])
  for (const line of tableLines(['  exhibit', 'breaks', 'repaired by', 'subject'], rows)) output.line(line)
  output.line(`  ${METER}: ${METER_SUMMARY}`)
  return ExitCode.consistent
}

/** The chains, or the story of the one that an exhibit is part of. */
async function walk(name: string | undefined, output: Output): Promise<ExitCode> {
  const all = chains()
  if (name === undefined) {
    for (const [number, chain] of all.entries()) {
      if (output.json) {
        output.object({ type: 'chain', exhibits: chain.map((exhibit) => exhibit.name) })
        continue
      }
      if (number > 0) output.line()
      for (const [at, exhibit] of chain.entries()) {
        output.line(`${at === 0 ? '' : '  -> '}${exhibit.name}: ${repairedBy(exhibit)}`)
      }
    }
    return ExitCode.consistent
  }
  const exhibit = named(name)
  const chain = all.find((candidate) => candidate.includes(exhibit))
  if (chain === undefined) {
    const inChains = all.flat().map((candidate) => candidate.name)
    throw new UsageError(`museum chain: ${name} is in no chain`, `in chains are ${inChains.join(', ')}`)
  }
  for (const [at, link] of chain.entries()) {
    if (at > 0 && !output.json) output.line(output.chalk.bold('\nThat repair, or what came with it, was followed by\n'))
    await show(link, output)
  }
  return ExitCode.consistent
}
