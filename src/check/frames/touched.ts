/**
 * What the steps of tasks touch: modules that `lower/watch` has gone over name each access here before it happens.
 *
 * R1 What is no state by the word of its class is not noted: a step cannot be told by it.
 * R2 A step wrote what differs at its end from what was there at its first access. An access that leaves things as they
 *    are counts as one that looks.
 * R3 It is loaded before every watched module: it imports none.
 */
import type { PhysicalMemory } from '../../hardware/index.ts'
import { writtenFields } from './modules.ts'

/** A field, an element or a frame of memory; null: all that the object holds. */
export type Place = string | number | null

/** What one step did. */
export interface Footprint {
  /** Bits of the tasks that ran in it. */
  readonly ran: number
  readonly touched: ReadonlyMap<object, ReadonlySet<Place>>
  readonly written: ReadonlyMap<object, ReadonlySet<Place>>
  /** It did what cannot be told apart: it touched, and wrote, everything. */
  readonly isWhole: boolean
}

type Fields = Record<string, unknown>

/** What was at a place when it was first touched. */
interface Before {
  readonly object: object
  readonly place: Place
  readonly value: unknown
}

const isCollection = (object: object): boolean =>
  Array.isArray(object) || object instanceof Map || object instanceof Set || ArrayBuffer.isView(object)

class Tracker {
  isOn = false
  private memory: PhysicalMemory | null = null
  private written: ReadonlySet<string> = new Set()
  private readonly aside = new Map<object, ReadonlySet<string> | true>()
  /** Collections that are no state. */
  private readonly beside = new WeakSet<object>()
  private touched = new Map<object, Set<Place>>()
  private before: Before[] = []
  private isWhole = false

  /** From now on, in this world. */
  begin(memory: PhysicalMemory): void {
    this.memory = memory
    this.written = writtenFields()
    this.touched = new Map()
    this.before = []
    this.isWhole = false
  }

  /** What was touched since `begin`. */
  end(ran: number): Footprint {
    const written = new Map<object, Set<Place>>()
    for (const { object, place, value } of this.before) {
      if (this.isAsBefore(object, place, value)) continue
      let places = written.get(object)
      if (places === undefined) written.set(object, (places = new Set()))
      places.add(place)
    }
    return { ran, touched: this.touched, written, isWhole: this.isWhole }
  }

  whole(): void {
    if (this.isOn) this.isWhole = true
  }

  see(object: object, place: Place): void {
    if (isCollection(object)) {
      this.collection(object, place)
      return
    }
    const aside = this.asideOf(object)
    if (place === null) {
      for (const field of Object.keys(object)) this.see(object, field)
      return
    }
    const field = String(place)
    if (aside === true || aside.has(field)) {
      const value = (object as Fields)[field]
      if (typeof value === 'object' && value !== null && isCollection(value)) this.beside.add(value)
      return
    }
    // An accessor has no state of its own.
    if (this.written.has(field) && Object.hasOwn(object, field)) this.note(object, field)
  }

  private collection(object: object, place: Place): void {
    if (ArrayBuffer.isView(object) && object.buffer === this.memory!.memory.buffer) {
      this.frames(object, place)
      return
    }
    if (this.beside.has(object)) return
    const { length } = object as { readonly length?: number }
    if (typeof place === 'number' && length !== undefined && place < length) this.note(object, place)
    else if (place !== 'length' || Array.isArray(object)) this.note(object, null)
  }

  /** Memory has places for its frames, whoever looks at it. */
  private frames(view: ArrayBufferView, place: Place): void {
    const { memory, frames, byteLength } = this.memory!
    const { buffer } = memory
    const { BYTES_PER_ELEMENT = 1 } = view as { readonly BYTES_PER_ELEMENT?: number }
    if (typeof place === 'number') {
      const frame = Math.floor((view.byteOffset + place * BYTES_PER_ELEMENT) / (byteLength / frames))
      // Behind the last one lies what is no state.
      if (frame < frames) this.note(buffer, frame)
    } else for (let frame = 0; frame < frames; frame++) this.note(buffer, frame)
  }

  private note(object: object, place: Place): void {
    let places = this.touched.get(object)
    if (places === undefined) this.touched.set(object, (places = new Set()))
    if (places.has(place)) return
    places.add(place)
    this.before.push({ object, place, value: this.valueAt(object, place) })
  }

  private valueAt(object: object, place: Place): unknown {
    const memory = this.memory!
    if (object === memory.memory.buffer) {
      const frame = place as Parameters<PhysicalMemory['frameDigest']>[0]
      return `${memory.frameDigest(frame, 0)} ${memory.frameDigest(frame, 1)}`
    }
    if (place !== null) return (object as Fields)[place]
    if (object instanceof Map) return [...object].flat(1)
    if (object instanceof Set) return [...object]
    return Array.from(object as ArrayLike<unknown>)
  }

  private isAsBefore(object: object, place: Place, value: unknown): boolean {
    const now = this.valueAt(object, place)
    if (place !== null) return Object.is(now, value)
    const [one, other] = [value as readonly unknown[], now as readonly unknown[]]
    return one.length === other.length && one.every((each, at) => Object.is(each, other[at]))
  }

  private asideOf(object: object): ReadonlySet<string> | true {
    const prototype = Object.getPrototypeOf(object) as object | null
    if (prototype === null) return NONE
    let aside = this.aside.get(prototype)
    if (aside === undefined) {
      const { opaque } = prototype.constructor as { opaque?: true | readonly string[] }
      this.aside.set(prototype, (aside = opaque === true ? true : new Set(opaque)))
    }
    return aside
  }
}

const NONE: ReadonlySet<string> = new Set()

/** One per process, as tasks are run one at a time. */
export const tracker: Tracker = new Tracker()

/** What watched modules call. */
interface Calls {
  /** An access. @param of the object, where `value` is something that was waited for */
  see<T>(value: T, place: Place, ...of: readonly [] | readonly [object: unknown, place: Place]): T
  /** Fields of an object, or all that it holds. */
  all<T>(value: T, fields?: readonly string[] | null): T
  /** The elements of a collection are taken apart. */
  each<T>(value: T, fields: readonly string[] | null): T
  /** Something that has no place is written. */
  whole<T>(value?: T): T
}

/** Methods: a frame that waits while one is to be called holds no function that may hold more. */
export const $touched: Calls = {
  see<T>(value: T, place: Place, ...of: readonly [] | readonly [object: unknown, place: Place]): T {
    if (!tracker.isOn) return value
    const object: unknown = of.length === 0 ? value : of[0]
    if (typeof object === 'object' && object !== null) tracker.see(object, of.length === 0 ? place : of[1])
    return value
  },

  all<T>(value: T, fields: readonly string[] | null = null): T {
    if (tracker.isOn && typeof value === 'object' && value !== null) {
      if (fields === null || isCollection(value)) tracker.see(value, null)
      else for (const field of fields) tracker.see(value, field)
    }
    return value
  },

  each<T>(value: T, fields: readonly string[] | null): T {
    if (!tracker.isOn) return value
    $touched.all(value)
    if (Array.isArray(value)) for (const one of value as readonly unknown[]) $touched.all(one, fields)
    else if (value instanceof Set) for (const one of value) $touched.all(one, fields)
    else if (value instanceof Map) for (const pair of value) for (const one of pair) $touched.all(one, null)
    return value
  },

  whole<T>(value?: T): T {
    tracker.whole()
    return value as T
  },
}

/** Might the order of two steps of different tasks matter? */
export function areDependent(one: Footprint, other: Footprint): boolean {
  if ((one.ran & other.ran) !== 0 || one.isWhole || other.isWhole) return true
  return meets(one.written, other.touched) || meets(other.written, one.touched)
}

function meets(
  written: ReadonlyMap<object, ReadonlySet<Place>>,
  touched: ReadonlyMap<object, ReadonlySet<Place>>,
): boolean {
  for (const [object, places] of written) {
    const seen = touched.get(object)
    if (seen === undefined) continue
    if (places.has(null) || seen.has(null)) return true
    for (const place of places) if (seen.has(place)) return true
  }
  return false
}
