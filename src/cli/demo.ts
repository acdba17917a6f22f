/** `umbra demo`: five guests on too little memory, under every storm. */
import { MiB, PAGE_SIZE } from '../base/index.ts'
import { Session, injections, stormKinds } from '../check/index.ts'
import type { AuditLevel, GuestSpec } from '../check/index.ts'
import type { EngineName } from '../guest/index.ts'
import {
  auditLines,
  bytesText,
  guestLines,
  hostLines,
  plural,
  srcuLines,
  stormLines,
  timeText,
  vacuityLines,
} from '../view/index.ts'
import { execute, exitCodeOf, printObjects, printVerdict } from './execute.ts'
import type { ExitCode } from './exit-code.ts'
import { readGuest } from './guests.ts'
import type { Output } from './output.ts'

export interface DemoValues {
  readonly seed: number
  readonly engine: string
  readonly srcu: string
  readonly 'page-table-lock': string
  readonly audit: string
  readonly trace: string | undefined
  readonly inject: string | undefined
}

interface DemoGuest {
  readonly name: string
  /** The example guest, when it is called otherwise. */
  readonly program?: string
  readonly paging: 'two-dimensional' | 'shadow'
  readonly harts: number
  readonly memory: number
  readonly bootargs: string
}

const GUESTS: readonly DemoGuest[] = [
  { name: 'patterns', paging: 'two-dimensional', harts: 1, memory: 2 * MiB, bootargs: 'kib=384 rounds=2' },
  { name: 'twin', program: 'patterns', paging: 'shadow', harts: 1, memory: 2 * MiB, bootargs: 'kib=384 rounds=2' },
  { name: 'sort', paging: 'two-dimensional', harts: 1, memory: 2 * MiB, bootargs: 'count=4000' },
  { name: 'paging', paging: 'shadow', harts: 1, memory: 8 * MiB, bootargs: '' },
  { name: 'smp', paging: 'two-dimensional', harts: 2, memory: 2 * MiB, bootargs: 'rounds=1000 remaps=24' },
]
/** Host memory: less than the guests use together. */
const FRAMES = 240
const SWAP_PAGES = 4096

/** Runs the demo. @returns the exit code of its verdict */
export async function demo(values: DemoValues, output: Output): Promise<ExitCode> {
  const { bold, dim } = output.chalk
  const memory = GUESTS.reduce((sum, guest) => sum + guest.memory, 0)
  const inject = injections.find(({ name }) => name === values.inject)
  if (!output.json) {
    output.line(
      `${bold('umbra')}: ${plural(GUESTS.length, 'guest')} with ${bytesText(memory)} on a host with ` +
        `${bytesText(FRAMES * PAGE_SIZE)}, seed ${values.seed}; ${plural(stormKinds.length, 'kind')} of storm`,
    )
    if (inject !== undefined) output.line(bold(`injected ${inject.name}: ${inject.summary}`))
  }
  const guests = GUESTS.map((guest): GuestSpec => ({
    ...guest,
    program: readGuest(guest.program ?? guest.name).bytes,
    budget: 1e9,
    onConsole: (text) => {
      if (output.json) output.object({ type: 'console', guest: guest.name, text })
      else for (const line of text.split('\n')) if (line !== '') output.line(dim(`  ${guest.name}> ${line}`))
    },
  }))
  const report = await execute(
    (hooks) =>
      new Session({
        ...hooks,
        seed: values.seed,
        frames: FRAMES,
        swapPages: SWAP_PAGES,
        engine: values.engine as EngineName,
        srcu: values.srcu as 'tiny' | 'classic' | 'counted',
        pageTableLock: values['page-table-lock'] as 'sleep' | 'spin',
        audit: values.audit as AuditLevel,
        changePte: 'unbracketed',
        storm: { seed: values.seed, kinds: stormKinds },
        guests,
        inject,
      }),
    { trace: values.trace, lines: true },
    output,
  )
  if (output.json) {
    printObjects(report, output)
    return exitCodeOf(report)
  }
  const section = (title: string, lines: readonly string[]): void => {
    output.line()
    output.line(bold(title))
    for (const line of lines) output.line(line)
  }
  section(`guests, after ${timeText(report.time)} of virtual time`, guestLines(report))
  section('host', hostLines(report))
  section('storms', stormLines(report))
  section('sleepable RCU', srcuLines(report))
  section('what did real work', vacuityLines(report))
  section(`audit, level ${report.audit.level}`, auditLines(report))
  output.line()
  printVerdict(report, output.chalk, (line) => output.line(line))
  return exitCodeOf(report)
}
