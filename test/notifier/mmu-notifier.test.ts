/** The notifier list: callouts, registration, release at exit, get and put, and what each misuse is called. */
import test from 'ava'
import { PAGE_SIZE, hva } from '../../src/base/index.ts'
import type { Hva } from '../../src/base/index.ts'
import {
  EAGAIN,
  MmuNotifier,
  MmuNotifierSubscriptions,
  mmuNotifierCallSrcu,
  mmuNotifierChangePte,
  mmuNotifierClearFlushYoung,
  mmuNotifierClearYoung,
  mmuNotifierGet,
  mmuNotifierInvalidatePage,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierPut,
  mmuNotifierRange,
  mmuNotifierRegister,
  mmuNotifierRegisterLocked,
  mmuNotifierSynchronize,
  mmuNotifierTestYoung,
  mmuNotifierUnregister,
  mmuNotifierUnregisterNoRelease,
} from '../../src/notifier/index.ts'
import type { MmuNotifierOps, MmuNotifierRange } from '../../src/notifier/index.ts'
import { Completion, Mutex, Scheduler, SpinLock, lockClass } from '../../src/sched/index.ts'
import { MmStub, notifierSrcu } from './mm-stub.ts'
import { failureOf, firstFailure, underSchedules } from './schedules.ts'

const newMm = (sched: Scheduler, id = 1): MmStub => new MmStub(sched, notifierSrcu(sched), id)
const rangeOf = (mm: MmStub, first = 0, pages = 1, blockable = true): MmuNotifierRange =>
  mmuNotifierRange(mm, hva(first * PAGE_SIZE), hva((first + pages) * PAGE_SIZE), 'UNMAP', { blockable })

/** Runs a scenario without preemption; what it throws fails the test. */
async function run<T>(body: (sched: Scheduler) => Promise<T>): Promise<T> {
  const sched = new Scheduler({ cpus: 2 })
  return await sched.run('main', () => body(sched))
}

/** A client that writes down its calls. */
class Recorder implements MmuNotifierOps {
  readonly name: string
  readonly log: string[]
  young = false

  constructor(name: string, log: string[]) {
    this.name = name
    this.log = log
  }

  release(): void {
    this.log.push(`${this.name}.release`)
  }

  async clearFlushYoung(_mm: unknown, start: Hva, end: Hva): Promise<boolean> {
    this.log.push(`${this.name}.clearFlushYoung ${start}-${end}`)
    return this.young
  }

  async clearYoung(_mm: unknown, start: Hva, end: Hva): Promise<boolean> {
    this.log.push(`${this.name}.clearYoung ${start}-${end}`)
    return this.young
  }

  testYoung(_mm: unknown, address: Hva): boolean {
    this.log.push(`${this.name}.testYoung ${address}`)
    return this.young
  }

  changePte(_mm: unknown, address: Hva, pte: number): void {
    this.log.push(`${this.name}.changePte ${address} ${pte}`)
  }

  invalidatePage(_mm: unknown, address: Hva): void {
    this.log.push(`${this.name}.invalidatePage ${address}`)
  }

  invalidateRangeStart(range: MmuNotifierRange): void {
    this.log.push(`${this.name}.start ${range.start}-${range.end} ${range.event}`)
  }

  async invalidateRangeEnd(range: MmuNotifierRange): Promise<void> {
    this.log.push(`${this.name}.end ${range.start}-${range.end}`)
  }
}

async function threeClients(
  sched: Scheduler,
): Promise<{ mm: MmStub; log: string[]; clients: Recorder[]; notifiers: MmuNotifier[] }> {
  const mm = newMm(sched)
  const log: string[] = []
  const clients = ['a', 'b', 'c'].map((name) => new Recorder(name, log))
  const notifiers = []
  for (const client of clients) notifiers.push(await mmuNotifierRegister(client, mm))
  return { mm, log, clients, notifiers }
}

test('range callouts reach every client, newest first, with the range as it was given', async (t) => {
  await run(async (sched) => {
    const { mm, log } = await threeClients(sched)
    const range = rangeOf(mm, 2, 3)
    t.is(await mmuNotifierInvalidateRangeStart(range), 0)
    await mmuNotifierInvalidateRangeEnd(range)
    t.deepEqual(log, [
      'c.start 8192-20480 UNMAP',
      'b.start 8192-20480 UNMAP',
      'a.start 8192-20480 UNMAP',
      'c.end 8192-20480',
      'b.end 8192-20480',
      'a.end 8192-20480',
    ])
  })
})

test('clearFlushYoung and clearYoung ask everybody and answer for any', async (t) => {
  await run(async (sched) => {
    const { mm, log, clients } = await threeClients(sched)
    t.false(await mmuNotifierClearFlushYoung(mm, hva(0), hva(4096)))
    clients[2]!.young = true
    log.length = 0
    t.true(await mmuNotifierClearFlushYoung(mm, hva(0), hva(8192)))
    t.deepEqual(log, ['c.clearFlushYoung 0-8192', 'b.clearFlushYoung 0-8192', 'a.clearFlushYoung 0-8192'])
    log.length = 0
    t.true(await mmuNotifierClearYoung(mm, hva(0), hva(4096)))
    t.deepEqual(log, ['c.clearYoung 0-4096', 'b.clearYoung 0-4096', 'a.clearYoung 0-4096'])
  })
})

test('testYoung stops at the first yes', async (t) => {
  await run(async (sched) => {
    const { mm, log, clients } = await threeClients(sched)
    t.false(await mmuNotifierTestYoung(mm, hva(4096)))
    clients[1]!.young = true
    log.length = 0
    t.true(await mmuNotifierTestYoung(mm, hva(4096)))
    t.deepEqual(log, ['c.testYoung 4096', 'b.testYoung 4096'])
  })
})

test('changePte falls back to invalidatePage, and a client with neither is skipped', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    const log: string[] = []
    const note = (text: string) => (): void => void log.push(text)
    await mmuNotifierRegister({ name: 'both', changePte: note('both.changePte'), invalidatePage: note('no') }, mm)
    await mmuNotifierRegister({ name: 'page', invalidatePage: note('page.invalidatePage') }, mm)
    await mmuNotifierRegister({ name: 'neither' }, mm)
    await mmuNotifierChangePte(mm, hva(4096), 77)
    t.deepEqual(log, ['page.invalidatePage', 'both.changePte'])
    log.length = 0
    await mmuNotifierInvalidatePage(mm, hva(4096))
    t.deepEqual(log, ['page.invalidatePage', 'no'])
  })
})

test('an mm that never had a notifier answers at once', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    t.is(await mmuNotifierInvalidateRangeStart(rangeOf(mm)), 0)
    await mmuNotifierInvalidateRangeEnd(rangeOf(mm))
    t.false(await mmuNotifierClearFlushYoung(mm, hva(0), hva(4096)))
    t.false(await mmuNotifierClearYoung(mm, hva(0), hva(4096)))
    t.false(await mmuNotifierTestYoung(mm, hva(0)))
    await mmuNotifierChangePte(mm, hva(0), 0)
    await mm.exit()
    t.is(mm.srcu.stats.sections, 0)
  })
})

test('a walker goes on from a node that was unlinked under it, and does not see a newer one', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    const log: string[] = []
    const inside = new Completion(sched, 'b is inside')
    const leave = new Completion(sched, 'b may leave')
    await mmuNotifierRegister({ name: 'c', invalidateRangeStart: () => void log.push('c') }, mm)
    const b = await mmuNotifierRegister(
      {
        name: 'b',
        invalidateRangeStart: async () => {
          log.push('b')
          inside.complete()
          await leave.wait()
        },
      },
      mm,
    )
    const walker = sched.spawn('walker', async () => {
      await mmuNotifierInvalidateRangeStart(rangeOf(mm))
    })
    await inside.wait()
    await mmuNotifierUnregisterNoRelease(b, mm)
    t.false(b.isHashed)
    await mmuNotifierRegister({ name: 'd', invalidateRangeStart: () => void log.push('d') }, mm)
    leave.complete()
    await sched.join(walker)
    t.deepEqual(log, ['b', 'c'])
  })
})

test('the second hlist_del of a notifier is a null or poisoned pointer; delInit may be repeated', async (t) => {
  await run(async (sched) => {
    const { mm, notifiers } = await threeClients(sched)
    const { list } = mm.notifierSubscriptions!
    list.delInit(notifiers[1]!)
    list.delInit(notifiers[1]!)
    t.throws(() => list.del(notifiers[1]!), { message: /I5: NULL pointer dereference.*b#/ })
    list.del(notifiers[0]!)
    t.throws(() => list.del(notifiers[0]!), { message: /I5: poisoned pointer.*a#/ })
    t.is(list.next, notifiers[2]!)
    t.is(notifiers[2]!.next, null)
  })
})

test('start and end are two read sections: an unregister may complete between them', async (t) => {
  await run(async (sched) => {
    const { mm, log, notifiers } = await threeClients(sched)
    await mmuNotifierInvalidateRangeStart(rangeOf(mm))
    await mmuNotifierUnregister(notifiers[0]!, mm)
    log.length = 0
    await mmuNotifierInvalidateRangeEnd(rangeOf(mm))
    t.deepEqual(log, ['c.end 0-4096', 'b.end 0-4096'])
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

test('X: a hook that takes the mmap lock inverts the lock order', async (t) => {
  const failure = await failureOf(async (sched) => {
    const mm = newMm(sched)
    const invalidateRangeStart = async (): Promise<void> => {
      await mm.mmapLock.downRead()
      mm.mmapLock.upRead()
    }
    await mmuNotifierRegister({ name: 'nic', invalidateRangeStart }, mm)
    await mmuNotifierInvalidateRangeStart(rangeOf(mm))
  })
  t.regex(failure ?? '', /I8: possible circular locking: task main acquires mmap_lock while it holds mmu_notifier_srcu/)
})

test('no hook begins or runs after unregister returned, in 1500 schedules', async (t) => {
  let ran = 0
  await underSchedules(1500, async (sched) => {
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
  t.true(ran > 3000)
})

class NoGracePeriod extends MmuNotifierSubscriptions {
  protected override async waitForHooks(): Promise<void> {}
}

/** v3.7 as of 21a92735f660: the test outside the lock, and a delete that is not idempotent. */
class SeedSubscriptions extends MmuNotifierSubscriptions {
  protected override async unlink(mn: MmuNotifier): Promise<void> {
    await this.lock.lock()
    this.list.del(mn)
    this.lock.unlock()
  }

  protected override async releaseList(): Promise<void> {
    await this.callReleaseOfAll()
    await this.unlinkAll()
    await this.waitForHooks()
  }
}

/** Before 3ad3d901bbcf: first off the list, then told. */
class DelistFirst extends MmuNotifierSubscriptions {
  protected override async releaseList(): Promise<void> {
    const idx = await this.readLock()
    const all: MmuNotifier[] = []
    for (let mn = this.list.next; mn !== null; mn = mn.next) all.push(mn)
    await this.unlinkAll()
    for (const mn of all) await this.callRelease(mn)
    await this.readUnlock(idx)
    await this.waitForHooks()
  }
}

/** 751efd8610d3: whoever unlinks it calls release, exactly once. */
class ClaimByUnlink extends MmuNotifierSubscriptions {
  override async unregister(mn: MmuNotifier): Promise<void> {
    this.checkMayUnregister(mn)
    const idx = await this.readLock()
    await this.claim(mn)
    await this.readUnlock(idx)
    await this.waitForHooks()
    this.forget(mn)
  }

  protected override async releaseList(): Promise<void> {
    const idx = await this.readLock()
    for (let mn = this.list.next; mn !== null; mn = this.list.next) await this.claim(mn)
    await this.readUnlock(idx)
    await this.waitForHooks()
  }

  private async claim(mn: MmuNotifier): Promise<void> {
    await this.lock.lock()
    const isMine = mn.isHashed
    this.list.delInit(mn)
    this.lock.unlock()
    if (isMine) await this.callRelease(mn)
  }
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

test('exit against unregister against truncation: 3000 schedules keep every page until it is unmapped', async (t) => {
  const outcome = { releases: 0, truncations: 0 }
  await underSchedules(3000, (sched) => exitRace(sched, MmuNotifierSubscriptions, outcome))
  t.true(outcome.releases > 3000, `in some schedules both call release: ${outcome.releases}`)
  t.true(outcome.truncations > 500)
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
    const failure = await firstFailure(3000, (sched) => exitRace(sched, Subscriptions))
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

/** A client with a count like KVM's, and one that cannot do without sleeping. */
async function failedStart(
  sched: Scheduler,
  Subscriptions: typeof MmuNotifierSubscriptions,
): Promise<{ result: number; count: number; log: string[] }> {
  const mm = newMm(sched)
  mm.newNotifierSubscriptions = () => new Subscriptions(mm)
  let count = 0
  const log: string[] = []
  const counting = (name: string): MmuNotifierOps => ({
    name,
    invalidateRangeStart: () => {
      log.push(`${name}.start`)
      count++
    },
    invalidateRangeEnd: () => {
      log.push(`${name}.end`)
      count--
    },
  })
  await mmuNotifierRegister(counting('old'), mm)
  await mmuNotifierRegister({ name: 'busy', invalidateRangeStart: (range) => (range.blockable ? 0 : -EAGAIN) }, mm)
  await mmuNotifierRegister(counting('new'), mm)
  const result = await mmuNotifierInvalidateRangeStart(rangeOf(mm, 0, 1, false))
  return { result, count, log }
}

test('a start that fails still asks everybody, and is undone: every end hook runs', async (t) => {
  await run(async (sched) => {
    const { result, count, log } = await failedStart(sched, MmuNotifierSubscriptions)
    t.is(result, -EAGAIN)
    t.is(count, 0)
    t.deepEqual(log, ['new.start', 'old.start', 'new.end', 'old.end'])
  })
})

test('without the undoing a count would stay raised for ever', async (t) => {
  class NoUndo extends MmuNotifierSubscriptions {
    protected override async undoFailedStart(): Promise<void> {}
  }
  await run(async (sched) => {
    const { count } = await failedStart(sched, NoUndo)
    t.is(count, 2)
  })
})

test('X: a start that fails where it may sleep, fails oddly, fails with an end, or sleeps where it may not', async (t) => {
  const startOf = (ops: MmuNotifierOps, blockable: boolean) => async (sched: Scheduler) => {
    const mm = newMm(sched)
    await mmuNotifierRegister(ops, mm)
    await mmuNotifierInvalidateRangeStart(rangeOf(mm, 0, 1, blockable))
  }
  const refuse: MmuNotifierOps = { name: 'nic', invalidateRangeStart: () => -EAGAIN }
  t.is(await failureOf(startOf(refuse, false)), null)
  t.regex((await failureOf(startOf(refuse, true))) ?? '', /I6: .*nic#.*returned -11 from a blockable range/)
  const odd: MmuNotifierOps = { name: 'nic', invalidateRangeStart: () => -5 }
  t.regex((await failureOf(startOf(odd, false))) ?? '', /I6: .*returned -5: the only failure is -EAGAIN/)
  const withEnd: MmuNotifierOps = { ...refuse, invalidateRangeEnd: () => {} }
  t.regex(
    (await failureOf(startOf(withEnd, false))) ?? '',
    /I6: .*it has an end hook, which would run without its start/,
  )
  const sleeps = await failureOf(async (sched) => {
    await startOf({ name: 'nic', invalidateRangeStart: () => sched.sleep(1) }, false)(sched)
  })
  t.regex(sleeps ?? '', /I13: BUG: sleeping function.*a non-blockable invalidation/)
})

test('aging hooks may sleep under a page-table lock that sleeps, and are reported under one that spins', async (t) => {
  const pageTableLock = lockClass({ name: 'page_table_lock', type: 'mutex or spinlock', protects: 'PTEs' })
  const age = (Kind: typeof Mutex | typeof SpinLock) => async (sched: Scheduler) => {
    const mm = newMm(sched)
    const clearFlushYoung = async (): Promise<boolean> => {
      await sched.sleep(10)
      return true
    }
    await mmuNotifierRegister({ name: 'nic', clearFlushYoung }, mm)
    const lock = new Kind(sched, pageTableLock)
    await lock.lock()
    t.true(await mmuNotifierClearFlushYoung(mm, hva(0), hva(4096)))
    lock.unlock()
  }
  t.is(await failureOf(age(Mutex)), null)
  const failure = await failureOf(age(SpinLock))
  t.regex(
    failure ?? '',
    /I13: BUG: sleeping function.*main at sleep while in spin lock page_table_lock; locks held: .*srcu/,
  )
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
    t.deepEqual(ops.freed.toSorted(), [1, 2])
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

test('one domain for all: a hook that sleeps in one mm holds up unregister in another, as a domain per mm would not', async (t) => {
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
  t.true((await waitOf(true)) >= 999_999)
  t.true((await waitOf(false)) < 1000)
})

test('figures: calls of each hook, how many slept, and for how long', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    let calls = 0
    const mn = await mmuNotifierRegister(
      {
        name: 'nic',
        invalidateRangeStart: async () => {
          if (calls++ > 0) await sched.sleep(1000 * calls)
        },
        testYoung: () => true,
      },
      mm,
    )
    for (let i = 0; i < 3; i++) await mmuNotifierInvalidateRangeStart(rangeOf(mm))
    await mmuNotifierTestYoung(mm, hva(0))
    const start = mn.stats.byCallout.get('invalidateRangeStart')!
    t.like(start, { calls: 3, running: 0, slept: 2, sleptTotal: 5000, sleptLongest: 3000 })
    t.like(mn.stats.byCallout.get('testYoung'), { calls: 1, slept: 0 })
    t.is(mn.stats.calls('release'), 0)
  })
})

test('events: a window opens before the first hook and closes after the last, with or without clients', async (t) => {
  const names = async (withClient: boolean): Promise<string[]> =>
    await run(async (sched) => {
      const events: string[] = []
      const mm = newMm(sched)
      sched.trace.attach((event) => {
        if ('op' in event && event.name.startsWith('mmu_notifier')) events.push(`${event.name} ${String(event.op)}`)
        else if (event.name.startsWith('mmu_notifier')) events.push(event.name)
      })
      if (withClient) {
        const invalidateRangeStart = (): void => {}
        await mmuNotifierRegister({ name: 'nic', invalidateRangeStart }, mm)
      }
      await mmuNotifierInvalidateRangeStart(rangeOf(mm))
      await mmuNotifierInvalidateRangeEnd(rangeOf(mm))
      return events
    })
  t.deepEqual(await names(false), [
    'mmu_notifier_invalidate_range_start',
    'mmu_notifier_invalidate_range_started',
    'mmu_notifier_invalidate_range_end',
    'mmu_notifier_invalidate_range_ended',
  ])
  t.deepEqual(await names(true), [
    'mmu_notifier_register_begin',
    'mmu_notifier_register_end',
    'mmu_notifier_invalidate_range_start',
    'mmu_notifier_callout_begin invalidateRangeStart',
    'mmu_notifier_callout_end invalidateRangeStart',
    'mmu_notifier_invalidate_range_started',
    'mmu_notifier_invalidate_range_end',
    'mmu_notifier_invalidate_range_ended',
  ])
})
