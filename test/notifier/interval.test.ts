/** Interval notifiers: the tree, the sequence, deferred changes, and the protocol against a model of an mm. */
import test from 'ava'
import fc from 'fast-check'
import { PAGE_SIZE, hva } from '../../src/base/index.ts'
import {
  EAGAIN,
  MmuIntervalNotifier,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierInsertLocked,
  mmuIntervalNotifierRemove,
  mmuIntervalReadBegin,
  mmuIntervalReadRetry,
  mmuIntervalSetSeq,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierRange,
  mmuNotifierRegister,
} from '../../src/notifier/index.ts'
import type { MmuIntervalNotifierOps, MmuNotifierRange } from '../../src/notifier/index.ts'
import { IntervalNode, IntervalTree } from '../../src/notifier/interval-tree.ts'
import { Mutex, lockClass } from '../../src/sched/index.ts'
import type { Scheduler } from '../../src/sched/index.ts'
import { MmStub, notifierSrcu } from './mm-stub.ts'
import { failureOf, firstFailure, run, underSchedules } from './schedules.ts'

const newMm = (sched: Scheduler): MmStub => new MmStub(sched, notifierSrcu(sched))
const page = (number: number): ReturnType<typeof hva> => hva(number * PAGE_SIZE)
const rangeOf = (mm: MmStub, first: number, pages: number, blockable = true): MmuNotifierRange =>
  mmuNotifierRange(mm, page(first), page(first + pages), 'CLEAR', { blockable })

function node(start: number, last: number, id: number): IntervalNode {
  const made = new IntervalNode()
  made.start = start
  made.last = last
  made.id = id
  return made
}

test('the tree finds what a list finds, in order, through inserts and removals', (t) => {
  const step = fc.record({ remove: fc.boolean(), start: fc.nat(60), length: fc.nat(20), pick: fc.nat() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const tree = new IntervalTree()
      const naive: IntervalNode[] = []
      for (const [id, { remove, start, length, pick }] of steps.entries()) {
        if (remove && naive.length > 0) {
          const [gone] = naive.splice(pick % naive.length, 1)
          tree.remove(gone!)
        } else {
          const made = node(start, start + length, id)
          tree.insert(made)
          naive.push(made)
        }
        const expected = naive
          .filter((at) => at.start <= start + length && at.last >= start)
          .toSorted((a, b) => a.start - b.start || a.id - b.id)
        if (tree.size !== naive.length) return false
        const found = tree.overlapping(start, start + length)
        if (found.length !== expected.length || found.some((at, i) => at !== expected[i])) return false
      }
      return true
    }),
  )
  t.pass()
})

test('the cost of a query follows what overlaps, not what is there', (t) => {
  const tree = new IntervalTree()
  for (let i = 0; i < 20_000; i++) tree.insert(node(i * 8192, i * 8192 + 4095, i))
  tree.overlapping(5000 * 8192 + 4096, 5000 * 8192 + 8191)
  t.true(tree.cost.visited < 80, `nothing overlaps: ${tree.cost.visited} nodes`)
  t.is(tree.overlapping(5000 * 8192, 5009 * 8192).length, 10)
  t.true(tree.cost.visited < 200, `ten overlap: ${tree.cost.visited} nodes`)
  tree.overlapping(0, 100)
  t.true(tree.cost.visited < 80)
})

/** An ODP-like client that keeps its answers short. */
class Odp implements MmuIntervalNotifierOps {
  readonly name = 'odp'
  readonly log: string[] = []

  invalidate(range: MmuNotifierRange, seq: number, sub: MmuIntervalNotifier): boolean {
    mmuIntervalSetSeq(sub, seq)
    this.log.push(`${range.event} ${range.start / PAGE_SIZE}-${range.end / PAGE_SIZE} seq ${seq}`)
    return true
  }
}

test('only overlapping intervals are called, with an odd sequence; ends make it even again', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    const near = new Odp()
    const far = new Odp()
    const sub = await mmuIntervalNotifierInsert(near, mm, page(4), 4 * PAGE_SIZE)
    await mmuIntervalNotifierInsertLocked(far, mm, page(100), PAGE_SIZE)
    t.is(mm.count, 3)
    const range = rangeOf(mm, 7, 3)
    const seq = await mmuIntervalReadBegin(sub)
    t.false(mmuIntervalReadRetry(sub, seq))
    t.is(await mmuNotifierInvalidateRangeStart(range), 0)
    t.true(mmuIntervalReadRetry(sub, seq))
    await mmuNotifierInvalidateRangeEnd(range)
    t.true(mmuIntervalReadRetry(sub, seq), 'the invalidation is not forgotten')
    await mmuNotifierInvalidateRangeStart(rangeOf(mm, 8, 2))
    await mmuNotifierInvalidateRangeEnd(rangeOf(mm, 8, 2))
    t.deepEqual(near.log, ['CLEAR 7-10 seq 3'], 'page 8 is just behind the interval')
    t.deepEqual(far.log, [])
    t.is(mm.srcu.stats.sections, 0, 'intervals need no read section: the tree is frozen')
  })
})

test('what is inserted or removed during an invalidation takes effect at its end', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    const early = new Odp()
    const sub = await mmuIntervalNotifierInsert(early, mm, page(0), PAGE_SIZE)
    await mmuNotifierInvalidateRangeStart(rangeOf(mm, 0, 1))
    const late = new Odp()
    const lateSub = await mmuIntervalNotifierInsert(late, mm, page(0), PAGE_SIZE)
    t.false(lateSub.isLinked)
    const unwanted = await mmuIntervalNotifierInsert(new Odp(), mm, page(0), PAGE_SIZE)
    await mmuIntervalNotifierRemove(unwanted)
    let isRemoved = false
    const remover = sched.spawn('remover', async () => {
      await mmuIntervalNotifierRemove(sub)
      isRemoved = true
    })
    let wasRead = false
    const reader = sched.spawn('reader', async () => {
      await mmuIntervalReadBegin(lateSub)
      wasRead = true
    })
    await sched.sleep(10)
    t.false(isRemoved)
    t.false(wasRead)
    await mmuNotifierInvalidateRangeEnd(rangeOf(mm, 0, 1))
    await sched.join(remover)
    await sched.join(reader)
    t.true(lateSub.isLinked)
    t.false(sub.isLinked)
    await mmuNotifierInvalidateRangeStart(rangeOf(mm, 0, 1))
    t.is(early.log.length, 1)
    t.is(late.log.length, 1)
    await mmuNotifierInvalidateRangeEnd(rangeOf(mm, 0, 1))
    await mmuIntervalNotifierRemove(lateSub)
    t.is(mm.count, 1)
  })
})

test('an insert while an invalidation elsewhere is under way is linked at once, and its first read waits', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    await mmuIntervalNotifierInsert(new Odp(), mm, page(50), PAGE_SIZE)
    await mmuNotifierInvalidateRangeStart(rangeOf(mm, 0, 1))
    const sub = await mmuIntervalNotifierInsert(new Odp(), mm, page(0), PAGE_SIZE)
    t.true(sub.isLinked)
    let wasRead = false
    const reader = sched.spawn('reader', async () => {
      await mmuIntervalReadBegin(sub)
      wasRead = true
    })
    await sched.sleep(10)
    t.false(wasRead)
    await mmuNotifierInvalidateRangeEnd(rangeOf(mm, 0, 1))
    await sched.join(reader)
  })
})

test('a read of an interval that is not being invalidated does not wait', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    await mmuIntervalNotifierInsert(new Odp(), mm, page(0), PAGE_SIZE)
    const other = await mmuIntervalNotifierInsert(new Odp(), mm, page(9), PAGE_SIZE)
    await mmuNotifierInvalidateRangeStart(rangeOf(mm, 0, 1))
    t.is(await mmuIntervalReadBegin(other), 1)
    await mmuNotifierInvalidateRangeEnd(rangeOf(mm, 0, 1))
  })
})

test('one refusal ends a non-blockable start at once; a refusal by the list ends the intervals too', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    let refuse = true
    const sub = await mmuIntervalNotifierInsert(
      {
        name: 'odp',
        invalidate: (range, seq, at) => {
          if (refuse && !range.blockable) return false
          mmuIntervalSetSeq(at, seq)
          return true
        },
      },
      mm,
      page(0),
      PAGE_SIZE,
    )
    t.is(await mmuNotifierInvalidateRangeStart(rangeOf(mm, 0, 1, false)), -EAGAIN)
    await mmuIntervalReadBegin(sub)
    refuse = false
    await mmuNotifierRegister({ name: 'busy', invalidateRangeStart: () => -EAGAIN }, mm)
    t.is(await mmuNotifierInvalidateRangeStart(rangeOf(mm, 0, 1, false)), -EAGAIN)
    await mmuIntervalReadBegin(sub)
    t.pass('no read waits for an end that nobody will call')
  })
})

test('exit invalidates every interval, as RELEASE', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    const client = new Odp()
    const a = await mmuIntervalNotifierInsert(client, mm, page(1), PAGE_SIZE)
    const b = await mmuIntervalNotifierInsert(client, mm, page(1000), PAGE_SIZE)
    await mm.exit()
    t.is(client.log.length, 2)
    t.true(client.log.every((line) => line.startsWith('RELEASE')))
    await mmuIntervalNotifierRemove(a)
    await mmuIntervalNotifierRemove(b)
    t.true(mm.isFreed)
  })
})

const invalidateWith = (invalidate: MmuIntervalNotifierOps['invalidate']) => async (sched: Scheduler) => {
  const mm = newMm(sched)
  await mmuIntervalNotifierInsert({ name: 'odp', invalidate }, mm, page(0), PAGE_SIZE)
  await mmuNotifierInvalidateRangeStart(rangeOf(mm, 0, 1))
}

test('X: empty, overflowing and repeated intervals; an invalidate without setSeq; a refusal where it may sleep', async (t) => {
  await run(async (sched) => {
    const mm = newMm(sched)
    const odp = new Odp()
    await t.throwsAsync(mmuIntervalNotifierInsert(odp, mm, page(0), 0), { code: 'EINVAL' })
    await t.throwsAsync(mmuIntervalNotifierInsert(odp, mm, page(1), Number.MAX_SAFE_INTEGER), { code: 'EINVAL' })
    await t.throwsAsync(mmuIntervalNotifierRemove(new MmuIntervalNotifier(odp)), { code: 'EINVAL' })
    const sub = await mmuIntervalNotifierInsert(odp, mm, page(0), 1)
    await t.throwsAsync(mmuIntervalNotifierInsert(sub, mm, page(0), 1), { message: /inserted twice/ })
    mm.users = 0
    await t.throwsAsync(mmuIntervalNotifierInsertLocked(odp, mm, page(0), 1), { code: 'EINVAL' })
  })
  t.regex((await failureOf(invalidateWith(() => true))) ?? '', /I10: .*did not call mmuIntervalSetSeq/)
  t.regex((await failureOf(invalidateWith(() => false))) ?? '', /I6: .*refused a blockable invalidation/)
})

test('X: waiting for one’s own invalidation, by reading or removing inside it, is named', async (t) => {
  for (const call of [mmuIntervalReadBegin, mmuIntervalNotifierRemove]) {
    const failure = await failureOf(
      invalidateWith(async (_range, seq, sub) => {
        mmuIntervalSetSeq(sub, seq)
        await call(sub)
        return true
      }),
    )
    t.regex(
      failure ?? '',
      /I8: task main waits for the .* of interval notifier odp#.* inside an invalidation of its own/,
    )
  }
})

test('a reader that waits for an end that never comes is drawn with the task that owes it', async (t) => {
  const failure = await failureOf(async (sched) => {
    const mm = newMm(sched)
    const sub = await mmuIntervalNotifierInsert(new Odp(), mm, page(0), PAGE_SIZE)
    const forever = sched.spawn('reclaim', async () => {
      await mmuNotifierInvalidateRangeStart(rangeOf(mm, 0, 1))
      await sched.join(sched.current)
    })
    await sched.sleep(1)
    await mmuIntervalReadBegin(sub)
    await sched.join(forever)
  })
  t.regex(failure ?? '', /main waits for invalidation of interval notifier odp#.* \(held by reclaim\)/)
})

type Discipline = 'correct' | 'no retry' | 'retry before the lock' | 'sequence after the lookup'

const PAGES = 4

/**
 * A host that replaces pages and a device that keeps copies of page numbers. When the host frees the old page, no copy
 * of it may be left: that is the whole promise.
 */
async function device(sched: Scheduler, discipline: Discipline, uses: { count: number }): Promise<void> {
  const mm = newMm(sched)
  const host = Array.from({ length: PAGES }, (_, i) => i)
  const copies = new Map<number, number>()
  let nextFrame = PAGES
  const userLock = new Mutex(sched, lockClass({ name: 'umem_mutex', type: 'mutex', protects: 'the copies' }))
  const ops: MmuIntervalNotifierOps = {
    name: 'device',
    async invalidate(range, seq, sub) {
      await userLock.lock()
      mmuIntervalSetSeq(sub, seq)
      for (let i = range.start / PAGE_SIZE; i < range.end / PAGE_SIZE; i++) copies.delete(i)
      userLock.unlock()
      return true
    },
  }
  const sub = await mmuIntervalNotifierInsert(ops, mm, page(0), PAGES * PAGE_SIZE)
  const lookUp = async (at: number): Promise<number> => {
    if (sched.contended) await sched.point(host, 'r', 'look up')
    return host[at]!
  }
  const fault = async (at: number): Promise<void> => {
    for (;;) {
      let seq = discipline === 'sequence after the lookup' ? 0 : await mmuIntervalReadBegin(sub)
      const frame = await lookUp(at)
      if (discipline === 'sequence after the lookup') seq = await mmuIntervalReadBegin(sub)
      if (discipline === 'retry before the lock' && mmuIntervalReadRetry(sub, seq)) continue
      await userLock.lock()
      const isStale =
        (discipline === 'correct' || discipline === 'sequence after the lookup') && mmuIntervalReadRetry(sub, seq)
      if (!isStale) copies.set(at, frame)
      userLock.unlock()
      if (!isStale) break
    }
    uses.count++
  }
  const replace = async (first: number, count: number): Promise<void> => {
    const range = rangeOf(mm, first, count)
    await mmuNotifierInvalidateRangeStart(range)
    for (let i = first; i < first + count; i++) {
      if (sched.contended) await sched.point(host, 'w', 'clear pte')
      const freed = host[i]!
      host[i] = nextFrame++
      if (copies.get(i) === freed) throw new Error(`frame ${freed} is freed while the device has it`)
    }
    await mmuNotifierInvalidateRangeEnd(range)
    for (const [i, frame] of copies) if (host[i] !== frame) throw new Error(`the device keeps stale frame ${frame}`)
  }
  sched.spawn('dev0', async () => {
    for (const at of [0, 1, 2, 1]) await fault(at)
  })
  sched.spawn('dev1', async () => {
    for (const at of [1, 0, 3]) await fault(at)
  })
  sched.spawn('reclaim', async () => {
    await replace(0, 2)
    await replace(1, 1)
  })
  for (const first of [1, 0, 2]) await replace(first, 2)
}

test('a device that follows the protocol never keeps a stale page, in 1200 schedules', async (t) => {
  const uses = { count: 0 }
  await underSchedules(1200, (sched) => device(sched, 'correct', uses))
  t.is(uses.count, 1200 * 7)
})

for (const discipline of ['no retry', 'retry before the lock', 'sequence after the lookup'] as const) {
  test(`a device with ${discipline} is caught`, async (t) => {
    const failure = await firstFailure(2000, (sched) => device(sched, discipline, { count: 0 }))
    t.regex(failure?.message ?? 'nothing found', /is freed while the device has it|keeps stale frame/)
  })
}

test('inserts, removals and invalidations race in 800 schedules: no call after removal, references balance', async (t) => {
  let invalidations = 0
  await underSchedules(800, async (sched) => {
    const mm = newMm(sched)
    const tasks = []
    for (const name of ['a', 'b']) {
      tasks.push(
        sched.spawn(name, async () => {
          for (let i = 0; i < 3; i++) {
            let isGone = false
            const invalidate = async (_range: unknown, seq: number, sub: MmuIntervalNotifier): Promise<boolean> => {
              if (isGone) throw new Error('invalidate after remove returned')
              mmuIntervalSetSeq(sub, seq)
              invalidations++
              await sched.sleep(3)
              if (isGone) throw new Error('remove returned while invalidate ran')
              return true
            }
            const sub = await mmuIntervalNotifierInsert({ name, invalidate }, mm, page(i), 2 * PAGE_SIZE)
            if (i === 1) await mmuIntervalReadBegin(sub)
            await mmuIntervalNotifierRemove(sub)
            isGone = true
          }
        }),
      )
    }
    for (const name of ['munmap', 'reclaim']) {
      tasks.push(
        sched.spawn(name, async () => {
          for (let i = 0; i < 3; i++) {
            const range = rangeOf(mm, i, 1)
            // Start to end stand under the mmap lock or an rmap lock, so that the first insert cannot fall between.
            if (name === 'munmap') await mm.mmapLock.downRead()
            else await mm.rmapLock.lock()
            await mmuNotifierInvalidateRangeStart(range)
            if (sched.contended) await sched.point(range, 'w', 'clear pte')
            await mmuNotifierInvalidateRangeEnd(range)
            if (name === 'munmap') mm.mmapLock.upRead()
            else mm.rmapLock.unlock()
          }
        }),
      )
    }
    for (const task of tasks) await sched.join(task)
    t.is(mm.count, 1)
    mm.notifierSubscriptions?.destroy()
  })
  t.true(invalidations > 250, `${invalidations}`)
})
