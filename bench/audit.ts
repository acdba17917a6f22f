/** What being watched costs: the same run at each level of the auditor. */
import { MiB } from '../src/base/index.ts'
import { Session, checksMade, stormKinds, verdictOf } from '../src/check/index.ts'
import type { AuditLevel } from '../src/check/index.ts'
import { guestProgram } from './machine.ts'
import { quietCalls } from './measure.ts'
import { ratio, time } from './report.ts'
import type { Report, Subject } from './report.ts'

const LEVELS: readonly AuditLevel[] = ['off', 'sampled', 'all']

export const audit: Subject = {
  name: 'audit',
  title: 'The auditor',
  async measure(): Promise<Report> {
    const program = guestProgram('sort')
    const checks = new Map<AuditLevel, number>()
    const runs = await quietCalls(
      12,
      LEVELS.map((level) => ({
        prepare: () => undefined,
        run: async () => checks.set(level, await runUnderStorm(program, level)),
      })),
    )
    return {
      tables: [
        {
          title: 'one guest (sort, 2000 items), all storms, 256 frames, the same seed',
          columns: ['level', 'run', 'against off', 'checks made'],
          rows: LEVELS.map((level, index) => [
            level,
            time(runs[index]!),
            ratio(runs[index]! / runs[0]!),
            checks.get(level)!.toLocaleString('en'),
          ]),
          note: 'At level all every single load and store of the guest and the host is compared with golden memory.',
        },
      ],
    }
  },
}

/** @returns checks made */
async function runUnderStorm(program: Uint8Array, level: AuditLevel): Promise<number> {
  const session = new Session({
    seed: 1,
    frames: 256,
    swapPages: 2048,
    pageTableLock: 'sleep',
    srcu: 'tiny',
    audit: level,
    storm: { seed: 1, kinds: stormKinds },
    guests: [
      {
        name: 'sort',
        program,
        memory: 4 * MiB,
        harts: 1,
        paging: 'two-dimensional',
        bootargs: 'count=2000',
        budget: 1e9,
      },
    ],
  })
  const report = await session.run()
  if (verdictOf(report) !== 'consistent') throw new Error(`the run at audit level ${level} was not consistent`)
  return checksMade(report.audit)
}
