/**
 * What SRCU promises and forbids: one suite on all three implementations. The numbers are those of the list that
 * docs and issues cite: L = legal, X = must be reported.
 */
import test from 'ava'
import { Rcu, createSrcu } from '../../src/notifier/index.ts'
import type { Srcu, SrcuKind } from '../../src/notifier/index.ts'
import { Mutex, Scheduler, WaitQueue, lockClass, random } from '../../src/sched/index.ts'
import { failureOf, firstFailure, underSchedules } from './schedules.ts'

const KINDS: readonly SrcuKind[] = ['tiny', 'classic', 'counted']

/** A reader that stays inside until told, and says when it is in. */
async function holdOpen(sched: Scheduler, srcu: Srcu, name = 'reader'): Promise<{ release: () => void }> {
  const queue = new WaitQueue(sched, `${name} is told to leave`)
  let isIn = false
  let mayLeave = false
  sched.spawn(name, async () => {
    const idx = await srcu.readLock()
    isIn = true
    queue.wakeAll()
    await queue.wait(() => mayLeave)
    await srcu.readUnlock(idx)
  })
  await queue.wait(() => isIn)
  return {
    release: () => {
      mayLeave = true
      queue.wakeAll()
    },
  }
}

/** Each task reads one domain and waits for the next; closed, the last one waits for the first. */
const chain = (kind: SrcuKind, links: number, closed: boolean) => async (sched: Scheduler) => {
  const domains = Array.from({ length: links }, (_, i) => createSrcu(kind, sched, { name: `d${i}` }))
  const last = closed ? links : links - 1
  for (let i = 0; i < last; i++) {
    sched.spawn(`t${i}`, async () => {
      const idx = await domains[i]!.readLock()
      await sched.sleep(10)
      await domains[(i + 1) % links]!.synchronize()
      await domains[i]!.readUnlock(idx)
    })
  }
}

async function traceOf(kind: SrcuKind): Promise<string> {
  const lines: string[] = []
  const sched = new Scheduler({ policy: random(7, { migrate: true }) })
  sched.trace.attach((event, stamp) => lines.push(JSON.stringify([event, stamp])))
  await sched.run('main', async () => {
    const srcu = createSrcu(kind, sched, { name: 'a' })
    const reader = await holdOpen(sched, srcu)
    sched.spawn('updater', () => srcu.synchronize())
    srcu.call(() => {})
    await sched.sleep(5)
    reader.release()
    await srcu.barrier()
  })
  return lines.join('\n')
}

for (const kind of KINDS) {
  const domain = (sched: Scheduler, name = 'a'): Srcu => createSrcu(kind, sched, { name })

  test(`${kind} 1 L: sections nest to any depth, across grace periods that begin in between`, async (t) => {
    let overlapped = 0
    await underSchedules(60, async (sched) => {
      const srcu = domain(sched)
      const open = new Set<number>()
      const nest = async (depth: number): Promise<void> => {
        const idx = await srcu.readLock()
        open.add(depth)
        if (depth % 8 === 0) await sched.sleep(1)
        if (depth < 40) await nest(depth + 1)
        open.delete(depth)
        await srcu.readUnlock(idx)
      }
      sched.spawn('reader', () => nest(0))
      for (let i = 0; i < 4; i++) {
        await sched.sleep(2)
        const before = [...open]
        overlapped += before.length
        await srcu.synchronize()
        for (const depth of before) t.false(open.has(depth))
      }
    })
    t.true(overlapped > 20)
  })

  test(`${kind} 2 L: sections may overlap without nesting, and each is waited for`, async (t) => {
    let overlapped = 0
    await underSchedules(200, async (sched) => {
      const srcu = domain(sched)
      const open = new Set<string>()
      sched.spawn('reader', async () => {
        const first = await srcu.readLock()
        open.add('first')
        await sched.sleep(1)
        const second = await srcu.readLock()
        open.add('second')
        open.delete('first')
        await srcu.readUnlock(first)
        await sched.sleep(1)
        open.delete('second')
        await srcu.readUnlock(second)
      })
      for (let i = 0; i < 3; i++) {
        await sched.yieldNow()
        const before = [...open]
        overlapped += before.length
        await srcu.synchronize()
        for (const section of before) t.false(open.has(section))
      }
    })
    t.true(overlapped > 100)
  })

  test(`${kind} 3 X: crossed, doubled and foreign unlocks are named`, async (t) => {
    const crossed = await failureOf(async (sched) => {
      const srcu = domain(sched)
      const idx = await srcu.readLock()
      await srcu.readUnlock(1 - idx)
    })
    t.regex(crossed ?? '', /I5: task main calls readUnlock\(\d\) of srcu a.*indices are crossed/)
    const doubled = await failureOf(async (sched) => {
      const srcu = domain(sched)
      const idx = await srcu.readLock()
      await srcu.readUnlock(idx)
      await srcu.readUnlock(idx)
    })
    t.regex(doubled ?? '', /I5: task main .*in no section: unlocked twice\?/)
    const foreign = await failureOf(async (sched) => {
      const srcu = domain(sched)
      const idx = await srcu.readLock()
      await sched.join(sched.spawn('thief', () => srcu.readUnlock(idx)))
    })
    t.regex(foreign ?? '', /I5: task thief .*belongs to main.*downRead and upRead/)
    const nonsense = await failureOf(async (sched) => {
      const srcu = domain(sched)
      await srcu.readLock()
      await srcu.readUnlock(7)
    })
    t.regex(nonsense ?? '', /readLock returns 0 or 1/)
  })

  test(`${kind} 3 X: a section that is never left is named, at the task's end or as a deadlock`, async (t) => {
    const ended = await failureOf(async (sched) => {
      const srcu = domain(sched)
      await sched.join(sched.spawn('forgetful', async () => void (await srcu.readLock())))
    })
    t.regex(ended ?? '', /task forgetful failed: I6: it ended holding srcu a/)
    const stuck = await failureOf(async (sched) => {
      const srcu = domain(sched)
      await holdOpen(sched, srcu, 'sitter')
      await srcu.synchronize()
    })
    t.regex(stuck ?? '', /DeadlockError.*I8/)
    t.regex(stuck ?? '', /main waits for .*srcu a.*\(held by sitter\)/)
  })

  test(`${kind} 4 L: a reader may sleep and block; the grace period waits for it`, async (t) => {
    await underSchedules(100, async (sched) => {
      const srcu = domain(sched)
      const mutex = new Mutex(sched, lockClass({ name: 'data', type: 'mutex', protects: 'nothing' }))
      let isInside = false
      const reader = sched.spawn('reader', async () => {
        const idx = await srcu.readLock()
        isInside = true
        await sched.sleep(10_000)
        await mutex.lock()
        await sched.sleep(10_000)
        mutex.unlock()
        isInside = false
        await srcu.readUnlock(idx)
      })
      await sched.sleep(1)
      t.true(isInside)
      await srcu.synchronize()
      t.false(isInside)
      t.true(srcu.stats.longestWait >= 19_999, `${srcu.stats.longestWait}`)
      await sched.join(reader)
    })
  })

  test(`${kind} 5 L: a task unlocks on another CPU; another task unlocks what downRead began`, async (t) => {
    let moved = 0
    await underSchedules(100, async (sched) => {
      const srcu = domain(sched)
      const idx = await srcu.readLock()
      const { cpu } = sched.current
      await sched.sleep(1)
      if (sched.current.cpu !== cpu) moved++
      await srcu.readUnlock(idx)
      const handed = await srcu.downRead()
      let isOpen = true
      const finisher = sched.spawn('finisher', async () => {
        await sched.sleep(100)
        isOpen = false
        await srcu.upRead(handed)
      })
      await srcu.synchronize()
      t.false(isOpen)
      await sched.join(finisher)
      await srcu.synchronize()
    })
    t.true(moved > 10)
    const unmatched = await failureOf(async (sched) => await domain(sched).upRead(0))
    t.regex(unmatched ?? '', /I5: srcu a: upRead\(0\) without a downRead/)
  })

  test(`${kind} 6 X: waiting for a grace period inside one's own section is named`, async (t) => {
    for (const call of ['synchronize', 'synchronizeExpedited', 'barrier'] as const) {
      const failure = await failureOf(async (sched) => {
        const srcu = domain(sched)
        await srcu.readLock()
        await srcu[call]()
      })
      t.regex(failure ?? '', new RegExp(`I8: task main calls ${call} inside its own read section of srcu a`))
    }
  })

  test(`${kind} 6 X: a mutex held across synchronize that a reader takes is a lock inversion`, async (t) => {
    const failure = await firstFailure(40, async (sched) => {
      const srcu = domain(sched)
      const mutex = new Mutex(sched, lockClass({ name: 'slots_lock', type: 'mutex', protects: 'slots' }))
      sched.spawn('reader', async () => {
        const idx = await srcu.readLock()
        await mutex.lock()
        mutex.unlock()
        await srcu.readUnlock(idx)
      })
      await mutex.lock()
      await srcu.synchronize()
      mutex.unlock()
    })
    t.regex(failure?.message ?? '', /I8.*(possible circular locking|deadlock)/s)
  })

  test(`${kind} 6 X: a cycle of 1 to 9 domains is reported; 7 L: the same chain without its last link is not`, async (t) => {
    for (let links = 1; links <= 9; links++) {
      t.regex((await failureOf(chain(kind, links, true))) ?? 'no report', /I8/, `cycle of ${links}`)
      if (links > 1) t.is(await failureOf(chain(kind, links, false)), null, `chain of ${links}`)
    }
  })

  test(`${kind} 6 X: a deadlock that no lock order shows is drawn with the readers that hold it open`, async (t) => {
    const failure = await failureOf(async (sched) => {
      const srcu = domain(sched)
      const queue = new WaitQueue(sched, 'a message')
      let isInside = false
      sched.spawn('reader', async () => {
        const idx = await srcu.readLock()
        isInside = true
        await queue.wait(() => false, { why: 'a message of main', holders: () => sched.livingTasks().slice(0, 1) })
        await srcu.readUnlock(idx)
      })
      while (!isInside) await sched.sleep(1)
      await srcu.synchronize()
    })
    t.regex(failure ?? '', /deadlock: 2 tasks can never run/)
    t.regex(failure ?? '', /reader waits for a message of main \(held by main\), holding srcu a/)
    t.regex(failure ?? '', /cycle: .*reader/)
  })

  test(`${kind} 8: a reader of one domain does not delay another domain`, async (t) => {
    await underSchedules(60, async (sched) => {
      const a = domain(sched, 'a')
      const b = domain(sched, 'b')
      const reader = await holdOpen(sched, a)
      const before = sched.now
      await b.synchronize()
      t.true(sched.now - before < 100_000)
      reader.release()
      await a.synchronize()
    })
  })

  for (const [number, call] of [
    [9, 'synchronize'],
    [13, 'synchronizeExpedited'],
  ] as const) {
    test(`${kind} ${number}: ${call} outlasts every section that began before it`, async (t) => {
      let overlapped = 0
      await underSchedules(400, async (sched) => {
        const srcu = domain(sched)
        /** Sections that are open: their numbers, in the order in which they began. */
        const open = new Set<number>()
        let begun = 0
        for (const name of ['r0', 'r1']) {
          sched.spawn(name, async () => {
            for (let i = 0; i < 3; i++) {
              const idx = await srcu.readLock()
              const number = ++begun
              open.add(number)
              if (sched.contended) await sched.point(open, 'r', name)
              await sched.sleep(50 * i)
              open.delete(number)
              await srcu.readUnlock(idx)
            }
          })
        }
        for (let i = 0; i < 3; i++) {
          const before = [...open]
          overlapped += before.length
          await srcu[call]()
          for (const number of before)
            if (open.has(number)) throw new Error(`section ${number} outlived a grace period`)
          if (sched.contended) await sched.point(open, 'r', 'updater')
        }
      })
      t.true(overlapped > 100, 'grace periods began while sections were open')
    })
  }

  test(`${kind} 10: an endless stream of short readers does not keep a grace period from ending`, async (t) => {
    await underSchedules(60, async (sched) => {
      const srcu = domain(sched)
      let isOver = false
      let sections = 0
      for (const name of ['r0', 'r1', 'r2']) {
        sched.spawn(name, async () => {
          while (!isOver) {
            const idx = await srcu.readLock()
            if (++sections > 20_000) throw new Error('the grace period starves')
            await sched.sleep(10)
            await srcu.readUnlock(idx)
          }
        })
      }
      await sched.sleep(25)
      for (let i = 0; i < 3; i++) await srcu.synchronize()
      isOver = true
      t.pass()
    })
  })

  test(`${kind} 11: callbacks run once, in order, one at a time, after a grace period, and may post others`, async (t) => {
    await underSchedules(200, async (sched) => {
      const srcu = domain(sched)
      const ran: number[] = []
      /** CPU that each callback was posted on: queues are per CPU in `counted`, else there is one. */
      const queues: number[] = []
      const open = new Set<number>()
      let running = 0
      const reader = sched.spawn('reader', async () => {
        for (let i = 0; i < 3; i++) {
          const idx = await srcu.readLock()
          open.add(i)
          await sched.sleep(20)
          open.delete(i)
          await srcu.readUnlock(idx)
        }
      })
      let posted = 0
      const post = (again: boolean): void => {
        const number = posted++
        queues.push(kind === 'counted' ? sched.current.cpu : 0)
        const before = [...open]
        srcu.call(async () => {
          running++
          if (sched.contended) await sched.point(ran, 'w', 'callback')
          if (running !== 1) throw new Error('two callbacks at once')
          if (before.some((section) => open.has(section))) throw new Error('a callback ran before its grace period')
          ran.push(number)
          if (again) post(false)
          running--
        })
      }
      for (let i = 0; i < 12; i++) {
        if (sched.contended) await sched.point(ran, 'w', 'post')
        post(i % 4 === 0)
      }
      const first = posted
      await srcu.barrier()
      t.is(ran.filter((number) => number < first).length, first)
      await sched.join(reader)
      await srcu.barrier()
      t.is(ran.length, posted)
      t.is(new Set(ran).size, posted)
      for (let cpu = 0; cpu < sched.cpus; cpu++) {
        const order = ran.filter((number) => queues[number] === cpu)
        t.deepEqual(
          order,
          order.toSorted((a, b) => a - b),
        )
      }
    })
  })

  test(`${kind} 11 X: a callback that sleeps is reported`, async (t) => {
    const failure = await failureOf(async (sched) => {
      const srcu = domain(sched)
      srcu.call(() => sched.sleep(1))
      await srcu.barrier()
    })
    t.regex(failure ?? '', /I13: BUG: sleeping function called from invalid context.*callback of srcu a/)
  })

  test(`${kind} 12: barrier waits for the callbacks posted before it, not for later ones`, async (t) => {
    let later = 0
    await underSchedules(200, async (sched) => {
      const srcu = domain(sched)
      let ran = 0
      let isWaiting = true
      for (let i = 0; i < 25; i++) srcu.call(() => void ran++)
      sched.spawn('flood', async () => {
        for (let i = 0; isWaiting && i < 500; i++) {
          srcu.call(() => {})
          await sched.sleep(1)
        }
        later++
      })
      await srcu.barrier()
      isWaiting = false
      t.is(ran, 25)
    })
    t.is(later, 200)
  })

  test(`${kind} 14: callers of synchronize at the same time share grace periods`, async (t) => {
    const sched = new Scheduler()
    const srcu = domain(sched)
    await sched.run('main', async () => {
      const reader = await holdOpen(sched, srcu)
      for (let i = 0; i < 10; i++) sched.spawn(`updater${i}`, () => srcu.synchronize())
      await sched.sleep(1)
      reader.release()
    })
    t.is(srcu.stats.synchronizes, 10)
    t.true(srcu.stats.gracePeriods <= 3, `${srcu.stats.gracePeriods} grace periods for 10 callers`)
  })

  /**
   * C-srcu-mb-1: without a full barrier in unlock the memory model allows both loads to miss both stores. One task at a
   * time runs here, so stores are seen at once and the outcome cannot appear: no test of ours depends on unlock as a barrier.
   */
  test(`${kind} 15: both sides of a store buffer are never missed, for memory is sequentially consistent`, async (t) => {
    await underSchedules(300, async (sched) => {
      const srcu = domain(sched)
      const memory = { x: 0, y: 0 }
      let seenY = -1
      const reader = sched.spawn('reader', async () => {
        const idx = await srcu.readLock()
        memory.x = 1
        await srcu.readUnlock(idx)
        if (sched.contended) await sched.point(memory, 'r', 'reader')
        seenY = memory.y
      })
      memory.y = 1
      if (sched.contended) await sched.point(memory, 'r', 'main')
      const seenX = memory.x
      await sched.join(reader)
      t.false(seenX === 0 && seenY === 0)
    })
  })

  test(`${kind} 16: cleanup with an active reader warns and leaks; an idle domain is gone`, async (t) => {
    const leaks: unknown[] = []
    const failure = await failureOf(async (sched) => {
      sched.trace.attach((event) => event.name === 'srcu_leak' && leaks.push(event))
      const srcu = domain(sched)
      const reader = await holdOpen(sched, srcu, 'sitter')
      t.false(await srcu.cleanup())
      reader.release()
      await srcu.synchronize()
      let ran = 0
      srcu.call(() => void ran++)
      t.true(await srcu.cleanup())
      t.is(ran, 1, 'cleanup flushes callbacks')
      await srcu.readLock()
    })
    t.deepEqual(leaks, [{ name: 'srcu_leak', srcu: 'a', readers: ['sitter'], callbacks: 0 }])
    t.regex(failure ?? '', /I5: srcu a is used after its cleanup/)
  })

  test(`${kind} 17: a cookie is never done while an older reader is inside, and done in the end if polling was started`, async (t) => {
    await underSchedules(400, async (sched) => {
      const srcu = domain(sched)
      const open = new Set<number>()
      let begun = 0
      for (const name of ['r0', 'r1']) {
        sched.spawn(name, async () => {
          for (let i = 0; i < 3; i++) {
            const idx = await srcu.readLock()
            const number = ++begun
            open.add(number)
            await sched.sleep(30)
            open.delete(number)
            await srcu.readUnlock(idx)
          }
        })
      }
      for (let i = 0; i < 3; i++) {
        const before = [...open]
        const passive = srcu.getState()
        const cookie = srcu.startPoll()
        for (let polls = 0; !srcu.pollState(cookie); polls++) {
          if (polls > 1000) throw new Error('a started poll is never done')
          await sched.sleep(7)
        }
        t.true(srcu.pollState(passive))
        for (const number of before) if (open.has(number)) throw new Error('a cookie was done under an older reader')
      }
      const unstarted = srcu.getState()
      t.false(srcu.pollState(unstarted), 'nobody asked for a grace period')
    })
  })

  test(`${kind} 18 X: waiting for a grace period inside an RCU reader is a sleep where none is allowed`, async (t) => {
    const failure = await failureOf(async (sched) => {
      const rcu = new Rcu(sched)
      rcu.readLock()
      await domain(sched).synchronize()
    })
    t.regex(failure ?? '', /I13: BUG: sleeping function called from invalid context.*rcu_read_lock/)
  })

  test(`${kind}: the same seed gives the same trace`, async (t) => {
    const first = await traceOf(kind)
    t.regex(first, /srcu_gp_start/)
    t.is(first, await traceOf(kind))
  })
}
