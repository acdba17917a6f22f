/** `umbra run`: one guest, alone or under storms. */
import { readFileSync, writeSync, closeSync } from 'node:fs'
import { MiB, PAGE_SIZE } from '../base/index.ts'
import { Session, stormKinds } from '../check/index.ts'
import type { AuditLevel } from '../check/index.ts'
import { RAM_BASE, parseProgram } from '../guest/index.ts'
import type { EngineName } from '../guest/index.ts'
import { decodeSchedule, random, replay } from '../sched/index.ts'
import type { Policy } from '../sched/index.ts'
import { guestLines, hostLines, srcuLines, stormLines } from '../view/index.ts'
import { execute, exitCodeOf, openForWriting, printObjects, printVerdict } from './execute.ts'
import type { ExitCode } from './exit-code.ts'
import { readGuest } from './guests.ts'
import { UsageError } from './options.ts'
import type { Output } from './output.ts'

export interface RunValues {
  readonly memory: number | undefined
  readonly frames: number | undefined
  readonly harts: number
  readonly paging: string
  readonly swap: number
  readonly bootargs: string
  readonly budget: number
  readonly storm: number | undefined
  readonly 'storm-kinds': readonly string[]
  readonly seed: number
  readonly engine: string
  readonly srcu: string
  readonly 'page-table-lock': string
  readonly audit: string
  readonly trace: string | undefined
  readonly record: string | undefined
  readonly replay: string | undefined
}

const DEFAULT_MEMORY = 16 * MiB
/** Frames beyond the guest's own that are plenty: tables, page cache, children of forks. */
const SPARE_FRAMES = 2048
const MOST_FRAMES: number = 2 ** 19

function policyOf(values: RunValues): Policy | undefined {
  if (values.replay !== undefined) {
    const text = values.replay
    if (text.startsWith('u1:')) return replay(decodeSchedule(text))
    try {
      return replay(decodeSchedule(readFileSync(text, 'utf8').trim()))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT') throw error
      throw new UsageError(`--replay: '${text}' is neither a schedule (u1:...) nor a file`)
    }
  }
  return values.record === undefined ? undefined : random(values.seed)
}

/** Runs one guest. @returns the exit code of its verdict */
export async function run(guestName: string, values: RunValues, output: Output): Promise<ExitCode> {
  const file = readGuest(guestName)
  const memory = values.memory ?? file.example?.memory ?? DEFAULT_MEMORY
  if (memory % PAGE_SIZE !== 0) throw new UsageError(`--memory is ${memory}; expected a multiple of ${PAGE_SIZE}`)
  // A file that is no guest is one clear line, before anything else is printed.
  parseProgram(file.bytes, { start: RAM_BASE, length: memory })
  const policy = policyOf(values)
  const record = values.record === undefined ? undefined : openForWriting(values.record, 'record')
  const report = await execute(
    (hooks) =>
      new Session({
        ...hooks,
        seed: values.seed,
        frames: values.frames ?? Math.min(memory / PAGE_SIZE + SPARE_FRAMES, MOST_FRAMES),
        swapPages: Math.ceil(values.swap / PAGE_SIZE),
        policy,
        engine: values.engine as EngineName,
        srcu: values.srcu as 'tiny' | 'classic' | 'counted',
        pageTableLock: values['page-table-lock'] as 'sleep' | 'spin',
        audit: values.audit as AuditLevel,
        storm:
          values.storm === undefined
            ? undefined
            : { seed: values.storm, kinds: stormKinds.filter(({ name }) => values['storm-kinds'].includes(name)) },
        guests: [
          {
            name: file.name,
            program: file.bytes,
            memory,
            harts: values.harts,
            paging: values.paging as 'two-dimensional' | 'shadow',
            bootargs: values.bootargs,
            budget: values.budget,
            onConsole: (text) =>
              output.json ? output.object({ type: 'console', text }) : output.write(Buffer.from(text, 'latin1')),
          },
        ],
      }),
    { trace: values.trace, lines: false },
    output,
  )
  if (record !== undefined) {
    writeSync(record, `${report.schedule}\n`)
    closeSync(record)
  }
  const refused = report.guests.find(({ mm }) => mm === 0)
  if (output.json) printObjects(report, output)
  else if (refused !== undefined) output.note(`umbra: ${refused.detail}`)
  else {
    const note = (line: string): void => output.note(line)
    const sections = [guestLines(report), hostLines(report), srcuLines(report)]
    if (report.storms.length > 0) sections.push(stormLines(report))
    for (const lines of sections) {
      lines.forEach(note)
      note('')
    }
    printVerdict(report, output.chalkError, note)
  }
  return exitCodeOf(report)
}
