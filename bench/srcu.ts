/** SRCU read sections, against the pair of increments that any reader count needs at least. */
import { createSrcu } from '../src/notifier/index.ts'
import type { Srcu, SrcuKind } from '../src/notifier/index.ts'
import { Scheduler } from '../src/sched/index.ts'
import { compare, figure } from './measure.ts'
import type { Case } from './measure.ts'
import { ratio, time } from './report.ts'
import type { Report, Subject } from './report.ts'

const KINDS: readonly SrcuKind[] = ['tiny', 'classic', 'counted']
const SECTIONS = 20_000
const BARE = 'increment and decrement'

export const srcu: Subject = {
  name: 'srcu',
  title: 'SRCU read section',
  async measure(): Promise<Report> {
    const sched = new Scheduler()
    return sched.run('bench', async () => {
      const domains = KINDS.map((kind) => createSrcu(kind, sched, { name: kind }))
      const figures = await compare([barePair(), ...domains.flatMap((domain) => sections(domain))])
      const bare = figure(figures, BARE)
      const row = (name: string): string[] => [name, time(figure(figures, name)), ratio(figure(figures, name) / bare)]
      return {
        tables: [
          {
            title: 'lock and unlock, one reader, nobody waits for a grace period',
            columns: ['', 'a section', 'against the bare pair'],
            rows: [...figures.keys()].map(row),
            note:
              'The bare pair counts in a typed array, as the domains do. `async` goes through readLock and readUnlock, ' +
              'which a task uses while others could run; the rest through the calls that make no promise.',
          },
        ],
      }
    })
  },
}

function barePair(): Case {
  const counters = new Int32Array(2)
  let index = 0
  return {
    name: BARE,
    operations: SECTIONS,
    run: () => {
      for (let i = 0; i < SECTIONS; i++) {
        counters[index]!++
        index = counters[1]! & 1
        counters[index]!--
      }
      return counters[0]
    },
  }
}

function sections(domain: Srcu): Case[] {
  return [
    {
      name: domain.kind,
      operations: SECTIONS,
      run: () => {
        for (let i = 0; i < SECTIONS; i++) domain.readUnlockFast(domain.readLockFast())
      },
    },
    {
      name: `${domain.kind}, async`,
      operations: SECTIONS,
      run: async () => {
        for (let i = 0; i < SECTIONS; i++) await domain.readUnlock(await domain.readLock())
      },
    },
  ]
}
