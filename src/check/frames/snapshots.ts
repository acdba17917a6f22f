/**
 * Snapshots: everything that can be reached from some roots, captured as one record with two hash words, and restored
 * in place.
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
import { copyOf, isSame, isSameList, isSameMap, isSameSet, putBackMap, putBackSet, viewOf } from './copies.ts'
import type { Copy, List, Words } from './copies.ts'
import type { TaskHandle } from './park.ts'
import { childrenOf, pathTo } from './reach.ts'
import { tagOf } from './runtime.ts'
import type { Frame } from './runtime.ts'
import { Shapes } from './shapes.ts'
import type { Shape } from './shapes.ts'
import { Names, StateHash, Tag } from './state-hash.ts'

type Fields = Record<string, unknown>

/** Ends the fields of a literal in a record. */
const END: object = Object.freeze({})

/** One captured state. */
export interface Snapshot {
  /** Hash words, unsigned. */
  readonly a: number
  readonly b: number
  /** Object, then what was in it, for each object. */
  readonly record: readonly unknown[]
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
  private readonly roots: Readonly<Record<string, object>>
  private readonly memory: PhysicalMemory
  private readonly extra: () => number
  private readonly names: Names
  private readonly shapes = new Shapes()
  private readonly hash = new StateHash()
  /** What constant fields lead to from the roots: it is there in all states, with these numbers. */
  private readonly base = new Map<object, number>()
  /** Those of them in which anything can change. */
  private readonly changing: object[] = []
  /** Numbers of all others, in the order of the visit. */
  private readonly numbers = new Map<object, number>()
  private readonly found: object[] = []
  private readonly lists = new Map<object, List>()
  /** Reached through fields that are no state: to be restored, not hashed. */
  private readonly beside: object[] = []
  private readonly copies = new Map<Words, Copy>()

  constructor(options: SnapshotOptions) {
    this.roots = options.roots
    this.memory = options.memory
    this.extra = options.extra
    this.names = options.names
  }

  /** What constant fields lead to now is numbered once, and what of it nothing ever writes is not looked at again. */
  begin(): void {
    for (const name in this.roots) this.base.set(this.roots[name]!, this.base.size)
    for (const object of this.base.keys()) {
      if (this.canChange(object)) this.changing.push(object)
      for (const value of this.constantsOf(object)) {
        if (value === null || (typeof value !== 'object' && typeof value !== 'function')) continue
        if (!this.base.has(value)) this.base.set(value, this.base.size)
      }
    }
  }

  /** Captures the present state. @throws KernelError EINVAL for what cannot be captured, with its path */
  capture(): Snapshot {
    const { hash, found, beside, memory } = this
    const record: unknown[] = []
    const mark = memory.snapshotMark()
    this.numbers.clear()
    found.length = 0
    beside.length = 0
    hash.reset()
    hash.mix(memory.snapshotHash(0))
    hash.mix(memory.snapshotHash(1))
    hash.number(this.extra())
    for (const name in this.roots) this.value(this.roots[name])
    for (const object of this.changing) this.visit(object, record, true)
    for (let at = 0; at < found.length; at++) this.visit(found[at]!, record, false)
    hash.finish()
    const { a, b } = hash
    const hashed = found.length
    for (const object of beside) this.reference(object)
    for (let at = hashed; at < found.length; at++) this.visit(found[at]!, record, false)
    for (const object of found.slice(hashed)) this.numbers.delete(object)
    return { a, b, record, mark }
  }

  /** Puts everything back as it was. */
  restore(snapshot: Snapshot): void {
    this.memory.snapshotUndo(snapshot.mark)
    const { record } = snapshot
    for (let at = 0; at < record.length;) {
      const object = record[at++] as object
      at = this.putBack(object, this.shapes.of(object), record, at)
    }
  }

  get rootsByName(): Readonly<Record<string, object>> {
    return this.roots
  }

  kindOf(object: object): Shape {
    return this.shapes.of(object)
  }

  /** What an object leads to, and how that is called. */
  childrenOf(object: object): readonly (readonly [name: string, value: unknown])[] {
    return childrenOf(object, this.shapes)
  }

  private canChange(object: object): boolean {
    const { kind, written, aside } = this.shapes.of(object)
    if (kind === 'fields') return written.length + aside.length > 0
    if (kind === 'literal') return Object.keys(object).some((key) => this.shapes.isWritten(key))
    if (kind === 'closure') return tagOf(object)!.captured !== null
    return kind !== 'constant' && kind !== 'opaque' && kind !== 'error'
  }

  /** Values of the fields that nothing writes. */
  private constantsOf(object: object): readonly unknown[] {
    const { kind, fields, written } = this.shapes.of(object)
    const values = object as Fields
    if (kind === 'fields') return fields.filter((field) => !written.includes(field)).map((field) => values[field])
    if (kind !== 'literal') return []
    return Object.keys(object)
      .filter((key) => !this.shapes.isWritten(key))
      .map((key) => values[key])
  }

  private enter(object: object): number {
    const number = this.base.size + this.numbers.size
    this.numbers.set(object, number)
    this.found.push(object)
    return number
  }

  /** Takes in one value of a field, an element or a local. */
  private value(value: unknown): void {
    const { hash } = this
    switch (typeof value) {
      case 'number':
        hash.number(value)
        return
      case 'string':
        hash.mix(Tag.text)
        hash.mix(this.names.numberOf(value))
        return
      case 'boolean':
        hash.mix(value ? Tag.true : Tag.false)
        return
      case 'undefined':
        hash.mix(Tag.nothing)
        return
      case 'bigint':
        hash.mix(Tag.big)
        hash.mix(this.names.numberOf(value))
        return
      case 'symbol':
        hash.mix(Tag.constant)
        hash.mix(this.names.numberOf(value))
        return
      default:
        if (value === null) hash.mix(Tag.null)
        else this.reference(value as object)
    }
  }

  private reference(object: object): void {
    const { hash } = this
    hash.mix(Tag.object)
    hash.mix(this.base.get(object) ?? this.numbers.get(object) ?? this.enter(object))
  }

  /** @param isBase its constant parts are the same in all states */
  private visit(object: object, record: unknown[], isBase: boolean): void {
    const { hash } = this
    const shape = this.shapes.of(object)
    record.push(object)
    switch (shape.kind) {
      case 'fields': {
        const values = object as Fields
        if (!isBase) {
          hash.mix(this.names.numberOf(shape.name))
          for (const field of shape.fields) this.value(values[field])
          for (const field of shape.written) record.push(values[field])
        } else {
          for (const field of shape.written) {
            const value = values[field]
            record.push(value)
            this.value(value)
          }
        }
        for (const field of shape.aside) {
          const value = values[field]
          record.push(value)
          if (typeof value === 'object' && value !== null) this.beside.push(value)
        }
        return
      }
      case 'literal': {
        const keys = Object.keys(object)
        const values = object as Fields
        hash.mix(keys.length)
        for (const key of keys) {
          const isWritten = this.shapes.isWritten(key)
          if (isWritten) record.push(key, values[key])
          if (isBase && !isWritten) continue
          hash.mix(this.names.numberOf(key))
          this.value(values[key])
        }
        record.push(END)
        return
      }
      case 'array':
        this.list(object, object as unknown[], record)
        return
      case 'map': {
        const map = object as Map<unknown, unknown>
        const last = this.lists.get(object)?.values
        this.list(object, last !== undefined && isSameMap(map, last) ? last : [...map].flat(1), record)
        return
      }
      case 'set': {
        const set = object as Set<unknown>
        const last = this.lists.get(object)?.values
        this.list(object, last !== undefined && isSameSet(set, last) ? last : [...set], record)
        return
      }
      case 'words':
        this.words(object as Words, record)
        return
      case 'frame':
        this.frame(object as Frame, record)
        return
      case 'handle': {
        const { leaf, root, body, ended } = object as TaskHandle
        record.push(leaf, root, body, ended)
        this.value(leaf ?? body)
        return
      }
      case 'closure': {
        const { module, number, captured } = tagOf(object)!
        hash.mix(this.names.numberOf(module.file))
        hash.mix(number)
        const values = captured === null ? null : captured()
        record.push(values)
        if (values !== null) for (const value of values) this.value(value)
        return
      }
      case 'error':
        hash.mix(this.names.numberOf((object as Error).message))
        this.value((object as Error).cause)
        return
      case 'constant':
        hash.mix(Tag.constant)
        hash.mix(this.names.numberOf(object))
        return
      case 'opaque':
        hash.mix(Tag.opaque)
        return
      default:
        throw new KernelError('EINVAL', `cannot capture ${shape.name} at ${pathTo(object, this.roots, this.shapes)}`)
    }
  }

  /** Elements or entries: most lists are what they were in the last state. */
  private list(object: object, values: readonly unknown[], record: unknown[]): void {
    const { hash, lists } = this
    let list = lists.get(object)
    if (list === undefined || !isSameList(values, list.values)) {
      list = this.listOf(values)
      lists.set(object, list)
    }
    record.push(list.values)
    if (list.isFixed) {
      hash.mix(list.a)
      hash.mix(list.b)
      return
    }
    hash.mix(values.length)
    for (let at = 0; at < values.length; at++) {
      // Long arrays are mostly empty.
      if (values[at] === null) continue
      hash.mix(at)
      this.value(values[at])
    }
  }

  /** A copy; with its hash, if that is the same in all states: all that it names is there in all of them. */
  private listOf(values: readonly unknown[]): List {
    const copy = values.slice()
    for (const value of copy) {
      const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function'
      if (isObject && !this.base.has(value)) return { values: copy, isFixed: false, a: 0, b: 0 }
    }
    const { hash } = this
    const { a, b } = hash
    hash.reset()
    hash.mix(copy.length)
    for (let at = 0; at < copy.length; at++) {
      if (copy[at] === null) continue
      hash.mix(at)
      this.value(copy[at])
    }
    hash.finish()
    const list = { values: copy, isFixed: true, a: hash.a, b: hash.b }
    hash.a = a
    hash.b = b
    return list
  }

  private frame(frame: Frame, record: unknown[]): void {
    const { hash } = this
    const { pc, state, parent } = frame
    const values = frame.locals()
    record.push(pc, state, frame.value, parent, values)
    hash.mix(this.names.numberOf(frame.site))
    hash.mix(pc)
    if (state !== 'active') {
      hash.mix(this.names.numberOf(state))
      this.value(frame.value)
      return
    }
    this.value(parent)
    const live = frame.site.live[pc]
    if (live === undefined) return
    for (const at of live) this.value(values[at])
  }

  private words(words: Words, record: unknown[]): void {
    const { hash } = this
    let copy = this.copies.get(words)
    if (copy === undefined || !isSame(copy.view, copy.words)) {
      copy = copyOf(copy === undefined ? viewOf(words) : copy.view)
      this.copies.set(words, copy)
    }
    record.push(copy)
    hash.mix(copy.a)
    hash.mix(copy.b)
  }

  /** @returns where the next object begins */
  private putBack(object: object, shape: Shape, record: readonly unknown[], from: number): number {
    let at = from
    switch (shape.kind) {
      case 'fields': {
        const values = object as Fields
        for (const field of shape.written) {
          if (values[field] !== record[at]) values[field] = record[at]
          at++
        }
        for (const field of shape.aside) values[field] = record[at++]
        return at
      }
      case 'literal': {
        const values = object as Fields
        for (let key = record[at++] as string; (key as unknown) !== END; key = record[at++] as string) {
          // A frozen one has not changed.
          if (values[key] !== record[at]) values[key] = record[at]
          at++
        }
        return at
      }
      case 'array': {
        const values = record[at++] as readonly unknown[]
        const array = object as unknown[]
        if (array.length !== values.length) array.length = values.length
        for (let i = 0; i < values.length; i++) if (array[i] !== values[i]) array[i] = values[i]
        return at
      }
      case 'map': {
        putBackMap(object as Map<unknown, unknown>, record[at++] as readonly unknown[])
        return at
      }
      case 'set': {
        putBackSet(object as Set<unknown>, record[at++] as readonly unknown[])
        return at
      }
      case 'words': {
        const { words, view } = record[at++] as Copy
        view.set(words)
        return at
      }
      case 'frame': {
        const frame = object as Frame
        frame.pc = record[at++] as number
        frame.state = record[at++] as Frame['state']
        frame.value = record[at++]
        frame.parent = record[at++] as Frame | null
        frame.setLocals(record[at++] as unknown[])
        frame.send(undefined, false)
        return at
      }
      case 'handle': {
        const handle = object as TaskHandle
        handle.leaf = record[at++] as Frame | null
        handle.root = record[at++] as Frame | null
        handle.body = record[at++] as TaskHandle['body']
        handle.ended = record[at++] as TaskHandle['ended']
        return at
      }
      case 'closure': {
        const values = record[at++] as unknown[] | null
        if (values !== null) tagOf(object)!.restore?.(values)
        return at
      }
      default:
        return at
    }
  }
}
