/**
 * The syntax tree that the pass works on, and the questions it asks of a subtree.
 *
 * R1 Nothing here changes a tree that was parsed.
 */
import { parse } from 'acorn'

export interface Position {
  /** From 1. */
  readonly line: number
  /** From 0. */
  readonly column: number
}

/** A flat view of ESTree: every field that some node has. `type` says which ones are there. */
export interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly loc: { readonly start: Position }
  readonly name: string
  readonly kind: string
  readonly operator: string
  readonly async: boolean
  readonly generator: boolean
  readonly await: boolean
  readonly computed: boolean
  readonly shorthand: boolean
  readonly method: boolean
  readonly static: boolean
  readonly optional: boolean
  readonly prefix: boolean
  readonly id: Node | null
  readonly body: Node
  readonly key: Node
  readonly value: Node | null
  readonly object: Node
  readonly property: Node
  readonly properties: readonly Node[]
  readonly elements: readonly (Node | null)[]
  readonly expression: Node
  readonly expressions: readonly Node[]
  readonly quasis: readonly { readonly value: { readonly raw: string } }[]
  readonly callee: Node
  readonly arguments: readonly Node[]
  readonly argument: Node | null
  readonly left: Node
  readonly right: Node
  readonly test: Node | null
  readonly consequent: Node
  readonly alternate: Node | null
  readonly init: Node | null
  readonly update: Node | null
  readonly declaration: Node | null
  readonly declarations: readonly Node[]
  readonly specifiers: readonly Node[]
  readonly local: Node
  readonly params: readonly Node[]
  readonly param: Node | null
  readonly label: Node | null
  readonly discriminant: Node
  readonly cases: readonly Node[]
  readonly block: Node
  readonly handler: Node | null
  readonly finalizer: Node | null
  readonly superClass: Node | null
  /** The nodes directly below, in the order of the text. */
  readonly children: readonly Node[]
}

/** The source holds something that has no lowered form. The message begins with file, line and column. */
export class LowerError extends Error {
  constructor(file: string, at: Position, what: string) {
    super(`${file}:${at.line}:${at.column + 1}: ${what}`)
    this.name = 'LowerError'
  }
}

/** @throws LowerError when the text is no module of ES2023 */
export function parseModule(code: string, file: string): Node {
  try {
    const tree = parse(code, { ecmaVersion: 2023, sourceType: 'module', locations: true }) as unknown as Node
    findChildren(tree)
    return tree
  } catch (failure) {
    const { loc, message } = failure as { loc?: Position; message: string }
    throw new LowerError(file, loc ?? { line: 1, column: 0 }, message)
  }
}

/** The statements of a block, a module or a class body. */
export function statementsOf(node: Node): readonly Node[] {
  return node.body as unknown as readonly Node[]
}

export function isFunction(node: Node): boolean {
  return /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)
}

export function isLoop(node: Node): boolean {
  return /^(For|While|DoWhile)/.test(node.type)
}

/** The nodes directly below, in the order of the text. */
export function childrenOf(node: Node): readonly Node[] {
  return node.children
}

/** Asked for very often, so it is looked up once. */
function findChildren(node: Node): void {
  const found: Node[] = []
  const add = (value: unknown): void => {
    if (value === null || typeof value !== 'object') return
    if (Array.isArray(value)) for (const one of value as unknown[]) add(one)
    else if ('type' in value && 'start' in value) found.push(value as Node)
  }
  for (const value of Object.values(node) as unknown[]) add(value)
  found.sort((a, b) => a.start - b.start)
  ;(node as { children: readonly Node[] }).children = found
  for (const child of found) findChildren(child)
}

/** Calls `visit` for the node and everything below; a subtree for which it returns false is left out. */
export function walk(node: Node, visit: (node: Node) => boolean | void): void {
  if (visit(node) === false) return
  for (const child of childrenOf(node)) walk(child, visit)
}

/** The identifiers that a pattern binds. */
export function boundBy(pattern: Node | null): readonly Node[] {
  switch (pattern?.type) {
    case 'Identifier':
      return [pattern]
    case 'ObjectPattern':
      return pattern.properties.flatMap((p) => boundBy(p.type === 'RestElement' ? p.argument : p.value))
    case 'ArrayPattern':
      return pattern.elements.flatMap(boundBy)
    case 'AssignmentPattern':
      return boundBy(pattern.left)
    case 'RestElement':
      return boundBy(pattern.argument)
    default:
      return []
  }
}

/** Remembers which subtrees await. */
export class AwaitFinder {
  private readonly known = new Map<Node, boolean>()

  /** Does the node itself await, not counting functions inside it? */
  has(node: Node): boolean {
    const known = this.known.get(node)
    if (known !== undefined) return known
    const self = node.type === 'AwaitExpression' || (node.type === 'ForOfStatement' && node.await)
    const found = self || (!isFunction(node) && childrenOf(node).some((child) => this.has(child)))
    this.known.set(node, found)
    return found
  }
}

/** What a jump inside a statement may target without leaving it. */
interface Inside {
  readonly labels: readonly string[]
  readonly breaks: boolean
  readonly continues: boolean
}

/** Can control leave the statement other than by its end or by an exception? */
export function escapes(node: Node, inside: Inside = { labels: [], breaks: false, continues: false }): boolean {
  if (isFunction(node)) return false
  switch (node.type) {
    case 'ReturnStatement':
      return true
    case 'BreakStatement':
      return node.label === null ? !inside.breaks : !inside.labels.includes(node.label.name)
    case 'ContinueStatement':
      return node.label === null ? !inside.continues : !inside.labels.includes(node.label.name)
    case 'LabeledStatement':
      return escapes(node.body, { ...inside, labels: [...inside.labels, node.label!.name] })
    case 'SwitchStatement':
      return node.cases.some((one) => escapes(one, { ...inside, breaks: true }))
    default: {
      const within = isLoop(node) ? { ...inside, breaks: true, continues: true } : inside
      return childrenOf(node).some((child) => escapes(child, within))
    }
  }
}
