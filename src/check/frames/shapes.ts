/**
 * What of an object is state: told by its class alone.
 *
 * A class says with `static opaque = true` that its objects are no state at all, and with a list of names which fields
 * are not: those come back on restore, but two states that differ in them only are the same.
 *
 * R1 What cannot be seen whole is never left out in silence: it has the kind `hidden`.
 */
import { tagOf } from './closures.ts'
import { writtenFields } from './modules.ts'
import { TaskHandle } from './park.ts'
import { Frame } from './runtime.ts'

export type ShapeKind =
  | 'fields'
  | 'literal'
  | 'array'
  | 'map'
  | 'set'
  | 'words'
  | 'frame'
  | 'handle'
  | 'closure'
  | 'error'
  | 'constant'
  | 'opaque'
  | 'hidden'

export interface Shape {
  readonly kind: ShapeKind
  /** Of the class, for reports. */
  readonly name: string
  /** Of `fields` and `literal`: those that are state. */
  readonly fields: readonly string[]
  /** Those of them that anything writes after construction. */
  readonly written: readonly string[]
  /** Of `fields`: those that are restored and no more. */
  readonly aside: readonly string[]
}

const NONE: readonly string[] = []
const OF_CLOSURE: Shape = { kind: 'closure', name: 'closure', fields: NONE, written: NONE, aside: NONE }
const OF_CONSTANT: Shape = { kind: 'constant', name: 'function', fields: NONE, written: NONE, aside: NONE }

const OF_HIDDEN: Shape = {
  kind: 'hidden',
  name: 'a function that was not lowered',
  fields: NONE,
  written: NONE,
  aside: NONE,
}

/** A function or arrow that carries no tag was not lowered, or is native and may be bound; a method or class holds nothing. */
const MAY_HOLD = /^(?:async )?(?:function\b|\(|[\w$]+ *=>)|\[native code\]/

export class Shapes {
  private readonly byPrototype = new Map<object | null, Shape>()
  private readonly byKeys = new Map<string, Shape>()
  private readonly untagged = new Map<object, Shape>()
  private readonly writtenNames = writtenFields()

  of(object: object): Shape {
    if (typeof object === 'function') return tagOf(object) === null ? this.ofFunction(object) : OF_CLOSURE
    const prototype: object | null = Object.getPrototypeOf(object)
    if (prototype === Object.prototype || prototype === null) return this.ofLiteral(object)
    let shape = this.byPrototype.get(prototype)
    if (shape === undefined) this.byPrototype.set(prototype, (shape = shapeOf(object, this.writtenNames)))
    return shape
  }

  private ofLiteral(object: object): Shape {
    const fields = Object.keys(object)
    const keys = fields.join(' ')
    let shape = this.byKeys.get(keys)
    if (shape === undefined) {
      const written = fields.filter((field) => this.writtenNames.has(field))
      this.byKeys.set(keys, (shape = { kind: 'literal', name: 'Object', fields, written, aside: NONE }))
    }
    return shape
  }

  private ofFunction(untagged: object): Shape {
    let shape = this.untagged.get(untagged)
    if (shape === undefined) {
      shape = MAY_HOLD.test(Function.prototype.toString.call(untagged)) ? OF_HIDDEN : OF_CONSTANT
      this.untagged.set(untagged, shape)
    }
    return shape
  }
}

function shapeOf(object: object, writtenNames: ReadonlySet<string>): Shape {
  const { constructor } = object as { constructor: { name: string; opaque?: true | readonly string[] } }
  const { name, opaque } = constructor
  const plain = (kind: ShapeKind): Shape => ({ kind, name, fields: NONE, written: NONE, aside: NONE })
  if (object instanceof TaskHandle) return plain('handle')
  if (opaque === true) return plain('opaque')
  if (Array.isArray(object)) return plain('array')
  if (object instanceof Map) return plain('map')
  if (object instanceof Set) return plain('set')
  if (ArrayBuffer.isView(object)) return plain(object instanceof DataView ? 'hidden' : 'words')
  if (object instanceof Frame) return plain('frame')
  if (object instanceof Error) return plain('error')
  if (Object.prototype.toString.call(object) !== '[object Object]') return plain('hidden')
  const aside = opaque ?? NONE
  const fields = Object.keys(object).filter((field) => !aside.includes(field))
  return { kind: 'fields', name, fields, written: fields.filter((field) => writtenNames.has(field)), aside }
}
