/**
 * What functions and classes hold of the functions around them, as the snapshots read it.
 *
 * R1 A function of module level holds nothing: module level holds no state.
 */
import type { Place } from './machine.ts'
import type { Binding, Scopes } from './scope.ts'
import { childrenOf, isFunction } from './syntax.ts'
import type { Node } from './syntax.ts'

/** A function, arrow, method or class of the source: one number for all that are made from it. Plain JSON. */
export interface ClosureSite {
  readonly name: string
  readonly place: Place
  /** Names of what it holds, in the order of its tag's getter. */
  readonly captured: readonly string[]
}

export interface Captures {
  /** Variables of enclosing functions, in the order of their mention. */
  readonly variables: readonly Binding[]
  /** `this` and `arguments` of the function around, where it mentions them. */
  readonly implicit: readonly string[]
}

/** Also of a class: the functions inside it hold their own variables themselves. */
const isWithin = (inner: Node, outer: Node): boolean => outer.start <= inner.start && inner.end <= outer.end

/** @param node a function, or a class */
export function capturesOf(node: Node, scopes: Scopes): Captures {
  const variables = new Set<Binding>()
  const implicit = new Set<string>()
  const look = (at: Node, lexical: boolean): void => {
    if (lexical && (at.type === 'ThisExpression' || at.type === 'Super')) implicit.add('this')
    const binding = scopes.bindings.get(at)
    if (binding !== undefined && binding.owner !== null && !isWithin(binding.owner, node)) variables.add(binding)
    else if (lexical && binding === undefined && at.type === 'Identifier' && at.name === 'arguments')
      implicit.add(at.name)
    const ends = at.type === 'ClassBody' || (isFunction(at) && at.type !== 'ArrowFunctionExpression')
    for (const child of childrenOf(at)) if (child !== node.id) look(child, lexical && !ends)
  }
  look(node, true)
  return { variables: [...variables], implicit: [...implicit] }
}

/** Does a method mention `super`, itself or in an arrow? */
export function mentionsSuper(method: Node): boolean {
  const look = (at: Node): boolean => {
    if (at.type === 'Super') return true
    if (at !== method && (at.type === 'ClassBody' || (isFunction(at) && at.type !== 'ArrowFunctionExpression')))
      return false
    return childrenOf(at).some(look)
  }
  return look(method)
}
