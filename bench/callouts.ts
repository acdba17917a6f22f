/** What an mm pays for the notifier list: one invalidation window, with no client and with some. */
import { PAGE_SIZE, hva } from '../src/base/index.ts'
import { Kernel } from '../src/host/index.ts'
import {
  mmuNotifierClearFlushYoung,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierRange,
  mmuNotifierRegister,
  mmuNotifierTestYoung,
  mmuNotifierUnregister,
} from '../src/notifier/index.ts'
import type { NotifierMm } from '../src/notifier/index.ts'
import { compare, figure } from './measure.ts'
import type { Case } from './measure.ts'
import { ratio, time } from './report.ts'
import type { Report, Subject } from './report.ts'

const CALLS = 5_000
const CLIENTS: readonly number[] = [0, 1, 4]
const OPERATIONS = ['range start and end', 'clear_flush_young', 'test_young'] as const

export const callouts: Subject = {
  name: 'callouts',
  title: 'Callouts',
  async measure(): Promise<Report> {
    const kernel = new Kernel({ frames: 64 })
    return kernel.run(async () => {
      const cases: Case[] = []
      const leave: (() => Promise<void>)[] = []
      const never = await kernel.createMm('never')
      cases.push(...casesFor(never, 'never had one'))
      for (const clients of CLIENTS) {
        const mm = await kernel.createMm(`${clients} clients`)
        // One comes and goes, so that even the mm without clients has a list to look at.
        await mmuNotifierUnregister(await mmuNotifierRegister(quietClient(), mm), mm)
        for (let i = 0; i < clients; i++) {
          const mn = await mmuNotifierRegister(quietClient(), mm)
          leave.push(() => mmuNotifierUnregister(mn, mm))
        }
        cases.push(...casesFor(mm, String(clients)))
      }
      const figures = await compare(cases)
      for (const unregister of leave) await unregister()
      const columns = ['never had one', ...CLIENTS.map(String)]
      const added = (operation: string): number =>
        (figure(figures, `${operation}, 4`) - figure(figures, `${operation}, 0`)) / 4
      return {
        tables: [
          {
            title: 'one callout to hooks that do nothing, by number of clients',
            columns: ['', ...columns, 'each client adds', '4 against 0'],
            rows: OPERATIONS.map((operation) => [
              operation,
              ...columns.map((clients) => time(figure(figures, `${operation}, ${clients}`))),
              time(added(operation)),
              ratio(figure(figures, `${operation}, 4`) / figure(figures, `${operation}, 0`)),
            ]),
            note: 'A window is two callouts. test_young stops at the first client that says yes; here none does.',
          },
        ],
      }
    })
  },
}

function quietClient(): {
  invalidateRangeStart(): void
  invalidateRangeEnd(): void
  clearFlushYoung(): boolean
  testYoung(): boolean
} {
  return {
    invalidateRangeStart() {},
    invalidateRangeEnd() {},
    clearFlushYoung: () => false,
    testYoung: () => false,
  }
}

function casesFor(mm: NotifierMm, suffix: string): Case[] {
  const start = hva(PAGE_SIZE)
  const end = hva(2 * PAGE_SIZE)
  const range = mmuNotifierRange(mm, start, end, 'UNMAP')
  const repeated = (operation: (typeof OPERATIONS)[number], once: () => Promise<unknown>): Case => ({
    name: `${operation}, ${suffix}`,
    operations: CALLS,
    run: async () => {
      for (let i = 0; i < CALLS; i++) await once()
    },
  })
  return [
    repeated('range start and end', async () => {
      await mmuNotifierInvalidateRangeStart(range)
      await mmuNotifierInvalidateRangeEnd(range)
    }),
    repeated('clear_flush_young', () => mmuNotifierClearFlushYoung(mm, start, end)),
    repeated('test_young', () => mmuNotifierTestYoung(mm, start)),
  ]
}
