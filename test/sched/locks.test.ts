import test from 'ava'
import { KernelBug } from '../../src/base/index.ts'
import { Mutex, RwSemaphore, Scheduler, SpinLock, fifo, lockClass, random } from '../../src/sched/index.ts'
import type { ExclusiveLock } from '../../src/sched/index.ts'

const mutexClass = lockClass({ name: 'm', type: 'mutex', protects: 'a test' })
const otherClass = lockClass({ name: 'o', type: 'mutex', protects: 'a test' })
const spinClass = lockClass({ name: 's', type: 'spinlock', protects: 'a test', nests: true })
const rwClass = lockClass({ name: 'rw', type: 'rwsem', protects: 'a test' })

test('mutexes and spin locks exclude under 400 random schedules', async (t) => {
  for (let seed = 0; seed < 400; seed++) {
    const sched = new Scheduler({ policy: random(seed, { period: 2 }) })
    await sched.run('main', async () => {
      const lock: ExclusiveLock = seed % 2 === 0 ? new Mutex(sched, mutexClass) : new SpinLock(sched, spinClass)
      let inside = 0
      for (let i = 0; i < 4; i++) {
        sched.spawn(`t${i}`, async () => {
          for (let round = 0; round < 3; round++) {
            await lock.lock()
            inside++
            if (sched.contended) await sched.point(lock, 'w', 'inside')
            if (inside !== 1) t.fail(`seed ${seed}: ${inside} holders`)
            inside--
            lock.unlock()
          }
        })
      }
    })
  }
  t.pass()
})

test('readers share, writers exclude, and nobody is forgotten under 400 random schedules', async (t) => {
  let shared = 0
  for (let seed = 0; seed < 400; seed++) {
    const sched = new Scheduler({ policy: random(seed, { period: 2 }) })
    let done = 0
    await sched.run('main', async () => {
      const sem = new RwSemaphore(sched, rwClass)
      let readers = 0
      let writers = 0
      const check = (): void => {
        if (writers > 1 || (writers === 1 && readers > 0))
          t.fail(`seed ${seed}: ${writers} writers, ${readers} readers`)
        if (readers > 1) shared++
      }
      for (let i = 0; i < 5; i++) {
        sched.spawn(`t${i}`, async () => {
          for (let round = 0; round < 3; round++) {
            if ((i + round) % 3 === 0) {
              await sem.downWrite()
              writers++
              check()
              if (sched.contended) await sched.point(sem, 'w', 'writing')
              check()
              writers--
              if (round === 1) {
                sem.downgradeWrite()
                readers++
                check()
                readers--
                sem.upRead()
              } else sem.upWrite()
            } else {
              await sem.downRead()
              readers++
              check()
              if (sched.contended) await sched.point(sem, 'r', 'reading')
              check()
              readers--
              sem.upRead()
            }
          }
          done++
        })
      }
    })
    if (done !== 5) t.fail(`seed ${seed}: only ${done} tasks ended`)
  }
  t.true(shared > 100, 'readers really overlapped')
})

test('an endless stream of readers does not starve a writer', async (t) => {
  const sched = new Scheduler({ policy: random(3, { period: 2 }) })
  await sched.run('main', async () => {
    const sem = new RwSemaphore(sched, rwClass)
    let written = false
    for (let i = 0; i < 2; i++) {
      sched.spawn(`r${i}`, async () => {
        for (let round = 0; round < 10_000 && !written; round++) {
          await sem.downRead()
          await sched.yieldNow()
          sem.upRead()
        }
        t.true(written)
      })
    }
    sched.spawn('w', async () => {
      await sched.yieldNow()
      await sem.downWrite()
      written = true
      sem.upWrite()
    })
  })
})

test('a reader behind a waiting writer may not try its way in', async (t) => {
  const sched = new Scheduler()
  await sched.run('main', async () => {
    const sem = new RwSemaphore(sched, rwClass)
    await sem.downRead()
    sched.spawn('w', async () => {
      await sem.downWrite()
      sem.upWrite()
    })
    await sched.yieldNow()
    t.false(sem.tryDownRead())
    t.false(sem.tryDownWrite())
    sem.upRead()
    await sched.yieldNow()
    t.true(sem.tryDownRead())
    sem.upRead()
  })
})

async function failureOf(body: (sched: Scheduler) => Promise<void>): Promise<string> {
  const sched = new Scheduler()
  try {
    await sched.run('victim', () => body(sched))
  } catch (failure) {
    return (failure as Error).message
  }
  return 'no failure'
}

test('sleeping under a spin lock is reported with both sides', async (t) => {
  const message = await failureOf(async (sched) => {
    const mutex = new Mutex(sched, mutexClass)
    const ptl = new SpinLock(sched, spinClass, 'page-table lock')
    await ptl.lock()
    await mutex.lock()
  })
  t.regex(message, /I13: BUG: sleeping function called from invalid context/)
  t.regex(message, /task victim at mutex m while in spin lock page-table lock; locks held: spin lock page-table lock/)
})

test('every sleeping call is caught, spinning is not', async (t) => {
  const calls: Record<string, (sched: Scheduler) => Promise<unknown>> = {
    sleep: (sched) => sched.sleep(1),
    rwsem: (sched) => new RwSemaphore(sched, rwClass).downRead(),
    join: (sched) => sched.join(sched.current),
  }
  for (const [name, call] of Object.entries(calls)) {
    const message = await failureOf(async (sched) => {
      sched.enterAtomic('RCU read section')
      await call(sched)
    })
    t.regex(message, /I13: .*while in RCU read section/, name)
  }
  const spun = await failureOf(async (sched) => {
    let acked = false
    sched.spawn('cpu1', async () => {
      await sched.sleep(10)
      acked = true
    })
    sched.enterAtomic('a test')
    await sched.spinUntil(() => acked, { why: 'acknowledgement' })
    sched.leaveAtomic('a test')
  })
  t.is(spun, 'no failure')
})

test('a spinner goes on when the only other task yields or passes a switch point, without blocking', async (t) => {
  for (const policy of [fifo(), random(1, { period: 1 })]) {
    const sched = new Scheduler({ policy })
    let released = false
    let spun = false
    await sched.run('main', async () => {
      sched.spawn('spinner', async () => {
        await sched.spinUntil(() => released, { why: 'release' })
        spun = true
      })
      await sched.yieldNow()
      await sched.yieldNow()
      released = true
      for (let i = 0; i < 10 && !spun; i++) {
        if (policy.preemptive) {
          t.true(sched.contended)
          await sched.point(sched, 'r', 'loop')
        } else await sched.yieldNow()
      }
      t.true(spun, policy.name)
    })
  }
})

test('the order of locks is learnt, and the reverse names who established it', async (t) => {
  const message = await failureOf(async (sched) => {
    const m = new Mutex(sched, mutexClass)
    const o = new Mutex(sched, otherClass)
    const first = sched.spawn('first', async () => {
      await m.lock()
      await o.lock()
      o.unlock()
      m.unlock()
    })
    await sched.join(first)
    await o.lock()
    await m.lock()
  })
  t.regex(message, /possible circular locking: task victim acquires m while it holds o/)
  t.regex(message, /m is outside o \(task first/)
})

test('recursive locking, foreign unlock and a lock held at exit are named', async (t) => {
  t.regex(await failureOf(async (s) => lockTwice(new Mutex(s, mutexClass))), /which it holds already/)
  t.regex(
    await failureOf(async (s) => {
      await new Mutex(s, mutexClass).lock()
      await new Mutex(s, mutexClass).lock()
    }),
    /possible recursive locking/,
  )
  t.regex(await failureOf(async (s) => new Mutex(s, mutexClass).unlock()), /which it does not hold/)
  t.regex(await failureOf(async (s) => new Mutex(s, mutexClass).lock()), /it ended holding mutex m/)
  t.is(
    await failureOf(async (s) => {
      const one = new SpinLock(s, spinClass)
      const two = new SpinLock(s, spinClass)
      await one.lock()
      await two.lock()
      two.unlock()
      one.unlock()
    }),
    'no failure',
  )
})

async function lockTwice(lock: ExclusiveLock): Promise<void> {
  await lock.lock()
  await lock.lock()
}

test('a failed try leaves nothing behind', async (t) => {
  const sched = new Scheduler()
  await sched.run('main', async () => {
    const mutex = new Mutex(sched, mutexClass)
    await mutex.lock()
    const other = sched.spawn('other', async () => {
      t.false(mutex.tryLock())
      t.is(mutex.holder?.name, 'main')
    })
    await sched.join(other)
    mutex.unlock()
    t.true(mutex.tryLock())
    t.true(mutex.isLocked)
    mutex.unlock()
    t.throws(() => sched.leaveAtomic('nothing'), { instanceOf: KernelBug })
  })
})
