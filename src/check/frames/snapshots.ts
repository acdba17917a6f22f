/**
 * Snapshots: everything that can be reached from some roots, hashed to two words, and restored in place.
 *
 * Objects are numbered in the order in which they are visited, so a hash does not depend on when or in what order they
 * were made. What is no state (`static opaque`) is skipped; a class may also name fields that are restored and not
 * hashed. Of a frame the program counter, the locals that may still be read and the frame that waits for it count; of a
 * closure its place in the text and what it holds. Physical memory keeps its own journal and digests.
 *
 * Each look notes what was in the objects that it finds changed, or does not find any more: restoring goes back in these
 * notes to where a snapshot was taken.
 *
 * R1 Equal hashes stand for equal states: nothing that can be reached is left out unless its class says so.
 * R2 What cannot be captured is an error with the path that leads to it.
 * R3 Snapshots are restored in the order of a stack: restoring one ends those that were taken after it.
 */
import { KernelError } from '../../base/index.ts'
import type { PhysicalMemory, SnapshotMark } from '../../hardware/index.ts'
import { CellTable } from './cell-table.ts'
import { Reading } from './cell.ts'
import type { Cell, Content } from './cell.ts'
import { childrenOf, pathTo } from './reach.ts'
import { Shapes } from './shapes.ts'
import type { Shape } from './shapes.ts'
import { StateHash } from './state-hash.ts'
import type { Names } from './state-hash.ts'

/** One state, as it is restored. */
export interface Snapshot {
  /** Hash words. */
  readonly a: number
  readonly b: number
  /** What it leads to, but for the base. */
  readonly found: readonly Cell[]
  /** How many notes there were. */
  readonly notes: number
  /** What is restored without being state, and what only that leads to. */
  readonly aside: readonly { readonly cell: Cell; readonly values: readonly unknown[] }[]
  readonly beside: readonly { readonly cell: Cell; readonly content: Content }[]
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
  private readonly hash = new StateHash()
  private readonly table: CellTable
  private readonly reading: Reading
  private visit = 0
  /** What the last visit found beyond the base, in its order, or what was found where it was restored to. */
  private found: readonly Cell[] = []
  private count = 0
  /** Two lists that visits fill in turn. */
  private filling: Cell[] = []
  private filled: Cell[] = []
  /** What was in which cells. */
  private readonly notedCells: Cell[] = []
  private readonly notedContents: Content[] = []
  /** Everything that the last visit found is as it was then, or was restored since. */
  private isCurrent = false

  /** What constant fields lead to now is numbered once, and what of it nothing ever writes is not looked at again. */
  constructor(options: SnapshotOptions) {
    this.roots = options.roots
    this.memory = options.memory
    this.extra = options.extra
    this.table = new CellTable(Object.values(options.roots), this.shapes, (object) => this.refuse(object))
    this.reading = new Reading(options.names, (object) => this.table.of(object))
  }

  /** Hashes the present state. @throws KernelError EINVAL for what cannot be captured, with its path */
  look(): void {
    const { hash, memory, found, count, filling } = this
    const { base } = this.table
    this.filling = this.filled
    this.filled = filling
    this.count = 0
    this.visit++
    hash.reset()
    hash.mix(memory.snapshotHash(0))
    hash.mix(memory.snapshotHash(1))
    hash.number(this.extra())
    for (let at = 0; at < base.length; at++) this.see(base[at]!)
    for (let at = 0; at < this.count; at++) this.see(filling[at]!)
    hash.finish()
    this.a = hash.a
    this.b = hash.b
    for (let at = 0; at < count; at++) {
      const cell = found[at]!
      if (cell.visit !== this.visit && cell.kind.changes) this.note(cell, cell.content!)
    }
    this.found = filling
    this.isCurrent = true
  }

  /** To be told before the world goes on. */
  leave(): void {
    this.isCurrent = false
  }

  /** The state that was just looked at. */
  take(): Snapshot {
    const { a, b, filled, count } = this
    const found = filled.slice(0, count)
    const aside: { cell: Cell; values: readonly unknown[] }[] = []
    const beside: { cell: Cell; content: Content }[] = []
    for (const cell of this.table.aside) aside.push({ cell, values: this.asideOf(cell) })
    for (let at = 0; at < this.count; at++) {
      const cell = filled[at]!
      if (at >= count) {
        this.see(cell)
        if (cell.kind.changes) beside.push({ cell, content: cell.content! })
      }
      if (cell.kind.aside !== null) aside.push({ cell, values: this.asideOf(cell) })
    }
    this.count = count
    const notes = this.notedCells.length
    return { a, b, found, notes, aside, beside, mark: this.memory.snapshotMark() }
  }

  /** Looks at the present state and takes it. */
  capture(): Snapshot {
    this.look()
    return this.take()
  }

  /** Puts everything back as it was. */
  restore(snapshot: Snapshot): void {
    const { notedCells, notedContents } = this
    this.memory.snapshotUndo(snapshot.mark)
    if (!this.isCurrent) this.backToLast()
    for (let at = notedCells.length - 1; at >= snapshot.notes; at--) putBack(notedCells[at]!, notedContents[at]!)
    notedCells.length = snapshot.notes
    notedContents.length = snapshot.notes
    for (const { cell, content } of snapshot.beside) putBack(cell, content)
    for (const { cell, values } of snapshot.aside) cell.kind.aside!.putBack(cell.object, values)
    this.found = snapshot.found
    this.count = snapshot.found.length
    this.isCurrent = true
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

  /** Brings the content of a cell up to date, takes it in, and finds what it leads to. */
  private see(cell: Cell): void {
    const { hash, visit } = this
    const last = cell.content
    let content = last
    if (content === null || (cell.kind.changes && !cell.kind.isSame(cell.object, content.values))) {
      cell.content = content = this.reading.contentOf(cell)
      if (last !== null) this.note(cell, last)
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
    cell.number = this.count
    this.filled[this.count++] = cell
  }

  private note(cell: Cell, content: Content): void {
    this.notedCells.push(cell)
    this.notedContents.push(content)
  }

  /** What is restored without being hashed; it leads to more that must be. */
  private asideOf({ kind, object }: Cell): readonly unknown[] {
    const values = kind.aside!.copy(object)
    for (const value of values) {
      if (value === null || typeof value !== 'object') continue
      const cell = this.table.of(value)
      if (!cell.isBase && cell.visit !== this.visit) this.find(cell)
    }
    return values
  }

  /** Undoes a step after which nobody looked. */
  private backToLast(): void {
    const { found, count } = this
    for (const cell of this.table.base) backToContent(cell)
    for (let at = 0; at < count; at++) backToContent(found[at]!)
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

function backToContent({ kind, object, content }: Cell): void {
  if (kind.changes && !kind.isSame(object, content!.values)) kind.putBack(object, content!.values)
}
