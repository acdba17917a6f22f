/** Which kind an object is of: one for each shape, made when an object of the shape is met first. */
import { Cell, Kind } from './cell.ts'
import type { KindParts, Reading } from './cell.ts'
import { closureParts, frameParts, handleParts } from './control-kinds.ts'
import { fieldKind } from './field-kinds.ts'
import { arrayParts, mapParts, setParts } from './list-kinds.ts'
import type { Shape, Shapes } from './shapes.ts'
import { Tag } from './state-hash.ts'
import { readAs } from './word-kinds.ts'
import type { Words } from './word-kinds.ts'

/** Nothing in it changes. */
const unchanging = (readFixed: (object: object, reading: Reading) => void): KindParts<object, null> => ({
  isSame: () => true,
  copy: () => null,
  read: () => undefined,
  readFixed,
  putBack: () => undefined,
  changes: false,
})

const errorParts = unchanging((error, reading) => {
  const { message, cause } = error as Error
  reading.name(message)
  reading.value(cause)
})

const constantParts = unchanging((object, reading) => {
  reading.mix(Tag.constant)
  reading.name(object)
})

const opaqueParts = unchanging((_object, reading) => reading.mix(Tag.opaque))

export class Kinds {
  private readonly shapes: Shapes
  /** Refuses an object that cannot be seen whole. */
  private readonly refuse: (object: object) => never
  private readonly byShape = new Map<Shape, Kind>()
  /** Of typed arrays, by how they are read. */
  private readonly byParts = new Map<unknown, Kind>()

  constructor(shapes: Shapes, refuse: (object: object) => never) {
    this.shapes = shapes
    this.refuse = refuse
  }

  /** A cell for an object that has none. */
  cellFor(object: object, isBase: boolean): Cell {
    const shape = this.shapes.of(object)
    if (shape.kind === 'words') return this.cellForWords(object as Words, shape, isBase)
    let kind = this.byShape.get(shape)
    if (kind === undefined) this.byShape.set(shape, (kind = this.kindOf(shape)))
    return new Cell(object, kind, isBase)
  }

  private cellForWords(words: Words, shape: Shape, isBase: boolean): Cell {
    const { view, parts } = readAs(words)
    let kind = this.byParts.get(parts)
    if (kind === undefined) this.byParts.set(parts, (kind = new Kind(shape, parts as KindParts<object, unknown>)))
    return new Cell(view, kind, isBase)
  }

  private kindOf(shape: Shape): Kind {
    if (shape.kind === 'fields' || shape.kind === 'literal') return fieldKind(shape)
    return new Kind(shape, this.partsOf(shape) as KindParts<object, unknown>)
  }

  /** Refused as soon as it is looked at. */
  private hiddenParts(): KindParts<object, never> {
    const { refuse } = this
    return { isSame: () => false, copy: refuse, read: refuse, putBack: () => undefined }
  }

  private partsOf(shape: Shape): unknown {
    switch (shape.kind) {
      case 'array':
        return arrayParts
      case 'map':
        return mapParts
      case 'set':
        return setParts
      case 'frame':
        return frameParts
      case 'handle':
        return handleParts
      case 'closure':
        return closureParts
      case 'error':
        return errorParts
      case 'constant':
        return constantParts
      case 'opaque':
        return opaqueParts
      default:
        return this.hiddenParts()
    }
  }
}
