/** `umbra museum`: the list of exhibits, the story of one, and the proof that it is found. */
import { clearExhibit, exhibits, huntExhibit, measureGlobalSrcu, replayExhibit } from '../check/index.ts'
import type { Exhibit } from '../check/index.ts'
import { INVARIANT_TEXT, bytesText, countText, tableLines, timeText, violationLines } from '../view/index.ts'
import { ExitCode } from './exit-code.ts'
import { UsageError, didYouMean } from './options.ts'
import type { Output } from './output.ts'

const METER = 'global-srcu'
const METER_SUMMARY = '21a92735f660: what one SRCU for all mms saves, and what it costs'

/** @throws UsageError for an action or an exhibit that does not exist */
export async function museum(action: string | undefined, name: string | undefined, output: Output): Promise<ExitCode> {
  if (action === undefined || action === 'list') return list(output)
  if (action !== 'show' && action !== 'run') {
    throw new UsageError(`museum: unknown action '${action}'; expected list, show or run`, 'umbra help museum')
  }
  if (name === undefined) throw new UsageError(`museum ${action}: NAME is missing`, 'umbra museum lists all exhibits')
  if (action === 'run' && name === 'all') return runAll(output)
  if (name === METER) return meter(output)
  const exhibit = exhibits.find((candidate) => candidate.name === name)
  if (exhibit === undefined) {
    const names = [METER, ...exhibits.map((candidate) => candidate.name)]
    throw new UsageError(`museum: no exhibit is named '${name}'`, didYouMean(name, names) ?? 'umbra museum lists them')
  }
  if (action === 'run') return (await runOne(exhibit, output)) ? ExitCode.consistent : ExitCode.violation
  show(exhibit, output)
  return ExitCode.consistent
}

function list(output: Output): ExitCode {
  if (output.json) {
    for (const exhibit of exhibits) output.object({ type: 'exhibit', ...factsOf(exhibit) })
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

const factsOf = ({ name, rank, family, fix, story, correct, historical, breaks, schedules, leadsTo }: Exhibit) => ({
  name,
  rank,
  family,
  fix,
  story,
  correct,
  historical,
  breaks,
  schedules,
  leadsTo: leadsTo ?? null,
})

function show(exhibit: Exhibit, output: Output): void {
  if (output.json) return output.object({ type: 'exhibit', ...factsOf(exhibit) })
  const { bold } = output.chalk
  const { fix, leadsTo } = exhibit
  output.line(bold(`${exhibit.name} (rank ${exhibit.rank})`))
  if (fix !== null) output.line(`repaired by ${fix.commit} "${fix.subject}", ${fix.version}`)
  output.line()
  for (const line of exhibit.story) output.line(line)
  output.line()
  const width = Math.max(20, ...exhibit.historical.map((line) => line.length))
  output.line(bold(`${'with the bug'.padEnd(width)} | repaired`))
  for (let at = 0; at < Math.max(exhibit.correct.length, exhibit.historical.length); at++) {
    output.line(`${(exhibit.historical[at] ?? '').padEnd(width)} | ${exhibit.correct[at] ?? ''}`)
  }
  output.line()
  output.line(`scenario: ${exhibit.scenario.what} (tasks ${exhibit.scenario.tasks.join(', ')})`)
  output.line(`breaks ${exhibit.breaks}, ${INVARIANT_TEXT[exhibit.breaks]}, within ${exhibit.schedules} schedules`)
  if (leadsTo !== undefined) output.line(`its repair was followed by: umbra museum show ${leadsTo}`)
}

/** @returns true when the bug is found and replays, and nothing is found without it */
async function runOne(exhibit: Exhibit, output: Output): Promise<boolean> {
  const { breaks, name, schedules } = exhibit
  const found = await huntExhibit(exhibit)
  const again = found === null ? null : await replayExhibit(exhibit, found.schedule)
  const replays = again !== null && again.what === found?.violation.what
  const clean = await clearExhibit(exhibit)
  const holds = found !== null && replays && clean === null
  if (output.json) {
    output.object({
      type: 'museum-run',
      name,
      breaks,
      foundAfter: found?.schedules ?? null,
      schedule: found?.schedule ?? null,
      what: found?.violation.what ?? null,
      replays,
      cleanSchedules: schedules,
      violationWithoutBug: clean?.what ?? null,
      holds,
    })
    return holds
  }
  const { bold, green, red } = output.chalk
  output.line(bold(name))
  if (found === null) output.line(red(`  with the bug: ${breaks} did not break in ${schedules} schedules`))
  else {
    output.line(
      `  with the bug: found by schedule ${found.schedules}, ${found.schedule}${replays ? ', which replays' : ''}`,
    )
    if (!replays) output.line(red('  the schedule does not replay'))
    for (const line of violationLines(found.violation)) output.line(`    ${line}`)
  }
  if (clean === null) output.line(green(`  without it: no violation in ${schedules} schedules`))
  else for (const line of violationLines(clean)) output.line(red(`  without it: ${line}`))
  return holds
}

async function runAll(output: Output): Promise<ExitCode> {
  let held = 0
  for (const exhibit of exhibits) if (await runOne(exhibit, output)) held++
  const whole = held === exhibits.length
  if (output.json) output.object({ type: 'museum', exhibits: exhibits.length, held })
  else output.line(`${held} of ${exhibits.length} bugs found, and gone without the bug`)
  return whole ? ExitCode.consistent : ExitCode.violation
}

async function meter(output: Output): Promise<ExitCode> {
  const measured = await measureGlobalSrcu()
  const holds = measured.rcuCaughtAfter !== null && measured.srcuClean
  const code = holds ? ExitCode.consistent : ExitCode.violation
  if (output.json) {
    output.object({ type: 'museum-run', name: METER, holds, ...measured })
    return code
  }
  const { bold } = output.chalk
  output.line(bold(`${METER}: ${METER_SUMMARY}`))
  output.line()
  const caught = measured.rcuCaughtAfter === null ? 'NOT caught' : `caught by schedule ${measured.rcuCaughtAfter} (I5)`
  output.line(`1. a hook that sleeps: under RCU ${caught}, under SRCU ${measured.srcuClean ? 'safe' : 'NOT safe'}`)
  output.line()
  output.line('2. counters of SRCU, computed from 4 words of 8 bytes a CPU (v3.7): one for each mm, or one for all')
  const bytes = measured.bytes.map(({ mms, cpus, perMm, global }) => [
    `   ${countText(mms)}`,
    cpus,
    bytesText(perMm),
    bytesText(global),
  ])
  for (const line of tableLines(['   mms', 'CPUs', 'one each', 'one for all'], bytes)) output.line(line)
  output.line()
  output.line('3. unregister in mm B, while a hook of mm A sleeps: how long it waits')
  const waits = measured.waits.map(({ hook, perMm, global }) => [
    `   ${timeText(hook)}`,
    timeText(perMm),
    timeText(global),
  ])
  for (const line of tableLines(['   hook of A', 'one SRCU each', 'one for all'], waits)) output.line(line)
  return code
}
