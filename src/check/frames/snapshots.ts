/**
 * Snapshots: everything that can be reached from some roots, hashed to two words, kept, and restored in place.
 *
 * Objects are numbered in the order in which they are visited, so a hash does not depend on when or in what order they
 * were made. What is no state (`static opaque`) is skipped; a class may also name fields that are restored and not
 * hashed. Of a frame the program counter, the locals that may still be read and the frame that waits for it count; of a
 * closure its place in the text and what it holds. Physical memory keeps its own journal and digests.
 *
 * R1 Equal hashes stand for equal states: nothing that can be reached is left out unless its class says so.
 * R2 What cannot be captured is an error with the path that leads to it.
 * R3 Snapshots are restored in the order of a stack: restoring one ends those that were taken after it.
 */
import { KernelError } from '../../base/index.ts'
import type { PhysicalMemory, SnapshotMark } from '../../hardware/index.ts'
import { Cell, Reading } from './cell.ts'
import type { Content } from './cell.ts'
import { Kinds, readAs } from './kinds.ts'
import { childrenOf, pathTo } from './reach.ts'
import { TaskHandle } from './park.ts'
import { Frame, tagOf } from './runtime.ts'
import { Shapes } from './shapes.ts'
import type { Shape } from './shapes.ts'
import { StateHash } from './state-hash.ts'
import type { Names } from './state-hash.ts'

type Fields = Record<string, unknown>

/** One state, as it is restored. */
export interface Snapshot {
  /** Hash words. */
  readonly a: number
  readonly b: number
  /** Contents of the base, in its order. */
  readonly base: readonly Content[]
  /** All else that can change, and its contents. */
  readonly cells: readonly Cell[]
  readonly contents: readonly Content[]
  /** What is restored without being state. */
  readonly asideOf: readonly Cell[]
  readonly aside: readonly (readonly unknown[])[]
  readonly mark: SnapshotMark
}

export interface SnapshotOptions {
  /** What is state, with all that can be reached from it. */
  readonly roots: Readonly<Record<string, object>>
  readonly memory: PhysicalMemory
  /** A number that belongs to the state and is found nowhere. */
  readonly extra: () => number
  /** Shared by all worlds that are compared. */
  readonly names: Names
}

export class Snapshots {
  /** Hash words of the state that was looked at last. */
  a = 0
  b = 0
  private readonly roots: Readonly<Record<string, object>>
  private readonly memory: PhysicalMemory
  private readonly extra: () => number
  private readonly shapes = new Shapes()
  private readonly kinds: Kinds
  private readonly hash = new StateHash()
  private readonly reading: Reading
  // oxlint-disable-next-line no-restricted-globals -- it remembers and is no state: what is dropped takes its cell along
  private readonly cells = new WeakMap<object, Cell>()
  /** What constant fields lead to from the roots, as far as anything in it can change: it is there in all states. */
  private readonly base: Cell[] = []
  private baseSize = 0
  /** All others, in the order of the visit. */
  private readonly found: Cell[] = []
  private readonly baseWithAside: Cell[] = []
  private visit = 0
  /** Everything that was reached in the last visit is as it was then, or was restored since. */
  private isCurrent = false

  constructor(options: SnapshotOptions) {
    this.roots = options.roots
    this.memory = options.memory
    this.extra = options.extra
    this.kinds = new Kinds(this.shapes, (object) => this.refuse(object))
    this.reading = new Reading(options.names, (object) => this.cellOf(object))
  }

  /** What constant fields lead to now is numbered once, and what of it nothing ever writes is not looked at again. */
  begin(): void {
    const objects = new Set<object>(Object.values(this.roots))
    for (const object of objects) {
      const kind = this.kinds.of(object)
      const cell = new Cell(readAs(object, kind.shape), kind, true)
      cell.number = this.baseSize++
      this.keep(object, cell)
      if (this.canChange(cell)) this.base.push(cell)
      if (kind.aside !== null) this.baseWithAside.push(cell)
      for (const value of this.constantsOf(object)) {
        if ((typeof value === 'object' && value !== null) || typeof value === 'function') objects.add(value)
      }
    }
  }

  /** Hashes the present state. @throws KernelError EINVAL for what cannot be captured, with its path */
  look(): void {
    const { hash, found, memory, base } = this
    this.visit++
    found.length = 0
    hash.reset()
    hash.mix(memory.snapshotHash(0))
    hash.mix(memory.snapshotHash(1))
    hash.number(this.extra())
    for (let at = 0; at < base.length; at++) this.see(base[at]!)
    for (let at = 0; at < found.length; at++) this.see(found[at]!)
    hash.finish()
    this.a = hash.a
    this.b = hash.b
    this.isCurrent = true
  }

  /** To be told before the world goes on. */
  leave(): void {
    this.isCurrent = false
  }

  /** The state that was just looked at. */
  take(): Snapshot {
    const { a, b, found, baseWithAside } = this
    const base = this.base.map(({ content }) => content!)
    const cells: Cell[] = []
    const contents: Content[] = []
    const asideOf: Cell[] = []
    const aside: (readonly unknown[])[] = []
    const hashed = found.length
    for (const cell of baseWithAside) {
      asideOf.push(cell)
      aside.push(this.asideOf(cell))
    }
    for (let at = 0; at < found.length; at++) {
      const cell = found[at]!
      if (at >= hashed) this.see(cell)
      if (cell.kind.aside !== null) {
        asideOf.push(cell)
        aside.push(this.asideOf(cell))
      }
      if (!cell.kind.changes) continue
      cells.push(cell)
      contents.push(cell.content!)
    }
    return { a, b, base, cells, contents, asideOf, aside, mark: this.memory.snapshotMark() }
  }

  /** Looks at the present state and takes it. */
  capture(): Snapshot {
    this.look()
    return this.take()
  }

  /** Puts everything back as it was. */
  restore(snapshot: Snapshot): void {
    this.memory.snapshotUndo(snapshot.mark)
    const { base, cells, contents, asideOf, aside } = snapshot
    const { isCurrent, visit } = this
    for (let at = 0; at < base.length; at++) {
      const cell = this.base[at]!
      const content = base[at]!
      if (!isCurrent || cell.content !== content) putBack(cell, content)
    }
    for (let at = 0; at < cells.length; at++) {
      const cell = cells[at]!
      const content = contents[at]!
      if (!isCurrent || cell.visit !== visit || cell.content !== content) putBack(cell, content)
    }
    for (let at = 0; at < aside.length; at++) {
      const { kind, object } = asideOf[at]!
      kind.aside!.putBack(object, aside[at]!)
    }
  }

  get rootsByName(): Readonly<Record<string, object>> {
    return this.roots
  }

  shapeOf(object: object): Shape {
    return this.shapes.of(object)
  }

  /** What an object leads to, and how that is called. */
  childrenOf(object: object): readonly (readonly [name: string, value: unknown])[] {
    return childrenOf(object, this.shapes)
  }

  private canChange({ object, kind: { changes, shape } }: Cell): boolean {
    if (!changes) return false
    if (shape.kind === 'closure') return tagOf(object)!.captured !== null
    // Two views of the same words change together.
    return shape.kind !== 'words' || !this.base.some((other) => isSameView(object, other))
  }

  /** Values of the fields that nothing writes. */
  private constantsOf(object: object): readonly unknown[] {
    const { fields, written } = this.shapes.of(object)
    return fields.filter((field) => !written.includes(field)).map((field) => (object as Fields)[field])
  }

  private cellOf(object: object): Cell {
    const keeper = keeperOf(object)
    const known = keeper === null ? this.cells.get(object) : (keeper.cell as Cell | null)
    if (known !== undefined && known !== null) return known
    const kind = this.kinds.of(object)
    const cell = new Cell(readAs(object, kind.shape), kind, false)
    this.keep(object, cell)
    return cell
  }

  /** Brings the content of a cell up to date, takes it in, and finds what it leads to. */
  private see(cell: Cell): void {
    const { hash, visit } = this
    let { content } = cell
    if (content === null || !cell.kind.isSame(cell.object, content.values)) {
      cell.content = content = this.reading.contentOf(cell)
    }
    hash.pair(content.a, content.b)
    const { children } = content
    for (let at = 0; at < children.length; at++) {
      const child = children[at]!
      if (child.visit !== visit) this.find(child)
      hash.mix(child.number)
    }
  }

  private find(cell: Cell): void {
    cell.visit = this.visit
    cell.number = this.found.length
    this.found.push(cell)
  }

  private keep(object: object, cell: Cell): void {
    const keeper = keeperOf(object)
    if (keeper === null) this.cells.set(object, cell)
    else keeper.cell = cell
  }

  /** What is restored without being hashed; it leads to more that must be. */
  private asideOf({ kind, object }: Cell): readonly unknown[] {
    const values = kind.aside!.copy(object)
    for (const value of values) {
      if (value === null || typeof value !== 'object') continue
      const cell = this.cellOf(value)
      if (!cell.isBase && cell.visit !== this.visit) this.find(cell)
    }
    return values
  }

  private refuse(object: object): never {
    const { name } = this.shapes.of(object)
    throw new KernelError('EINVAL', `cannot capture ${name} at ${pathTo(object, this.roots, this.shapes)}`)
  }
}

function putBack(cell: Cell, content: Content): void {
  cell.kind.putBack(cell.object, content.values)
  cell.content = content
}

/** What the runtime makes is of one world and keeps its cell; others are in a table. */
function keeperOf(object: object): { cell: object | null } | null {
  return object instanceof Frame || object instanceof TaskHandle ? object : null
}

function isSameView(view: object, { object, kind }: Cell): boolean {
  if (kind.shape.kind !== 'words') return false
  const [one, other] = [view as Int32Array, object as Int32Array]
  return one.buffer === other.buffer && one.byteOffset === other.byteOffset && one.byteLength === other.byteLength
}
