/**
 * Against fast-check's scheduler: the same two tasks, with the same check after every step.
 *
 * R1 A step is what both stop at: one await of the scheduler. Each schedule is a new world, as in a search.
 */
import fc from 'fast-check'
import { Scheduler, random } from '../src/sched/index.ts'
import { compare, figure } from './measure.ts'
import { ratio, time } from './report.ts'
import type { Report, Subject } from './report.ts'

/** Stops of each task. */
const STOPS = 20
const SCHEDULES = 20
const STEPS: number = 2 * STOPS

/** The heart of unmap against fault, without its surroundings: what the two schedulers are given to interleave. */
class Protocol {
  private pte = 1
  private spte = 0
  private count = 0
  private seq = 0

  async unmap(stop: () => Promise<unknown>): Promise<void> {
    for (let round = 0; round < STOPS / 4; round++) {
      await stop()
      this.count++
      this.spte = 0
      this.check()
      await stop()
      this.pte++
      this.check()
      await stop()
      this.seq++
      this.count--
      this.check()
      await stop()
      this.check()
    }
  }

  async fault(stop: () => Promise<unknown>): Promise<void> {
    for (let round = 0; round < STOPS / 4; round++) {
      await stop()
      const { seq } = this
      this.check()
      await stop()
      const { pte } = this
      this.check()
      await stop()
      if (this.count === 0 && this.seq === seq) this.spte = pte
      this.check()
      await stop()
      this.check()
    }
  }

  private check(): void {
    if (this.count === 0 && this.spte !== 0 && this.spte !== this.pte) throw new Error('I1')
  }
}

async function withUmbra(): Promise<void> {
  for (let seed = 1; seed <= SCHEDULES; seed++) {
    const sched = new Scheduler({ policy: random(seed) })
    const protocol = new Protocol()
    const stop = (): Promise<void> => sched.point(protocol, 'w', 'stop')
    await sched.run('main', async () => {
      sched.spawn('unmap', () => protocol.unmap(stop))
      sched.spawn('fault', () => protocol.fault(stop))
    })
  }
}

async function withFastCheck(): Promise<void> {
  const property = fc.asyncProperty(fc.scheduler(), async (s) => {
    const protocol = new Protocol()
    const stop = (): Promise<unknown> => s.schedule(Promise.resolve())
    const done = Promise.all([protocol.unmap(stop), protocol.fault(stop)])
    await s.waitFor(done)
  })
  await fc.assert(property, { numRuns: SCHEDULES })
}

export const fastCheck: Subject = {
  name: 'fast-check',
  title: "Against fast-check's scheduler",
  async measure(): Promise<Report> {
    const figures = await compare([
      { name: 'umbra', operations: SCHEDULES, run: withUmbra },
      { name: 'fast-check', operations: SCHEDULES, run: withFastCheck },
    ])
    const row = (name: string): string[] => {
      const each = figure(figures, name)
      return [name, time(each), `${Math.round(1e9 / each)}`, `${Math.round((1e9 / each) * STEPS)}`]
    }
    const faster = figure(figures, 'fast-check') / figure(figures, 'umbra')
    return {
      tables: [
        {
          title: `two tasks of ${STOPS} stops, a check after each`,
          columns: ['', 'a schedule', 'schedules/s', 'steps/s'],
          rows: [row('umbra'), row('fast-check')],
        },
      ],
      targets: [{ promise: 'ten times the steps of fast-check', measured: ratio(faster), isMet: faster >= 10 }],
    }
  },
}
