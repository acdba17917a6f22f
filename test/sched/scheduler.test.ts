import test from 'ava'
import { KernelBug, KernelError } from '../../src/base/index.ts'
import { nextPlan } from '../../src/check/index.ts'
import {
  Completion,
  DeadlockError,
  Mutex,
  Scheduler,
  TaskFailure,
  WaitQueue,
  bounded,
  decodeSchedule,
  encodeSchedule,
  fifo,
  lockClass,
  pct,
  random,
  replay,
} from '../../src/sched/index.ts'
import type { Policy, SchedulerOptions } from '../../src/sched/index.ts'

const classA = lockClass({ name: 'a', type: 'mutex', protects: 'a test' })
const classB = lockClass({ name: 'b', type: 'mutex', protects: 'a test', inside: [classA] })

/** Three tasks that write their names at every step. */
async function scribble(options: SchedulerOptions): Promise<{ log: string; schedule: string }> {
  const sched = new Scheduler(options)
  let log = ''
  await sched.run('main', async () => {
    for (const name of ['x', 'y', 'z']) {
      sched.spawn(name, async () => {
        for (let step = 0; step < 5; step++) {
          log += `${name}${sched.current.cpu}`
          if (sched.contended) await sched.point(sched, 'w', 'scribble')
          log += sched.choose(3, 'digit')
        }
      })
    }
  })
  return { log, schedule: encodeSchedule(sched.schedule) }
}

test('under fifo a task runs until it blocks, and points never stop it', async (t) => {
  const { log, schedule } = await scribble({ policy: fifo() })
  t.is(log, 'x10x10x10x10x10y00y00y00y00y00z10z10z10z10z10')
  t.is(schedule, 'u1:')
})

test('the same seed gives the same run, another seed another one', async (t) => {
  const first = await scribble({ policy: random(7, { period: 2, values: true }) })
  const again = await scribble({ policy: random(7, { period: 2, values: true }) })
  const other = await scribble({ policy: random(8, { period: 2, values: true }) })
  t.deepEqual(first, again)
  t.not(first.log, other.log)
})

test('a recorded run replays to the identical log, with migration and open choices', async (t) => {
  for (let seed = 0; seed < 50; seed++) {
    const migrate = seed % 2 === 0
    const original = await scribble({ policy: random(seed, { period: 2, values: true, migrate }) })
    const repeated = await scribble({ policy: replay(decodeSchedule(original.schedule), { migrate }) })
    t.deepEqual(repeated, original)
  }
})

test('a schedule that does not fit is a clear error, not another run', async (t) => {
  const failure = await t.throwsAsync(scribble({ policy: replay({ deviations: [0, 99] }) }))
  t.regex(failure.message, /replay diverged at decision 0/)
})

test('schedules survive the text form, and a damaged line is refused', (t) => {
  const deviations = [0, 1, 1, 7, 500, 3, 501, 130, 2 ** 33, 1]
  t.deepEqual(decodeSchedule(encodeSchedule({ deviations })).deviations, deviations)
  for (const bad of ['', 'u2:AAAA', 'u1:A*', 'u1:_w', 'u1:AA']) {
    t.is(t.throws(() => decodeSchedule(bad), { instanceOf: KernelError }).code, 'EINVAL', bad)
  }
})

test('virtual time passes only in sleeps and by advance, and sleepers wake in order', async (t) => {
  const sched = new Scheduler()
  const log: string[] = []
  await sched.run('main', async () => {
    for (const delay of [300, 100, 200]) {
      sched.spawn(`s${delay}`, async () => {
        await sched.sleep(delay)
        log.push(`${delay}@${sched.now}`)
      })
    }
    await sched.yieldNow()
    sched.advance(150)
    log.push(`burnt@${sched.now}`)
  })
  t.deepEqual(log, ['burnt@150', '100@150', '200@200', '300@300'])
})

test('a wait can time out, and an early wake-up does not end it', async (t) => {
  const sched = new Scheduler()
  await sched.run('main', async () => {
    const queue = new WaitQueue(sched, 'never')
    sched.spawn('nagger', async () => {
      await sched.sleep(10)
      queue.wakeAll()
    })
    t.false(await queue.wait(() => false, { timeout: 50 }))
    t.is(sched.now, 50)
    t.true(await queue.wait(() => true))
  })
})

test('a completion is remembered; completeAll frees everybody', async (t) => {
  const sched = new Scheduler()
  let freed = 0
  await sched.run('main', async () => {
    const done = new Completion(sched, 'done')
    done.complete()
    t.true(await done.wait())
    t.false(await done.wait({ timeout: 5 }))
    for (let i = 0; i < 3; i++) {
      sched.spawn(`w${i}`, async () => {
        await done.wait()
        freed++
      })
    }
    await sched.yieldNow()
    done.completeAll()
  })
  t.is(freed, 3)
})

test('join waits for the end, and a task that failed stops the kernel with its name', async (t) => {
  const sched = new Scheduler()
  const failure = await t.throwsAsync(
    sched.run('main', async () => {
      const child = sched.spawn('storm', async () => {
        await sched.sleep(5)
        throw new KernelError('ENOMEM', 'no frames left')
      })
      await sched.join(child)
      t.fail('joined a failed task')
    }),
    { instanceOf: TaskFailure },
  )
  t.is(failure.task, 'storm')
  t.is(failure.message, 'task storm failed: no frames left')
  t.is((failure.cause as KernelError).code, 'ENOMEM')
})

test('daemons do not keep the kernel running', async (t) => {
  const sched = new Scheduler()
  let ticks = 0
  await sched.run('main', async () => {
    sched.spawn(
      'kswapd',
      async () => {
        for (;;) {
          await sched.sleep(10)
          ticks++
        }
      },
      { daemon: true },
    )
    await sched.sleep(35)
  })
  t.is(ticks, 3)
})

test('a deadlock is reported as a wait graph with its cycle', async (t) => {
  const sched = new Scheduler()
  const failure = await t.throwsAsync(
    sched.run('main', async () => {
      const mutex = new Mutex(sched, classA)
      const queue = new WaitQueue(sched, 'grace period')
      const reader = sched.spawn('reader', async () => {
        await sched.sleep(1)
        await mutex.lock()
      })
      sched.spawn('updater', async () => {
        await mutex.lock()
        await queue.wait(() => false, { why: 'synchronize', holders: () => [reader] })
      })
    }),
    { instanceOf: DeadlockError },
  )
  t.is(failure.invariant, 'I8')
  t.deepEqual([...failure.cycle].toSorted(), ['reader', 'updater'])
  t.true(failure.waits.includes('reader waits for mutex a (held by updater)'))
  t.true(failure.waits.includes('updater waits for synchronize (held by reader), holding mutex a'))
})

test('what the scheduler does not own is a foreign await, named', async (t) => {
  const foreign: Record<string, () => Promise<unknown>> = {
    timer: () => new Promise((resolve) => setTimeout(resolve, 1)),
    immediate: () => new Promise((resolve) => setImmediate(resolve)),
    never: () => new Promise(() => undefined),
    file: async () => (await import('node:fs/promises')).stat('package.json'),
  }
  for (const [kind, wait] of Object.entries(foreign)) {
    const sched = new Scheduler()
    const failure = await t.throwsAsync(
      sched.run('main', async () => {
        await sched.yieldNow()
        const odp = sched.spawn('odp-nic', async () => {
          await sched.sleep(3)
          await wait()
        })
        await sched.join(odp)
      }),
      { instanceOf: TaskFailure },
      kind,
    )
    t.is(failure.task, 'odp-nic', kind)
    t.regex(failure.message, /foreign await/, kind)
  }
})

test('promises that settle within the turn are deterministic and allowed', async (t) => {
  const sched = new Scheduler()
  await sched.run('main', async () => {
    for (let i = 0; i < 50; i++) await Promise.resolve()
    await new Promise<void>((resolve) => queueMicrotask(resolve))
  })
  t.pass()
})

test('long runs let the surrounding program have its turn', async (t) => {
  let turns = 0
  const sched = new Scheduler({ onTurn: () => turns++ })
  let outside = 0
  const timer = setInterval(() => outside++, 1)
  await sched.run('main', async () => {
    const giveUp = performance.now() + 30_000
    while ((turns < 3 || outside < 2) && performance.now() < giveUp) await sched.yieldNow()
  })
  clearInterval(timer)
  t.true(turns >= 3)
  t.true(outside >= 2)
})

/** One task, on its own most of the time, that burns real time before each stretch of yields. */
async function dawdle(realMilliseconds: number): Promise<{ events: string[]; schedule: string }> {
  const sched = new Scheduler({ cpus: 4, policy: random(3, { migrate: true }) })
  const events: string[] = []
  sched.trace.attach((event, { cpu, now }) => events.push(`${event.name} ${cpu} ${now}`))
  await sched.run('main', async () => {
    for (let i = 0; i < 4; i++) {
      const until = performance.now() + realMilliseconds
      while (performance.now() < until);
      for (let step = 0; step < 80; step++) await sched.yieldNow()
      await sched.sleep(10)
    }
  })
  return { events, schedule: encodeSchedule(sched.schedule) }
}

test('how long a run takes in real time leaves no mark on its trace or its schedule', async (t) => {
  t.deepEqual(await dawdle(25), await dawdle(0))
})

test('a task that spins goes on as soon as the one it waits for yields', async (t) => {
  const sched = new Scheduler()
  let isSet = false
  let yields = 0
  await sched.run('main', async () => {
    const spinner = sched.spawn('spinner', () => sched.spinUntil(() => isSet, { why: 'the flag' }))
    await sched.yieldNow()
    isSet = true
    for (; spinner.state !== 'done' && yields < 10; yields++) await sched.yieldNow()
  })
  t.is(yields, 1)
})

test('two kernels in one process do not disturb one another', async (t) => {
  const runs = await Promise.all([1, 2, 3, 1].map((seed) => scribble({ policy: random(seed, { period: 2 }) })))
  t.deepEqual(runs[0], runs[3])
  t.not(runs[0]?.log, runs[1]?.log)
})

test('a policy of one’s own sees the footprint of every switch point', async (t) => {
  const seen: string[] = []
  const shared = { name: 'shared' }
  const policy: Policy = {
    name: 'watching',
    preemptive: true,
    migrates: false,
    decide: () => 0,
    footprint: (task, object, access) => {
      if (object === shared) seen.push(`${task.name} ${access}`)
    },
  }
  const sched = new Scheduler({ policy })
  await sched.run('main', async () => {
    const touch = async (): Promise<void> => {
      if (sched.contended) await sched.point(shared, 'r', 'read')
      if (sched.contended) await sched.point(shared, 'w', 'write')
    }
    sched.spawn('a', touch)
    sched.spawn('b', touch)
  })
  t.deepEqual(seen, ['a r', 'a w'])
})

test('a scheduler runs once, and its calls need a running task', async (t) => {
  const sched = new Scheduler()
  t.throws(() => sched.current, { instanceOf: KernelBug })
  await sched.run('main', async () => undefined)
  t.throws(() => void sched.run('again', async () => undefined), { instanceOf: KernelBug })
  t.throws(() => new Scheduler({ cpus: 0 }), { instanceOf: KernelError })
})

test('the inner class of a declared pair may be taken under the outer, never the reverse', async (t) => {
  const sched = new Scheduler()
  const failure = await t.throwsAsync(
    sched.run('main', async () => {
      const a = new Mutex(sched, classA)
      const b = new Mutex(sched, classB)
      await a.lock()
      await b.lock()
      b.unlock()
      a.unlock()
      await b.lock()
      await a.lock()
    }),
  )
  t.regex(failure.message, /acquires a while it holds b, but a is outside b \(the declared lock order\)/)
})

/** What a task gets that asks for one of three, and whether it had to ask. */
async function answers(policy: Policy): Promise<{ answer: number; asked: boolean }> {
  const sched = new Scheduler({ policy })
  let answer = -1
  await sched.run('main', async () => {
    answer = sched.choose(3, 'one of three')
  })
  return { answer, asked: sched.choosing }
}

test('open choices: 0 in production, explored by each policy that explores, and free for the bounded one', async (t) => {
  t.deepEqual(await answers(fifo()), { answer: 0, asked: false })
  for (const make of [(seed: number) => pct(seed, 2), (seed: number) => random(seed, { values: true })]) {
    const seen = new Set<number>()
    for (let seed = 1; seed <= 40; seed++) seen.add((await answers(make(seed))).answer)
    t.deepEqual(
      [...seen].toSorted((a, b) => a - b),
      [0, 1, 2],
    )
  }
  for (const answer of [0, 1, 2]) {
    const policy = bounded([answer])
    t.deepEqual(await answers(policy), { answer, asked: true })
    t.deepEqual(
      policy.taken.map(({ kind, count, choice }) => ({ kind, count, choice })),
      [{ kind: 'value', count: 3, choice: answer }],
    )
  }
  t.deepEqual(nextPlan([{ kind: 'value', count: 3, choice: 0, from: 'm', to: 'm' }], 0), [1], 'within 0 preemptions')
})
