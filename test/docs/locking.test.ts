import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { hostLockClasses } from '../../src/host/index.ts'
import { mmuLockClasses } from '../../src/mmu/index.ts'
import { notifierLockClasses } from '../../src/notifier/index.ts'
import { LockOrder, lockClass } from '../../src/sched/index.ts'
import { lockCard, lockTree, lockingDocument } from '../../src/view/index.ts'
import { ROOT, readText } from './sources.ts'

const rooms = [
  { room: 'notifier', classes: notifierLockClasses },
  { room: 'host', classes: hostLockClasses },
  { room: 'mmu', classes: mmuLockClasses },
]

test('docs/locking.md is what the declared lock classes say (UMBRA_UPDATE=1 writes it)', (t) => {
  const text = lockingDocument(rooms)
  if (process.env['UMBRA_UPDATE'] === '1') writeFileSync(join(ROOT, 'docs/locking.md'), text)
  t.is(readText('docs/locking.md'), text)
})

test('every lock class that a room declares is in its list', (t) => {
  for (const { room, classes } of rooms) {
    const files = readdirSync(join(ROOT, 'src', room)).filter((name) => name.endsWith('.ts'))
    const declared = files.flatMap((name) => readText(`src/${room}/${name}`).match(/= lockClass\(/g) ?? [])
    t.is(declared.length, classes.length, room)
  }
})

test('the declared order has no cycle', (t) => {
  const order = new LockOrder()
  const classes = rooms.flatMap((room) => room.classes)
  for (const lock of classes) order.learn(lock)
  const above = (lock: (typeof classes)[number], seen: readonly unknown[]): void => {
    t.false(seen.includes(lock), lock.name)
    for (const outer of lock.inside) above(outer, [...seen, lock])
  }
  for (const lock of classes) above(lock, [])
})

test('a lock is drawn under each lock it nests directly in, and in full only once', (t) => {
  const outer = lockClass({ name: 'outer', type: 'mutex', protects: 'a' })
  const left = lockClass({ name: 'left', type: 'mutex', protects: 'b', inside: [outer] })
  const right = lockClass({ name: 'right', type: 'mutex', protects: 'c', inside: [outer] })
  const leaf = lockClass({ name: 'leaf', type: 'spinlock', protects: 'e' })
  const inside = [left, right, outer]
  const inner = lockClass({ name: 'inner', type: 'rwsem', protects: 'd', inside, outside: [leaf] })
  const classes = [outer, left, right, inner, leaf]
  t.deepEqual(lockTree(classes), ['outer', '  left', '    inner', '      leaf', '  right', '    inner (see above)'])
  const card = lockCard(inner, classes)
  t.regex(card, /\| inside \| `left`, `right` \|/)
  t.regex(card, /\| outside \| `leaf` \|/)
})
