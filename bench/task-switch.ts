/** What concurrency costs: a switch between tasks, a switch point that switches nothing, an uncontended lock. */
import { Mutex, Scheduler, SpinLock, fifo, lockClass, random } from '../src/sched/index.ts'
import type { Policy } from '../src/sched/index.ts'
import { compare, figure } from './measure.ts'
import type { Case, Figures } from './measure.ts'
import { time } from './report.ts'
import type { Report, Subject } from './report.ts'

const SWITCHES = 20_000
const TARGET = 1000

export const taskSwitch: Subject = {
  name: 'task-switch',
  title: 'Tasks',
  async measure(): Promise<Report> {
    const two = await inKernel(fifo(), 1, (sched) => [switches(sched, 'switch, 2 tasks', 2), ...quiet(sched)])
    const many = await inKernel(fifo(), 63, (sched) => [switches(sched, 'switch, 64 tasks', 64)])
    const exploring = await inKernel(random(1, { period: 1 << 30 }), 1, (sched) => [
      points(sched, 'point that could switch and does not'),
    ])
    const figures: Figures = new Map([...two, ...many, ...exploring])
    const worst = figure(figures, 'switch, 2 tasks')
    return {
      tables: [
        {
          title: 'one token, passed on',
          columns: ['', 'each'],
          rows: [...figures].map(([name, value]) => [name, time(value)]),
          note: 'A switch includes the look at the real clock that lets the surrounding program breathe.',
        },
      ],
      targets: [{ promise: 'a task switch takes less than 1 us', measured: time(worst), isMet: worst < TARGET }],
    }
  },
}

/** Measures inside a task, beside `others` daemons that only yield. */
async function inKernel(policy: Policy, others: number, cases: (sched: Scheduler) => Case[]): Promise<Figures> {
  const sched = new Scheduler({ policy })
  return sched.run('bench', async () => {
    for (let i = 0; i < others; i++) {
      sched.spawn(`other${i}`, () => yieldForEver(sched), { daemon: true })
    }
    return compare(cases(sched))
  })
}

async function yieldForEver(sched: Scheduler): Promise<void> {
  for (;;) await sched.yieldNow()
}

/** One yield goes once round all tasks. */
function switches(sched: Scheduler, name: string, tasks: number): Case {
  const rounds = Math.ceil(SWITCHES / tasks)
  return {
    name,
    operations: rounds * tasks,
    run: async () => {
      for (let i = 0; i < rounds; i++) await sched.yieldNow()
    },
  }
}

function points(sched: Scheduler, name: string): Case {
  const shared = {}
  return {
    name,
    operations: SWITCHES,
    run: async () => {
      for (let i = 0; i < SWITCHES; i++) if (sched.contended) await sched.point(shared, 'r', 'bench')
    },
  }
}

function quiet(sched: Scheduler): Case[] {
  const mutex = new Mutex(sched, lockClass({ name: 'bench mutex', type: 'mutex', protects: 'nothing' }))
  const spin = new SpinLock(sched, lockClass({ name: 'bench spin lock', type: 'spinlock', protects: 'nothing' }))
  return [
    points(sched, 'point, guarded, under fifo'),
    lockAndUnlock('mutex, uncontended', mutex),
    lockAndUnlock('spin lock, uncontended', spin),
  ]
}

function lockAndUnlock(name: string, lock: Mutex | SpinLock): Case {
  return {
    name,
    operations: SWITCHES,
    run: async () => {
      for (let i = 0; i < SWITCHES; i++) {
        await lock.lock()
        lock.unlock()
      }
    },
  }
}
