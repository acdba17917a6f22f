/**
 * Against SPIN, on a Promela twin of the unmap-vs-fault protocol (bench/promela): what a hand-written model costs, and what
 * the code itself does.
 *
 * R1 SPIN's time is from source to answer: generate, compile, run. Umbra's is that of a new process on the built code, and
 *    that of a search, bound by bound, in a process that is up.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exhibits, searchBounded } from '../src/check/index.ts'
import { PROMELA_BUGS, findInCode } from './promela/bugs.ts'
import type { PromelaBug } from './promela/bugs.ts'
import { ratio, time } from './report.ts'
import type { Report, Subject } from './report.ts'

const MODEL = fileURLToPath(new URL('../../bench/promela/unmap-vs-fault.pml', import.meta.url))
const FIND = fileURLToPath(new URL('promela/find.js', import.meta.url))
const TIMES = 3

interface SpinAnswer {
  readonly states: number
  readonly found: boolean
}

function mustRun(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stderr}`)
  return stdout
}

/** From the model to SPIN's answer. */
function spinOnce(bug: PromelaBug | null): SpinAnswer {
  const directory = mkdtempSync(join(tmpdir(), 'umbra-spin-'))
  try {
    mustRun('spin', [...(bug === null ? [] : [`-D${bug}`]), '-a', MODEL], directory)
    mustRun('gcc', ['-O2', '-DSAFETY', '-o', 'pan', 'pan.c'], directory)
    const answer = mustRun('./pan', ['-m10000'], directory)
    const states = Number(/(\d+) states, stored/.exec(answer)![1])
    return { states, found: !/errors: 0/.test(answer) }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** The least of a few times: what disturbs only adds. Nanoseconds. */
async function least(run: () => unknown): Promise<number> {
  let best = Infinity
  for (let i = 0; i < TIMES; i++) {
    const began = process.hrtime.bigint()
    await run()
    best = Math.min(best, Number(process.hrtime.bigint() - began))
  }
  return best
}

const missing = (): string | null => {
  for (const [command, flag] of [
    ['spin', '-V'],
    ['gcc', '--version'],
  ] as const) {
    if (spawnSync(command, [flag]).error !== undefined) return `${command} is not installed`
  }
  return null
}

export const spin: Subject = {
  name: 'spin',
  title: 'Against SPIN',
  async measure(): Promise<Report> {
    const why = missing()
    if (why !== null) return { tables: [{ title: `skipped: ${why}`, columns: [''], rows: [] }] }
    const rows: string[][] = []
    let slowest = 0
    let slowestProcess = 0
    for (const bug of PROMELA_BUGS) {
      if (!spinOnce(bug).found) throw new Error(`the model with ${bug} is clean`)
      const bySpin = await least(() => spinOnce(bug))
      const inProcess = await least(() => findInCode(bug))
      const fresh = await least(() => mustRun(process.execPath, [FIND, bug], tmpdir()))
      slowest = Math.max(slowest, inProcess / bySpin)
      slowestProcess = Math.max(slowestProcess, fresh / bySpin)
      rows.push([bug, time(bySpin), time(fresh), time(inProcess), ratio(inProcess / bySpin)])
    }
    const clean = spinOnce(null)
    const { scenario } = exhibits.find(({ name }) => name === 'no-retry')!
    const { schedules } = await searchBounded(scenario, { preemptions: 2 })
    const bySpin = await least(() => spinOnce(null))
    const byUmbra = await least(() => searchBounded(scenario, { preemptions: 2 }))
    return {
      tables: [
        {
          title: 'from source to the first bug',
          columns: ['', 'SPIN', 'umbra, new process', 'umbra, one more search', 'of SPIN'],
          rows,
          note:
            'SPIN: spin -a, gcc -O2, pan, on a model of 90 lines. Umbra: the real code, with every invariant judged. ' +
            'A new process loads all of Umbra; one more search is what a bug costs in a process that looks for several.',
        },
        {
          title: 'from source to a verdict, without a bug',
          columns: ['', 'time', 'what it says'],
          rows: [
            ['SPIN', time(bySpin), `all ${clean.states} states of the model`],
            ['umbra', time(byUmbra), `all ${schedules} schedules of the code within 2 preemptions`],
          ],
        },
      ],
      targets: [
        {
          promise: 'each bug in at most 0.1 of the time that SPIN takes from source, process start not counted',
          measured: `${slowest.toFixed(2)} at worst; ${slowestProcess.toFixed(2)} with it`,
          isMet: slowest <= 0.1,
        },
      ],
    }
  },
}
