/**
 * Which fields a module writes after an object was made: all others are constant, and no state needs to hold them.
 *
 * R1 A field counts by its name alone, whatever object it is of.
 * R2 `this.name = ...` directly in a constructor, and a class field's initialiser, make an object; every other
 *    assignment, `delete` and `++` writes it.
 * R3 A field is written by name. `object[key] = value` is for arrays: the lowered text checks it when it runs.
 */
import { childrenOf, isFunction } from './syntax.ts'
import type { Node } from './syntax.ts'

export interface WrittenFields {
  /** In alphabetical order. */
  readonly names: readonly string[]
  /** The member expressions whose computed name is written. */
  readonly computed: ReadonlySet<Node>
}

/** Functions of the language that write fields whose names cannot be seen. */
const HIDDEN_WRITES = new Set([
  'Object.assign',
  'Object.defineProperty',
  'Object.defineProperties',
  'Object.setPrototypeOf',
  'Reflect.set',
  'Reflect.defineProperty',
  'Reflect.deleteProperty',
  'Reflect.setPrototypeOf',
])

/** The name of a language function that writes fields by computed names, when the node calls one. */
export function hiddenWrite(node: Node): string | null {
  if (node.type !== 'CallExpression' || node.callee.type !== 'MemberExpression' || node.callee.computed) return null
  const { object, property } = node.callee
  const name = `${object.type === 'Identifier' ? object.name : '?'}.${property.name}`
  return HIDDEN_WRITES.has(name) ? name : null
}

/** The fields that a module writes. */
export function writtenFields(module: Node): WrittenFields {
  const names = new Set<string>()
  const computed = new Set<Node>()
  const write = (target: Node | null, constructs: boolean): void => {
    const key: unknown = target?.property?.value
    switch (target?.type) {
      case 'MemberExpression':
        if (!target.computed) {
          if (!constructs || target.object.type !== 'ThisExpression') names.add(target.property.name)
        } else if (target.property.type === 'Literal' && typeof key === 'string') {
          names.add(key)
        } else {
          computed.add(target)
        }
        return
      case 'ObjectPattern':
        for (const one of target.properties) write(one.type === 'RestElement' ? one.argument : one.value, constructs)
        return
      case 'ArrayPattern':
        for (const one of target.elements) write(one, constructs)
        return
      case 'AssignmentPattern':
        return write(target.left, constructs)
      case 'RestElement':
        return write(target.argument, constructs)
      default:
    }
  }
  // `constructs`: the node belongs to a constructor, and to no function inside it.
  const look = (node: Node, constructs: boolean): void => {
    if (node.type === 'AssignmentExpression') write(node.left, constructs && node.operator === '=')
    else if (node.type === 'UpdateExpression') write(node.argument, false)
    else if (node.type === 'UnaryExpression' && node.operator === 'delete') write(node.argument, false)
    else if (node.type === 'ForOfStatement' || node.type === 'ForInStatement') write(node.left, false)
    if (node.type === 'MethodDefinition' && node.kind === 'constructor') {
      for (const child of childrenOf(node.value!)) look(child, true)
    } else {
      for (const child of childrenOf(node)) look(child, constructs && !isFunction(node))
    }
  }
  look(module, false)
  return { names: [...names].toSorted(), computed }
}
