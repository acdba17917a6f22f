/**
 * The cells of one world: which one is an object's, and which objects are of the base.
 *
 * R1 An object has one cell for as long as anything leads to it.
 */
import { Cell } from './cell.ts'
import { tagOf } from './closures.ts'
import { Kinds } from './kinds.ts'
import { TaskHandle } from './park.ts'
import { Frame } from './runtime.ts'
import type { Shapes } from './shapes.ts'
import { isSameView } from './word-kinds.ts'
import type { Words } from './word-kinds.ts'

type Fields = Record<string, unknown>

export class CellTable {
  /** What constant fields lead to from the roots, as far as anything in it can change: it is there in all states. */
  readonly base: readonly Cell[]
  /** Those of the base of which something is put back that is no state. */
  readonly aside: readonly Cell[]
  private readonly shapes: Shapes
  private readonly kinds: Kinds
  // oxlint-disable-next-line no-restricted-globals -- it remembers and is no state: what is dropped takes its cell along
  private readonly cells = new WeakMap<object, Cell>()

  /** @param refuse throws for an object that cannot be seen whole */
  constructor(roots: Iterable<object>, shapes: Shapes, refuse: (object: object) => never) {
    this.shapes = shapes
    this.kinds = new Kinds(shapes, refuse)
    const base: Cell[] = []
    const aside: Cell[] = []
    const words: Words[] = []
    const objects = new Set<object>(roots)
    let number = 0
    for (const object of objects) {
      const cell = this.make(object, true)
      cell.number = number++
      if (cell.kind.aside !== null) aside.push(cell)
      for (const value of this.constantsOf(object)) {
        if ((typeof value === 'object' && value !== null) || typeof value === 'function') objects.add(value)
      }
      if (!cell.kind.changes || (typeof object === 'function' && tagOf(object)?.captured === null)) continue
      if (cell.kind.shape.kind === 'words') {
        if (words.some((other) => isSameView(other, object as Words))) continue
        words.push(object as Words)
      }
      base.push(cell)
    }
    this.base = base
    this.aside = aside
  }

  of(object: object): Cell {
    const known = isKeeper(object) ? (object.cell as Cell | null) : this.cells.get(object)
    return known ?? this.make(object, false)
  }

  private make(object: object, isBase: boolean): Cell {
    const cell = this.kinds.cellFor(object, isBase)
    if (isKeeper(object)) object.cell = cell
    else this.cells.set(object, cell)
    return cell
  }

  /** Values of the fields that nothing writes. */
  private constantsOf(object: object): readonly unknown[] {
    const { fields, written } = this.shapes.of(object)
    return fields.filter((field) => !written.includes(field)).map((field) => (object as Fields)[field])
  }
}

/** What the runtime makes belongs to one world, and keeps its cell itself. */
function isKeeper(object: object): object is Frame | TaskHandle {
  return object instanceof Frame || object instanceof TaskHandle
}
