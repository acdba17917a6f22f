/**
 * Which variable each identifier means, and what a machine has to know about it.
 *
 * R1 An identifier without a binding is a global, a property name or a label.
 */
import { boundBy, childrenOf, isFunction, statementsOf } from './syntax.ts'
import type { Node } from './syntax.ts'

export interface Binding {
  readonly name: string
  readonly kind: 'const' | 'let' | 'var' | 'param'
  /** The function that it belongs to; null at module level. */
  readonly owner: Node | null
  /** A loop of its function makes it anew at each turn. */
  readonly perTurn: boolean
  /** Assignments other than its declaration. */
  writes: number
  /** An inner function mentions it. */
  captured: boolean
  /** Its name in the lowered text. */
  out: string
  /** It lives in `out.v`: each turn of its loop makes a new cell. */
  boxed: boolean
}

interface Scope {
  readonly vars: Map<string, Binding>
  readonly owner: Node | null
  readonly perTurn: boolean
  readonly parent: Scope | null
}

export class Scopes {
  readonly bindings: Map<Node, Binding> = new Map<Node, Binding>()
  /** Names that no scope of the module declares. */
  readonly globals: Set<string> = new Set<string>()
  /** The function around each function; null at module level. */
  readonly outer: Map<Node, Node | null> = new Map<Node, Node | null>()

  constructor(module: Node) {
    this.visit(module, { vars: new Map(), owner: null, perTurn: false, parent: null })
  }

  /** Is the binding one of `fn`, or of a function inside it? */
  isInside(binding: Binding, fn: Node): boolean {
    for (let at = binding.owner; at !== null; at = this.outer.get(at) ?? null) if (at === fn) return true
    return false
  }

  private declare(scope: Scope, id: Node, kind: Binding['kind']): void {
    let binding = scope.vars.get(id.name)
    if (binding === undefined) {
      const { owner, perTurn } = scope
      binding = { name: id.name, kind, owner, perTurn, writes: 0, captured: false, out: id.name, boxed: false }
      scope.vars.set(id.name, binding)
    }
    this.bindings.set(id, binding)
  }

  /** Names that a block declares for itself. */
  private declareBlock(scope: Scope, statements: readonly Node[]): void {
    for (const statement of statements) {
      const node = statement.type.startsWith('Export') ? statement.declaration : statement
      if (node === null || node === undefined) continue
      if (node.type === 'VariableDeclaration' && node.kind !== 'var') {
        for (const one of node.declarations) {
          for (const id of boundBy(one.id)) this.declare(scope, id, node.kind === 'let' ? 'let' : 'const')
        }
      } else if ((node.type === 'ClassDeclaration' || node.type === 'FunctionDeclaration') && node.id !== null) {
        this.declare(scope, node.id, 'const')
      } else if (node.type === 'ImportDeclaration') {
        for (const specifier of node.specifiers) this.declare(scope, specifier.local, 'const')
      }
    }
  }

  private declareVars(scope: Scope, node: Node): void {
    if (isFunction(node)) return
    if (node.type === 'VariableDeclaration' && node.kind === 'var') {
      for (const one of node.declarations) for (const id of boundBy(one.id)) this.declare(scope, id, 'var')
    }
    for (const child of childrenOf(node)) this.declareVars(scope, child)
  }

  private refer(scope: Scope, id: Node, writes: boolean): void {
    for (let at: Scope | null = scope; at !== null; at = at.parent) {
      const binding = at.vars.get(id.name)
      if (binding === undefined) continue
      this.bindings.set(id, binding)
      if (writes) binding.writes++
      if (binding.owner !== scope.owner) binding.captured = true
      return
    }
    this.globals.add(id.name)
  }

  /** The expressions inside a pattern; its names are assigned to, or were declared before. */
  private pattern(scope: Scope, node: Node | null, assigns: boolean): void {
    if (node === null) return
    switch (node.type) {
      case 'Identifier':
        return assigns ? this.refer(scope, node, true) : undefined
      case 'AssignmentPattern':
        this.visit(node.right, scope)
        return this.pattern(scope, node.left, assigns)
      case 'RestElement':
        return this.pattern(scope, node.argument, assigns)
      case 'ArrayPattern':
        for (const element of node.elements) this.pattern(scope, element, assigns)
        return
      case 'ObjectPattern':
        for (const property of node.properties) {
          if (property.computed) this.visit(property.key, scope)
          this.pattern(scope, property.type === 'RestElement' ? property.argument : property.value, assigns)
        }
        return
      default:
        this.visit(node, scope)
    }
  }

  private inner(scope: Scope, perTurn = scope.perTurn): Scope {
    return { vars: new Map(), owner: scope.owner, perTurn, parent: scope }
  }

  private visitAll(nodes: readonly (Node | null)[], scope: Scope): void {
    for (const node of nodes) if (node !== null && node !== undefined) this.visit(node, scope)
  }

  private visitFunction(node: Node, outside: Scope): void {
    this.outer.set(node, outside.owner)
    const scope: Scope = { vars: new Map(), owner: node, perTurn: false, parent: outside }
    if (node.type === 'FunctionExpression' && node.id !== null) this.declare(scope, node.id, 'const')
    for (const param of node.params) for (const id of boundBy(param)) this.declare(scope, id, 'param')
    for (const param of node.params) this.pattern(scope, param, false)
    if (node.body.type !== 'BlockStatement') return this.visit(node.body, scope)
    this.declareVars(scope, node.body)
    this.declareBlock(scope, statementsOf(node.body))
    this.visitAll(statementsOf(node.body), scope)
  }

  private visitFor(node: Node, outside: Scope): void {
    const scope = this.inner(outside, true)
    const head = node.type === 'ForStatement' ? node.init : node.left
    if (head?.type === 'VariableDeclaration') this.declareBlock(scope, [head])
    if (node.type === 'ForStatement') {
      this.visitAll([node.init, node.test, node.update], scope)
    } else {
      if (head?.type === 'VariableDeclaration') this.pattern(scope, head.declarations[0]!.id, false)
      else this.pattern(outside, node.left, true)
      this.visit(node.right, outside)
    }
    this.visit(node.body, scope)
  }

  private visit(node: Node, scope: Scope): void {
    if (isFunction(node)) return this.visitFunction(node, scope)
    switch (node.type) {
      case 'Program':
        this.declareBlock(scope, statementsOf(node))
        this.declareVars(scope, node)
        return this.visitAll(statementsOf(node), scope)
      case 'BlockStatement':
      case 'StaticBlock': {
        const block = this.inner(scope)
        this.declareBlock(block, statementsOf(node))
        return this.visitAll(statementsOf(node), block)
      }
      case 'SwitchStatement': {
        this.visit(node.discriminant, scope)
        const block = this.inner(scope)
        const statements = node.cases.flatMap((one) => one.consequent as unknown as Node[])
        this.declareBlock(block, statements)
        return this.visitAll(node.cases, block)
      }
      case 'ForStatement':
      case 'ForOfStatement':
      case 'ForInStatement':
        return this.visitFor(node, scope)
      case 'WhileStatement':
      case 'DoWhileStatement':
        return this.visitAll([node.test, node.body], this.inner(scope, true))
      case 'CatchClause': {
        const block = this.inner(scope)
        for (const id of boundBy(node.param)) this.declare(block, id, 'let')
        this.pattern(block, node.param, false)
        return this.visit(node.body, block)
      }
      case 'VariableDeclarator':
        this.pattern(scope, node.id, false)
        return this.visitAll([node.init], scope)
      case 'AssignmentExpression':
        this.pattern(scope, node.left, true)
        return this.visit(node.right, scope)
      case 'UpdateExpression':
        return this.pattern(scope, node.argument, true)
      case 'MemberExpression':
        this.visit(node.object, scope)
        return node.computed ? this.visit(node.property, scope) : undefined
      case 'Property':
      case 'MethodDefinition':
      case 'PropertyDefinition':
        if (node.computed) this.visit(node.key, scope)
        return this.visitAll([node.value], scope)
      case 'LabeledStatement':
        return this.visit(node.body, scope)
      case 'BreakStatement':
      case 'ContinueStatement':
      case 'ImportDeclaration':
        return
      case 'ExportNamedDeclaration':
        return this.visitAll([node.declaration], scope)
      case 'ClassExpression': {
        const block = this.inner(scope)
        if (node.id !== null) this.declare(block, node.id, 'const')
        return this.visitAll([node.superClass, node.body], block)
      }
      case 'ClassDeclaration':
        return this.visitAll([node.superClass, node.body], scope)
      case 'Identifier':
        return this.refer(scope, node, false)
      default:
        this.visitAll(childrenOf(node), scope)
    }
  }
}
