/** What leads from object to object, by name: for reports of what differs, or cannot be captured. */
import type { Words } from './word-kinds.ts'
import { tagOf } from './closures.ts'
import type { TaskHandle } from './park.ts'
import { placeIn } from './runtime.ts'
import type { Frame } from './runtime.ts'
import type { Shapes } from './shapes.ts'

type Fields = Record<string, unknown>

/** What an object leads to, and how that is called. */
export function childrenOf(object: object, shapes: Shapes): readonly (readonly [name: string, value: unknown])[] {
  const shape = shapes.of(object)
  switch (shape.kind) {
    case 'fields':
      return shape.fields.map((name) => [name, (object as Fields)[name]])
    case 'literal':
    case 'error':
      return Object.entries(object)
    case 'array':
      return (object as unknown[]).map((value, at) => [`[${at}]`, value])
    case 'words':
      return Array.from(object as Words, (value, at) => [`[${at}]`, value])
    case 'map':
      return [...(object as Map<unknown, unknown>)].flatMap(([key, value], at) => [
        [`key ${at}`, key],
        [typeof key === 'number' || typeof key === 'string' ? `.get(${key})` : `value ${at}`, value],
      ])
    case 'set':
      return [...(object as Set<unknown>)].map((value, at) => [`entry ${at}`, value])
    case 'frame':
      return childrenOfFrame(object as Frame)
    case 'handle': {
      const { leaf, body } = object as TaskHandle
      return leaf === null ? [['body', body]] : [['leaf', leaf]]
    }
    case 'closure': {
      const { module, number, captured } = tagOf(object)!
      const held = captured === null ? [] : captured()
      return [['place', `${module.file} ${number}`], ...held.map((value, at) => [`held ${at}`, value] as const)]
    }
    default:
      return []
  }
}

/** How a snapshot comes to an object, from its roots. */
export function pathTo(target: object, roots: Readonly<Record<string, object>>, shapes: Shapes): string {
  const seen = new Map<object, string>()
  for (const name in roots) seen.set(roots[name]!, name)
  for (const [object, path] of seen) {
    if (object === target) return path
    for (const [name, value] of childrenOf(object, shapes)) {
      if (value === null || (typeof value !== 'object' && typeof value !== 'function') || seen.has(value)) continue
      seen.set(value, name.startsWith('[') || name.startsWith('.') ? path + name : `${path}.${name}`)
    }
  }
  return 'an unknown place'
}

function childrenOfFrame(frame: Frame): readonly (readonly [string, unknown])[] {
  const { site, pc, state } = frame
  const place = `${site.name}:${placeIn(frame)[0]}`
  if (state !== 'active') return [['ended with', frame.value]]
  const values = frame.locals()
  const live = (site.live[pc] ?? []).map((at) => [`(${place}).${site.locals[at]}`, values[at]] as const)
  return [['pc', pc], ['parent', frame.parent], ...live]
}
