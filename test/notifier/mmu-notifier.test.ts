/** The life of a notifier: register, unregister, release at exit, get and put, and their races. */
import test from 'ava'
import { DelistFirst } from '../../src/check/museum/delist-before-release.ts'
import { SeedSubscriptions } from '../../src/check/museum/second-delete.ts'
import { ClaimByUnlink } from '../../src/check/museum/unlink-then-release.ts'
import { PAGE_SIZE, hva } from '../../src/base/index.ts'
import {
  MmuNotifierSubscriptions,
  MmuNotifier,
  mmuNotifierCallSrcu,
  mmuNotifierGet,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierPut,
  mmuNotifierRange,
  mmuNotifierRegister,
  mmuNotifierRegisterLocked,
  mmuNotifierSynchronize,
  mmuNotifierUnregister,
  mmuNotifierUnregisterNoRelease,
} from '../../src/notifier/index.ts'
import type { MmuNotifierOps, MmuNotifierRange } from '../../src/notifier/index.ts'
import { Mutex, lockClass } from '../../src/sched/index.ts'
import type { Scheduler } from '../../src/sched/index.ts'
import { MmStub, notifierSrcu } from './mm-stub.ts'
import { failureOf, firstFailure, run, underSchedules } from './schedules.ts'

const newMm = (sched: Scheduler, id = 1): MmStub => new MmStub(sched, notifierSrcu(sched), id)
const rangeOf = (mm: MmStub, first = 0, pages = 1, blockable = true): MmuNotifierRange =>
  mmuNotifierRange(mm, hva(first * PAGE_SIZE), hva((first + pages) * PAGE_SIZE), 'UNMAP', { blockable })

test('unregister leaves its steps in the trace: the hook, the unlinking, the grace period', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    const mn = await mmuNotifierRegister({ name: 'nic', release: () => Promise.resolve() }, mm)
    const events: string[] = []
    sched.trace.attach(({ name }) => events.push(name))
    await mmuNotifierUnregister(mn, mm)
    const steps = [
      'mmu_notifier_unregister_begin',
      'mmu_notifier_callout_begin',
      'mmu_notifier_callout_end',
      'hlist_del_init_rcu',
      'synchronize_srcu_begin',
      'synchronize_srcu_end',
      'mmu_notifier_unregister_end',
    ]
    t.deepEqual(
      events.filter((name) => steps.includes(name)),
      steps,
    )
  })
})

test('register takes a reference and waits for the mmap lock and every rmap walk', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    const order: string[] = []
    const munmap = sched.spawn('munmap', async () => {
      await mm.mmapLock.downWrite()
      await sched.sleep(100)
      order.push('munmap')
      mm.mmapLock.upWrite()
    })
    const truncate = sched.spawn('truncate', async () => {
      await mm.rmapLock.lock()
      await sched.sleep(200)
      order.push('truncate')
      mm.rmapLock.unlock()
    })
    await sched.sleep(10)
    const mn = await mmuNotifierRegister({ name: 'nic' }, mm)
    t.deepEqual(order, ['munmap', 'truncate'])
    t.is(mm.count, 2)
    t.is(mn.life, 'registered')
    t.is(mm.mmapLock.holders().length, 0)
    await mmuNotifierUnregister(mn, mm)
    t.is(mm.count, 1)
    await mmuNotifierRegister(mn, mm)
    t.is(mm.count, 2, 'an unregistered notifier may register again')
    await sched.join(munmap)
    await sched.join(truncate)
  })
})

test('an interrupted register leaves nothing behind', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    mm.signalPending = true
    await t.throwsAsync(mmuNotifierRegister({ name: 'nic' }, mm), { code: 'EINTR' })
    t.is(mm.count, 1)
    t.is(mm.notifierSubscriptions, null)
    t.is(mm.mmapLock.holders().length, 0)
    mm.signalPending = false
    await mmuNotifierRegister({ name: 'nic' }, mm)
    t.is(mm.count, 2)
  })
})

test('X: register on a dead mm, without the lock, or twice', async (t) => {
  const onDead = await failureOf(async (sched) => {
    const mm = newMm(sched)
    mm.users = 0
    await mmuNotifierRegister({ name: 'nic' }, mm)
  })
  t.regex(onDead ?? '', /register on mm 1, which has no users left/)
  const unlocked = await failureOf(
    async (sched) => void (await mmuNotifierRegisterLocked({ name: 'nic' }, newMm(sched))),
  )
  t.regex(unlocked ?? '', /without its mmap lock for writing/)
  const twice = await failureOf(async (sched) => {
    const mm = newMm(sched)
    const mn = await mmuNotifierRegister({ name: 'nic' }, mm)
    await mmuNotifierRegister(mn, mm)
  })
  t.regex(twice ?? '', /notifier nic#\d+ of mm 1 is registered already/)
})

test('X: unregister inside a hook, twice, or while holding a lock that the hook takes', async (t) => {
  const inside = await failureOf(async (sched) => {
    const mm = newMm(sched)
    const mn: MmuNotifier = new MmuNotifier({ name: 'nic', release: () => mmuNotifierUnregister(mn, mm) })
    await mmuNotifierRegister(mn, mm)
    await mm.exit()
  })
  t.regex(inside ?? '', /I8: task main unregisters notifier nic#\d+ of mm 1 inside a hook.*mmuNotifierPut/)
  const twice = await failureOf(async (sched) => {
    const mm = newMm(sched)
    const mn = await mmuNotifierRegister({ name: 'nic' }, mm)
    await mmuNotifierUnregister(mn, mm)
    await mmuNotifierUnregister(mn, mm)
  })
  t.regex(twice ?? '', /I14: notifier nic#\d+ of mm 1 is unregistered from mm 1, but it is fresh/)
  const inversion = await failureOf(async (sched) => {
    const mm = newMm(sched)
    const deviceLock = new Mutex(sched, lockClass({ name: 'device_lock', type: 'mutex', protects: 'the device' }))
    const invalidateRangeStart = async (): Promise<void> => {
      await deviceLock.lock()
      deviceLock.unlock()
    }
    const mn = await mmuNotifierRegister({ name: 'nic', invalidateRangeStart }, mm)
    await mmuNotifierInvalidateRangeStart(rangeOf(mm))
    await deviceLock.lock()
    await mmuNotifierUnregister(mn, mm)
  })
  t.regex(
    inversion ?? '',
    /I8: possible circular locking: task main acquires mmu_notifier_srcu while it holds device_lock/,
  )
})

test('no hook begins or runs after unregister returned, in 800 schedules', async (t) => {
  let ran = 0
  await underSchedules(800, async (sched) => {
    const mm = newMm(sched)
    let running = 0
    let isGone = false
    const hook = async (): Promise<void> => {
      if (isGone) throw new Error('a hook began after unregister returned')
      running++
      ran++
      await sched.sleep(20)
      running--
    }
    const mn = await mmuNotifierRegister(
      { name: 'nic', invalidateRangeStart: hook, invalidateRangeEnd: hook, release: hook },
      mm,
    )
    for (const name of ['munmap', 'reclaim']) {
      sched.spawn(name, async () => {
        for (let i = 0; i < 2; i++) {
          await mmuNotifierInvalidateRangeStart(rangeOf(mm))
          await mmuNotifierInvalidateRangeEnd(rangeOf(mm))
        }
      })
    }
    await sched.sleep(30)
    await mmuNotifierUnregister(mn, mm)
    isGone = true
    if (running > 0) throw new Error('a hook still ran when unregister returned')
  })
  t.true(ran > 1600)
})

class NoGracePeriod extends MmuNotifierSubscriptions {
  protected override async waitForHooks(): Promise<void> {}
}

interface ExitOutcome {
  releases: number
  truncations: number
}

/**
 * An mm exits while its client unregisters and truncation takes a page away through the rmap. The client has one
 * page mapped; whoever frees a page that it still maps fails.
 */
async function exitRace(
  sched: Scheduler,
  Subscriptions: typeof MmuNotifierSubscriptions,
  outcome: ExitOutcome = { releases: 0, truncations: 0 },
): Promise<void> {
  class RacingMm extends MmStub {
    override newNotifierSubscriptions(): MmuNotifierSubscriptions {
      return new Subscriptions(this)
    }
  }
  const mm = new RacingMm(sched, notifierSrcu(sched))
  const mapped = [true, true]
  const present = [true, true]
  let isGone = false
  let releases = 0
  const free = (page: number, by: string): void => {
    if (mapped[page]!) throw new Error(`${by} frees page ${page}, which the client still maps`)
  }
  const mn = await mmuNotifierRegister(
    {
      name: 'nic',
      release: async () => {
        if (isGone) throw new Error('release after unregister returned')
        await sched.sleep(5)
        mapped.fill(false)
        releases++
      },
      invalidateRangeStart: async (range) => {
        await sched.sleep(5)
        mapped[range.start / PAGE_SIZE] = false
      },
    },
    mm,
  )
  const truncate = sched.spawn('truncate', async () => {
    await mm.rmapLock.lock()
    if (present[1]!) {
      await mmuNotifierInvalidateRangeStart(rangeOf(mm, 1))
      present[1] = false
      await mmuNotifierInvalidateRangeEnd(rangeOf(mm, 1))
      free(1, 'truncate')
      outcome.truncations++
    }
    mm.rmapLock.unlock()
  })
  const exit = sched.spawn('exit', () =>
    mm.exit(async () => {
      if (releases === 0) throw new Error('exit frees pages before any release has ended')
      for (const page of [0, 1]) {
        await mm.rmapLock.lock()
        if (present[page]!) free(page, 'exit')
        present[page] = false
        mm.rmapLock.unlock()
      }
    }),
  )
  if (sched.contended) await sched.point(mm, 'r', 'before unregister')
  await mmuNotifierUnregister(mn, mm)
  isGone = true
  mn.free()
  await sched.join(truncate)
  await sched.join(exit)
  if (!mm.isFreed) throw new Error(`references do not balance: ${mm.count} left`)
  outcome.releases += releases
}

test('exit against unregister against truncation: 2000 schedules keep every page until it is unmapped', async (t) => {
  const outcome = { releases: 0, truncations: 0 }
  await underSchedules(2000, (sched) => exitRace(sched, MmuNotifierSubscriptions, outcome))
  t.true(outcome.releases > 2000, `in some schedules both call release: ${outcome.releases}`)
  t.true(outcome.truncations > 300)
})

for (const [name, Subscriptions, expected] of [
  [
    'the order of the first version: the second delete writes through a null pointer',
    SeedSubscriptions,
    /NULL pointer dereference: hlist_del/,
  ],
  [
    'unlinking before release: truncation frees a mapped page',
    DelistFirst,
    /truncate frees page 1, which the client still maps/,
  ],
  [
    'claiming release by the unlink: truncation frees a mapped page',
    ClaimByUnlink,
    /frees page \d, which the client still maps/,
  ],
  ['no grace period: a hook outlives its notifier', NoGracePeriod, /I5|frees page|exit frees pages before/],
] as const) {
  test(`the exit race catches ${name}`, async (t) => {
    const failure = await firstFailure(2000, (sched) => exitRace(sched, Subscriptions))
    t.regex(failure?.message ?? 'nothing found', expected)
  })
}

test('X: freeing a notifier without waiting for a grace period is a use after free', async (t) => {
  const failure = await firstFailure(500, async (sched) => {
    const mm = newMm(sched)
    const mn = await mmuNotifierRegister({ name: 'hmm', invalidateRangeStart: () => sched.sleep(10) }, mm)
    sched.spawn('munmap', async () => void (await mmuNotifierInvalidateRangeStart(rangeOf(mm))))
    await sched.sleep(5)
    await mmuNotifierUnregisterNoRelease(mn, mm)
    mn.free()
  })
  t.regex(failure?.message ?? '', /I5: use after free: task munmap .* freed notifier hmm/)
  await underSchedules(200, async (sched) => {
    const mm = newMm(sched)
    const mn = await mmuNotifierRegister({ name: 'hmm', invalidateRangeStart: () => sched.sleep(10) }, mm)
    sched.spawn('munmap', async () => void (await mmuNotifierInvalidateRangeStart(rangeOf(mm))))
    await sched.sleep(5)
    await mmuNotifierUnregisterNoRelease(mn, mm)
    mmuNotifierCallSrcu(mm.srcu, () => mn.free())
    await mmuNotifierSynchronize(mm.srcu)
    t.is(mn.life, 'freed')
  })
})

class PerMmOps implements MmuNotifierOps {
  readonly name = 'driver'
  allocated = 0
  readonly freed: number[] = []

  allocNotifier(): MmuNotifier {
    this.allocated++
    return new MmuNotifier(this)
  }

  freeNotifier(mn: MmuNotifier): void {
    this.freed.push(mn.mm!.id)
  }
}

test('get makes one notifier per mm and ops; the last put frees it after a grace period', async (t) => {
  await underSchedules(300, async (sched) => {
    const srcu = notifierSrcu(sched)
    const mm = new MmStub(sched, srcu, 1)
    const other = new MmStub(sched, srcu, 2)
    const ops = new PerMmOps()
    const got: MmuNotifier[] = []
    const getters = [mm, mm, other].map((of) =>
      sched.spawn('get', async () => void got.push(await mmuNotifierGet(ops, of))),
    )
    for (const getter of getters) await sched.join(getter)
    t.is(ops.allocated, 2)
    t.is(new Set(got).size, 2)
    let isReading = true
    const reader = sched.spawn('reader', async () => {
      const idx = await srcu.readLock()
      await sched.sleep(100)
      isReading = false
      await srcu.readUnlock(idx)
    })
    await sched.sleep(1)
    for (const mn of got) await mmuNotifierPut(mn)
    t.true(got.every((mn) => !mn.isHashed))
    if (isReading) t.deepEqual(ops.freed, [])
    await mmuNotifierSynchronize(srcu)
    t.deepEqual(
      ops.freed.toSorted((a, b) => a - b),
      [1, 2],
    )
    t.is(mm.count + other.count, 2)
    await sched.join(reader)
    t.not(await mmuNotifierGet(ops, mm), got[0], 'a notifier that was put is not found again')
  })
})

test('put is legal inside a hook; put too often, and get without allocNotifier, are not', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    const ops: MmuNotifierOps = {
      name: 'driver',
      allocNotifier: () => new MmuNotifier(ops),
      release: (_mm, mn) => mmuNotifierPut(mn),
    }
    await mmuNotifierGet(ops, mm)
    await mm.exit()
    await mmuNotifierSynchronize(mm.srcu)
    t.true(mm.isFreed)
  })
  const often = await failureOf(async (sched) => {
    const mn = await mmuNotifierGet(new PerMmOps(), newMm(sched))
    await mmuNotifierPut(mn)
    await mmuNotifierPut(mn)
  })
  t.regex(often ?? '', /I14: put of notifier driver#\d+ of mm 1, which has no users/)
  const bare = await failureOf(async (sched) => void (await mmuNotifierGet({ name: 'x' }, newMm(sched))))
  t.regex(bare ?? '', /needs ops with allocNotifier/)
})

test('X: the mm structure is freed under a notifier', async (t) => {
  const failure = await failureOf(async (sched) => {
    const mm = newMm(sched)
    await mmuNotifierRegister({ name: 'nic' }, mm)
    mm.drop()
    mm.drop()
  })
  t.regex(failure ?? '', /I14: mm 1 is freed with notifier nic#\d+ of mm 1 still linked/)
})

/** Virtual nanoseconds that unregister takes while a hook of another mm sleeps. */
const waitOf = async (isShared: boolean): Promise<number> =>
  await run(async (sched) => {
    const srcu = notifierSrcu(sched)
    const slow = new MmStub(sched, srcu, 1)
    const quick = new MmStub(sched, isShared ? srcu : notifierSrcu(sched), 2)
    await mmuNotifierRegister({ name: 'slow', invalidateRangeStart: () => sched.sleep(1_000_000) }, slow)
    const mn = await mmuNotifierRegister({ name: 'quick' }, quick)
    sched.spawn('munmap', async () => void (await mmuNotifierInvalidateRangeStart(rangeOf(slow))))
    await sched.sleep(1)
    const began = sched.now
    await mmuNotifierUnregister(mn, quick)
    return sched.now - began
  })

test('one domain for all: a hook that sleeps in one mm holds up unregister in another, as a domain per mm would not', async (t) => {
  t.true((await waitOf(true)) >= 999_999)
  t.true((await waitOf(false)) < 1000)
})
