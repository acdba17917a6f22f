/**
 * The lock order as a document (Linux: head comment of mm/rmap.c, Documentation/virt/kvm/locking.rst), drawn from the
 * declarations that the run-time check starts from.
 *
 * R1 A lock stands under every lock that it is declared to nest directly inside of; what follows through another lock
 *    is not repeated. Below its first place a lock shows what nests inside it, elsewhere only its name.
 */
import type { LockClass, LockType } from '../sched/index.ts'

const INDENT = '  '

const WAITS: Record<LockType, string> = {
  mutex: 'sleeps',
  rwsem: 'sleeps; readers share, a waiting writer holds back later readers',
  spinlock: 'spins; its holder may not sleep',
  'mutex or spinlock': "sleeps, or spins with `pageTableLock: 'spin'`",
  srcu: 'readers never wait and may sleep; who waits for a grace period sleeps',
}

/** The order as an indented tree: a lock may be acquired while those to its left on the way down are held. */
export function lockTree(classes: readonly LockClass[]): string[] {
  const nesting = new Nesting(classes)
  const drawn = new Set<LockClass>()
  const lines: string[] = []
  const draw = (lock: LockClass, depth: number): void => {
    const inner = nesting.directlyInside(lock)
    const isRepeated = drawn.has(lock)
    lines.push(`${INDENT.repeat(depth)}${lock.name}${isRepeated && inner.length > 0 ? ' (see above)' : ''}`)
    if (isRepeated) return
    drawn.add(lock)
    for (const next of inner) draw(next, depth + 1)
  }
  for (const lock of classes) if (nesting.isOutermost(lock)) draw(lock, 0)
  return lines
}

/** One card a lock: what it is, where it nests, what it protects. Markdown. */
export function lockCard(lock: LockClass, classes: readonly LockClass[]): string {
  const nesting = new Nesting(classes)
  const outer = classes.filter((other) => nesting.directlyInside(other).includes(lock))
  const inner = nesting.directlyInside(lock)
  return [
    `### \`${lock.name}\``,
    '',
    '| | |',
    '|---|---|',
    `| type | ${lock.type}: ${WAITS[lock.type]} |`,
    `| inside | ${names(outer)} |`,
    `| outside | ${names(inner)} |`,
    `| several at once | ${severalAtOnce(lock)} |`,
    `| protects | ${lock.protects} |`,
  ].join('\n')
}

const names = (locks: readonly LockClass[]): string => locks.map((lock) => `\`${lock.name}\``).join(', ') || 'nothing'

function severalAtOnce(lock: LockClass): string {
  if (lock.type === 'srcu') return 'yes: read sections nest'
  return lock.nests ? 'yes, in an order that the code defines' : 'no'
}

export interface LockRoom {
  /** Room that declares them. */
  readonly room: string
  /** Outermost first. */
  readonly classes: readonly LockClass[]
}

/** docs/locking.md: the order of all rooms together, then the cards, room by room. */
export function lockingDocument(rooms: readonly LockRoom[]): string {
  const classes = rooms.flatMap((room) => room.classes)
  const cards = rooms.flatMap(({ room, classes: own }) => [
    `## \`src/${room}\``,
    ...own.map((lock) => lockCard(lock, classes)),
  ])
  return `${[INTRODUCTION, ['```', ...lockTree(classes), '```'].join('\n'), RULES, ...cards].join('\n\n')}\n`
}

const INTRODUCTION = `# Locking

Generated from the lock classes that the run-time check starts from (\`src/*/locks.ts\`); do not edit. To draw it anew:
\`UMBRA_UPDATE=1 npx ava build/test/docs/locking.test.js\`.

A lock may be acquired while locks to its left are held, never the other way round. The check also adds every nesting that
it sees; a contradiction stops the kernel with a report that names the task, both locks, and where the opposite order
comes from.`

const RULES = `- **SRCU is a lock to those who wait for it.** Entering a read section never waits, so it may happen under any lock. But
  whoever waits for a grace period waits for every hook that runs, so he may hold no lock that a hook takes: those stand
  inside the domain. Waiting inside one's own section is reported at once.
- **Why the page-table lock sleeps.** \`clear_flush_young\`, \`test_young\` and \`change_pte\` are called under it. With the
  default, a mutex, these hooks may sleep as all others do; with a spin lock, as in Linux, a hook that sleeps there is
  reported as \`BUG: sleeping function called from invalid context\`.
- **A lock taken by trying** is not checked, as in lockdep: it cannot wait.`

/** The declared edges, without those that follow from others. */
class Nesting {
  private readonly classes: readonly LockClass[]
  private readonly inner = new Map<LockClass, Set<LockClass>>()

  constructor(classes: readonly LockClass[]) {
    this.classes = classes
    for (const lock of classes) this.inner.set(lock, new Set())
    for (const lock of classes) {
      for (const outer of lock.inside) this.inner.get(outer)?.add(lock)
      for (const inner of lock.outside) if (this.inner.has(inner)) this.inner.get(lock)!.add(inner)
    }
  }

  isOutermost(lock: LockClass): boolean {
    return !this.classes.some((other) => this.inner.get(other)!.has(lock))
  }

  directlyInside(lock: LockClass): LockClass[] {
    const own = this.inner.get(lock)!
    return this.classes.filter((next) => own.has(next) && ![...own].some((other) => this.reaches(other, next)))
  }

  /** Is `to` further inside than `from`? */
  private reaches(from: LockClass, to: LockClass): boolean {
    return [...this.inner.get(from)!].some((next) => next === to || this.reaches(next, to))
  }
}
