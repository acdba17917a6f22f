/** The callouts: who is asked, in which order, what the answers become, and what a hook may do. */
import test from 'ava'
import { PAGE_SIZE, hva } from '../../src/base/index.ts'
import type { Hva } from '../../src/base/index.ts'
import {
  EAGAIN,
  MmuNotifierSubscriptions,
  MmuNotifier,
  mmuNotifierChangePte,
  mmuNotifierClearFlushYoung,
  mmuNotifierClearYoung,
  mmuNotifierInvalidatePage,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierRange,
  mmuNotifierRegister,
  mmuNotifierTestYoung,
  mmuNotifierUnregister,
  mmuNotifierUnregisterNoRelease,
} from '../../src/notifier/index.ts'
import type { MmuNotifierOps, MmuNotifierRange } from '../../src/notifier/index.ts'
import { Completion, Mutex, SpinLock, lockClass } from '../../src/sched/index.ts'
import type { Scheduler } from '../../src/sched/index.ts'
import { MmStub, notifierSrcu } from './mm-stub.ts'
import { failureOf, run } from './schedules.ts'

const newMm = (sched: Scheduler, id = 1): MmStub => new MmStub(sched, notifierSrcu(sched), id)
const rangeOf = (mm: MmStub, first = 0, pages = 1, blockable = true): MmuNotifierRange =>
  mmuNotifierRange(mm, hva(first * PAGE_SIZE), hva((first + pages) * PAGE_SIZE), 'UNMAP', { blockable })

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

const startOf = (ops: MmuNotifierOps, blockable: boolean) => async (sched: Scheduler) => {
  const mm = newMm(sched)
  await mmuNotifierRegister(ops, mm)
  await mmuNotifierInvalidateRangeStart(rangeOf(mm, 0, 1, blockable))
}

test('X: a start that fails where it may sleep, fails oddly, fails with an end, or sleeps where it may not', async (t) => {
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

/** Events of one invalidation, with the hooks that ran. */
const namesOfEvents = async (withClient: boolean): Promise<string[]> =>
  await run(async (sched) => {
    const events: string[] = []
    const mm = newMm(sched)
    sched.trace.attach((event) => {
      if ('op' in event && event.name.startsWith('mmu_notifier')) events.push(`${event.name} ${event.op}`)
      else if (event.name.startsWith('mmu_notifier')) events.push(event.name)
    })
    if (withClient) {
      await mmuNotifierRegister({ name: 'nic', invalidateRangeStart: () => {} }, mm)
    }
    await mmuNotifierInvalidateRangeStart(rangeOf(mm))
    await mmuNotifierInvalidateRangeEnd(rangeOf(mm))
    return events
  })

test('events: a window opens before the first hook and closes after the last, with or without clients', async (t) => {
  t.deepEqual(await namesOfEvents(false), [
    'mmu_notifier_invalidate_range_start',
    'mmu_notifier_invalidate_range_started',
    'mmu_notifier_invalidate_range_end',
    'mmu_notifier_invalidate_range_ended',
  ])
  t.deepEqual(await namesOfEvents(true), [
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
