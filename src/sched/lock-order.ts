/**
 * Lock classes and the order in which they nest, declared as data and checked at run time (Linux: lockdep).
 *
 * Each room declares its classes with what they protect and which classes they nest in. The declarations draw
 * docs/locking.md; the run-time check starts from the same edges and adds those that it observes.
 *
 * R1 Declared edges never form a cycle.
 * R2 A report names both sides: what is being acquired, what is held, and where the opposite order comes from.
 */
import { KernelBug } from '../base/index.ts'
import type { Task } from './task.ts'

export type LockType = 'mutex' | 'rwsem' | 'spinlock' | 'mutex or spinlock' | 'srcu'

export interface LockClassOptions {
  readonly name: string
  readonly type: LockType
  /** What the lock protects, for docs/locking.md. */
  readonly protects: string
  /** Classes that may be held when this one is acquired. */
  readonly inside?: readonly LockClass[]
  /** Classes that may be acquired while this one is held. */
  readonly outside?: readonly LockClass[]
  /** Several locks of this class may be held at once (in an order that the code defines). Default false. */
  readonly nests?: boolean
}

/** Immutable once declared. */
export class LockClass {
  /** A declaration: nothing in it changes. */
  static readonly opaque = true
  readonly name: string
  readonly type: LockType
  readonly protects: string
  readonly inside: readonly LockClass[]
  readonly outside: readonly LockClass[]
  readonly nests: boolean

  constructor(options: LockClassOptions) {
    this.name = options.name
    this.type = options.type
    this.protects = options.protects
    this.inside = options.inside ?? []
    this.outside = options.outside ?? []
    this.nests = options.nests ?? false
  }
}

export function lockClass(options: LockClassOptions): LockClass {
  return new LockClass(options)
}

/** The locks of one kernel, in the order in which they were seen to nest. */
export class LockOrder {
  static readonly opaque = true
  /** outer -> inner -> who said so */
  private readonly edges = new Map<LockClass, Map<LockClass, string>>()
  private readonly known = new Set<LockClass>()

  /** Adds a class with its declared edges. Idempotent. */
  learn(lock: LockClass): void {
    if (this.known.has(lock)) return
    this.known.add(lock)
    for (const outer of lock.inside) {
      this.learn(outer)
      this.addEdge(outer, lock, 'the declared lock order')
    }
    for (const inner of lock.outside) {
      this.learn(inner)
      this.addEdge(lock, inner, 'the declared lock order')
    }
  }

  /**
   * The task, which holds `held`, is about to acquire `wanted`.
   * @throws KernelBug I8 when some other path nests them the other way round
   */
  check(task: Task, held: LockClass, wanted: LockClass): void {
    if (this.edges.get(held)?.has(wanted)) return
    if (held === wanted) {
      if (wanted.nests) return
      throw new KernelBug(
        `possible recursive locking: task ${task.name} acquires ${wanted.name} while it holds another ${held.name}`,
        'I8',
      )
    }
    const path = this.path(wanted, held)
    if (path !== null) {
      throw new KernelBug(
        `possible circular locking: task ${task.name} acquires ${wanted.name} while it holds ${held.name}, ` +
          `but ${path}`,
        'I8',
      )
    }
    this.addEdge(held, wanted, `task ${task.name} at ${task.where}`)
  }

  private addEdge(outer: LockClass, inner: LockClass, source: string): void {
    let inners = this.edges.get(outer)
    if (inners === undefined) this.edges.set(outer, (inners = new Map()))
    if (!inners.has(inner)) inners.set(inner, source)
  }

  /** How `outer` comes to stand outside `inner`, as text, or null when nothing says so. */
  private path(outer: LockClass, inner: LockClass): string | null {
    const seen = new Set<LockClass>()
    const search = (from: LockClass): string | null => {
      seen.add(from)
      for (const [next, source] of this.edges.get(from) ?? []) {
        const step = `${from.name} is outside ${next.name} (${source})`
        if (next === inner) return step
        if (seen.has(next)) continue
        const rest = search(next)
        if (rest !== null) return `${step}, ${rest}`
      }
      return null
    }
    return search(outer)
  }
}
