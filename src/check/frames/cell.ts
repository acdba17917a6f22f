/**
 * What snapshots know of one object: a cell, with the content that was seen last. Most of a state is what it was in the
 * last one, so an object is compared with its content, and read again only when it differs.
 *
 * R1 A content is never changed: snapshots of many states share it.
 * R2 A content is compared with the object whenever the object is looked at: nothing relies on being told of a change.
 */
import type { Shape } from './shapes.ts'
import { StateHash, Tag } from './state-hash.ts'
import type { Names } from './state-hash.ts'

/** What was in an object, with two hash words of all but the objects that it leads to. */
export class Content {
  readonly values: unknown
  readonly a: number
  readonly b: number
  /** Those that have other numbers in other states, in the order of the reading. */
  readonly children: readonly Cell[]

  constructor(values: unknown, a: number, b: number, children: readonly Cell[]) {
    this.values = values
    this.a = a
    this.b = b
    this.children = children
  }
}

export class Cell {
  readonly object: object
  readonly kind: Kind
  /** The visit in which it was reached last, and its number in that visit. */
  visit = 0
  number = -1
  /** The roots lead to it through constant fields: its number never changes. */
  readonly isBase: boolean
  content: Content | null = null
  /** What of it never changes, of which only the hash is kept; null until it is read, and for the base. */
  fixed: Content | null = null

  constructor(object: object, kind: Kind, isBase: boolean) {
    this.object = object
    this.kind = kind
    this.isBase = isBase
  }
}

/** How objects of one shape are read: `T` is such an object, `V` what is kept of it. */
export interface KindParts<T, V> {
  /** Is what can change in it as it was? */
  readonly isSame: (object: T, values: V) => boolean
  readonly copy: (object: T) => V
  /** Takes in the state among what was copied. */
  readonly read: (values: V, reading: Reading) => void
  readonly putBack: (object: T, values: V) => void
  /** Takes in what never changes, when that is worth a hash of its own. */
  readonly readFixed?: (object: T, reading: Reading) => void
  /** False: there is nothing but what never changes. Default true. */
  readonly changes?: boolean
  /** What is put back without being state. */
  readonly aside?: Aside<T> | undefined
}

export interface Aside<T> {
  readonly copy: (object: T) => readonly unknown[]
  readonly putBack: (object: T, values: readonly unknown[]) => void
}

/** One class for all of them, so that calls through it are alike. */
export class Kind {
  readonly shape: Shape
  readonly changes: boolean
  readonly isSame: (object: object, values: unknown) => boolean
  readonly copy: (object: object) => unknown
  readonly read: (values: unknown, reading: Reading) => void
  readonly putBack: (object: object, values: unknown) => void
  readonly readFixed: ((object: object, reading: Reading) => void) | null
  readonly aside: Aside<object> | null

  constructor(shape: Shape, { isSame, copy, read, readFixed, putBack, aside, changes }: KindParts<object, unknown>) {
    this.shape = shape
    this.changes = changes ?? true
    this.isSame = isSame
    this.copy = copy
    this.read = read
    this.putBack = putBack
    this.readFixed = readFixed ?? null
    this.aside = aside ?? null
  }
}

const NOBODY: readonly Cell[] = []

/** Hashes one content, and collects the objects that it leads to. */
export class Reading {
  readonly hash: StateHash = new StateHash()
  private readonly names: Names
  private readonly cellOf: (object: object) => Cell
  /** What the content leads to, as far as it was read. */
  private readonly reached: Cell[] = []
  private count = 0

  constructor(names: Names, cellOf: (object: object) => Cell) {
    this.names = names
    this.cellOf = cellOf
  }

  /** The content of an object as it is now. */
  contentOf(cell: Cell): Content {
    const { kind, object } = cell
    if (!cell.isBase && cell.fixed === null && kind.readFixed !== null) {
      this.begin()
      kind.readFixed(object, this)
      cell.fixed = this.end(null)
      if (!kind.changes) return cell.fixed
    }
    const values = kind.copy(object)
    this.begin()
    const { fixed } = cell
    if (fixed !== null) {
      this.hash.pair(fixed.a, fixed.b)
      for (const child of fixed.children) this.reached[this.count++] = child
    }
    kind.read(values, this)
    return this.end(values)
  }

  mix(value: number): void {
    this.hash.mix(value)
  }

  /** Takes in what is known by a number of its own: a name, a place in the source. */
  name(name: unknown): void {
    this.hash.mix(this.names.numberOf(name))
  }

  /** Takes in one value of a field, an element or a local. */
  value(value: unknown): void {
    const { hash } = this
    switch (typeof value) {
      case 'number':
        hash.number(value)
        return
      case 'string':
        hash.mix(Tag.text)
        this.name(value)
        return
      case 'boolean':
        hash.mix(value ? Tag.true : Tag.false)
        return
      case 'undefined':
        hash.mix(Tag.nothing)
        return
      case 'bigint':
        hash.mix(Tag.big)
        this.name(value)
        return
      case 'symbol':
        hash.mix(Tag.constant)
        this.name(value)
        return
      default:
        if (value === null) hash.mix(Tag.null)
        else this.reference(value as object)
    }
  }

  private reference(object: object): void {
    const { hash } = this
    const cell = this.cellOf(object)
    if (cell.isBase) {
      hash.mix(Tag.base)
      hash.mix(cell.number)
      return
    }
    hash.mix(Tag.object)
    this.reached[this.count++] = cell
  }

  private begin(): void {
    this.hash.reset()
    this.count = 0
  }

  private end(values: unknown): Content {
    const { hash, reached, count } = this
    hash.finish()
    const children = count === 0 ? NOBODY : reached.slice(0, count)
    return new Content(values, hash.a | 0, hash.b | 0, children)
  }
}
