/**
 * A schedule with a seal, as commands print it: `u1:VERSION~SEAL~DECISIONS`. The seal tells a line that was cut, one of
 * another scenario and one of another version from each other, before anything runs.
 *
 * R1 The seal comes first: a line cut anywhere is noticed. A line without a seal is taken as it is.
 */
import { createHash } from 'node:crypto'
import { KernelError } from '../base/index.ts'
import { decodeSchedule } from '../sched/index.ts'
import type { Schedule } from '../sched/index.ts'
import { UsageError } from './options.ts'
import { scenarioThat } from './scenario-names.ts'
import { version } from './version.ts'

const PREFIX = 'u1:'
const SEALED = /^u1:(?<made>[^~]*)~(?<whole>.{4})(?<of>.{4})~(?<decisions>.*)$/

const shortHash = (text: string): string => createHash('sha256').update(text).digest('base64url').slice(0, 4)

/** @param schedule `u1:...` without a seal */
export function seal(scenario: string, schedule: string): string {
  const decisions = schedule.slice(PREFIX.length)
  return `${PREFIX}${version()}~${shortHash(decisions)}${shortHash(scenario)}~${decisions}`
}

/** What a line stands for. @throws UsageError that says what differs */
export async function unseal(
  scenario: string,
  line: string,
): Promise<{ readonly text: string; readonly schedule: Schedule }> {
  const parts = SEALED.exec(line)?.groups as { made: string; whole: string; of: string; decisions: string } | undefined
  if (parts === undefined) return { text: line, schedule: decoded(line) }
  const { made, whole, of, decisions } = parts
  if (made !== version()) {
    throw new UsageError(`the schedule was made by umbra ${made}, and this is ${version()}: decisions may mean others`)
  }
  if (shortHash(decisions) !== whole) throw new UsageError('the schedule was cut or changed: its seal does not fit')
  if (shortHash(scenario) !== of) {
    const other = await scenarioThat((name) => shortHash(name) === of)
    throw new UsageError(
      `the schedule is of ${other === null ? 'another scenario' : `'${other}'`}, not of '${scenario}'`,
    )
  }
  return { text: PREFIX + decisions, schedule: decoded(PREFIX + decisions) }
}

function decoded(text: string): Schedule {
  try {
    return decodeSchedule(text)
  } catch (error) {
    if (error instanceof KernelError) throw new UsageError(error.message)
    throw error
  }
}
