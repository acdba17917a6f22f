/** Which kind an object is of: one per shape, made when an object of the shape is met first. */
import { Kind } from './cell.ts'
import type { KindParts, Reading } from './cell.ts'
import { closureParts, frameParts, handleParts } from './control-kinds.ts'
import { fieldKind } from './field-kinds.ts'
import { arrayParts, mapParts, setParts, viewOf, wordsParts } from './list-kinds.ts'
import type { Words } from './list-kinds.ts'
import type { Shape, Shapes } from './shapes.ts'
import { Tag } from './state-hash.ts'

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

  constructor(shapes: Shapes, refuse: (object: object) => never) {
    this.shapes = shapes
    this.refuse = refuse
  }

  of(object: object): Kind {
    const shape = this.shapes.of(object)
    let kind = this.byShape.get(shape)
    if (kind === undefined) this.byShape.set(shape, (kind = this.kindOf(shape)))
    return kind
  }

  private kindOf(shape: Shape): Kind {
    if (shape.kind === 'fields' || shape.kind === 'literal') return fieldKind(shape)
    return new Kind(shape, this.partsOf(shape) as KindParts<object, unknown>)
  }

  private partsOf(shape: Shape): unknown {
    switch (shape.kind) {
      case 'array':
        return arrayParts
      case 'map':
        return mapParts
      case 'set':
        return setParts
      case 'words':
        return wordsParts
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
        return unchanging(this.refuse)
    }
  }
}

/** What a cell reads in place of an object. */
export function readAs(object: object, { kind }: Shape): object {
  return kind === 'words' ? viewOf(object as Words) : object
}
