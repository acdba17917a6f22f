/**
 * Makes a module tell what it touches: every access to a field, an element or the contents of a collection is named to
 * `frames/touched` before it happens. Text in, text out; what it does is the same. For audits of the search over states.
 *
 * R1 Lines stay where they are; columns do not.
 * R2 An access is named in the step in which it happens: after the awaits of its operands.
 * R3 A variable that a function inside its own may see change is no field: a step that writes one touches everything.
 */
import { Scopes } from './scope.ts'
import { AwaitFinder, LowerError, childrenOf, isFunction, parseModule, walk } from './syntax.ts'
import type { Node } from './syntax.ts'

interface Edit {
  readonly at: number
  readonly end: number
  readonly text: string
  /** Edits at one place: what ends there comes before what begins there. */
  readonly order: number
}

/** Accessors of a DataView: the first operand says where. */
const VIEWED = /^[gs]et(?:U?int|BigU?int|Float)\d+$/i
/** Operands that may be written out twice. */
const SIMPLE = /^(?:Identifier|Literal|ThisExpression)$/
/** Functions of the language that look into their operands. */
const LOOKS_INTO = new Set(['Object', 'Array', 'Math', 'JSON', 'Map', 'Set', 'Int32Array', 'Uint32Array', 'Uint8Array'])

/**
 * @param tracker the module specifier of `frames/touched`
 * @throws LowerError with the position of what cannot be watched
 */
export function watch(code: string, file: string, tracker: string): string {
  return new Watching(code, file).run(tracker)
}

class Watching {
  private readonly code: string
  private readonly file: string
  private readonly tree: Node
  private readonly awaits = new AwaitFinder()
  private readonly edits: Edit[] = []
  private readonly shared: ReadonlySet<Node>
  private patterns = 0

  constructor(code: string, file: string) {
    this.code = code
    this.file = file
    this.tree = parseModule(code, file)
    this.shared = sharedWrites(this.tree)
  }

  run(tracker: string): string {
    this.visit(this.tree, false)
    const sorted = this.edits.toSorted((a, b) => a.at - b.at || a.order - b.order)
    let text = `import { $touched } from ${JSON.stringify(tracker)}; `
    text += 'const { see: $see, all: $all, each: $each, whole: $whole } = $touched; '
    let from = 0
    for (const { at, end, text: inserted } of sorted) {
      text += this.code.slice(from, at) + inserted
      from = end
    }
    return text + this.code.slice(from)
  }

  private insert(at: number, text: string, order: number): void {
    this.edits.push({ at, end: at, text, order })
  }

  /** Puts a node into a call. Outer ones are put first. */
  private wrap({ start, end }: Node, before: string, after: string): void {
    const order = this.edits.length
    this.insert(start, before, 1e6 + order)
    this.insert(end, after, -order)
  }

  private source({ start, end }: Node): string {
    return this.code.slice(start, end)
  }

  /** @param chained it belongs to a chain with `?.` */
  private visit(node: Node, chained: boolean): void {
    switch (node.type) {
      case 'MemberExpression':
        this.member(node, chained)
        this.visit(node.object, chained)
        if (node.computed) this.visit(node.property, false)
        return
      case 'ChainExpression':
        return this.visit(node.expression, true)
      case 'CallExpression':
      case 'NewExpression':
        return this.call(node, chained)
      case 'AssignmentExpression':
        return this.assignment(node)
      case 'UpdateExpression':
        if (this.shared.has(node.argument!)) this.wrap(node, '($whole(), ', ')')
        break
      case 'VariableDeclarator':
        if (node.init !== null) this.destructured(node.id!, node.init)
        break
      case 'ForOfStatement': {
        const left = node.left.type === 'VariableDeclaration' ? node.left.declarations[0]!.id! : node.left
        const names = left.type.endsWith('Pattern') ? this.namesOf(left) : null
        this.wrap(node.right, names === null ? '$all(' : '$each(', names === null ? ')' : `, ${names})`)
        this.visit(node.right, false)
        return this.visit(node.body, false)
      }
      case 'ForInStatement':
        this.wrap(node.right, '$all(', ')')
        break
      case 'SpreadElement':
        this.wrap(node.argument!, '$all(', ')')
        break
      case 'ObjectPattern':
      case 'ArrayPattern':
        return
      case 'PropertyDefinition':
      case 'Property':
        if (node.computed) this.visit(node.key, false)
        if (node.value !== null) this.visit(node.value, false)
        return
      case 'MethodDefinition':
        return this.visit(node.value!, false)
      default:
        if (isFunction(node)) return this.functionOf(node)
    }
    for (const child of childrenOf(node)) this.visit(child, false)
  }

  private member(node: Node, chained: boolean): void {
    const { object, property, computed, optional } = node
    if (object.type === 'Super' || object.type === 'MetaProperty') return
    this.wrap(object, '$see(', `, ${this.keyOf(node)})`)
    if (!chained || optional || (object.type !== 'MemberExpression' && object.type !== 'CallExpression')) return
    // The chain may have ended before: the call around the object hides that from what follows.
    const at = computed ? this.code.lastIndexOf('[', property.start) : this.code.lastIndexOf('.', property.start)
    this.edits.push({ at, end: computed ? at : at + 1, text: '?.', order: 0 })
  }

  /** What of its object an expression accesses; null: all that it holds. */
  private keyOf({ computed, property }: Node): string {
    if (!computed) return JSON.stringify(property.name)
    return isRepeatable(property) ? this.source(property) : 'null'
  }

  private call(node: Node, chained: boolean): void {
    const { callee } = node
    const { type } = callee
    if (node.type === 'NewExpression' && type === 'MemberExpression') this.wrap(callee, '(', ')')
    const name = type === 'Identifier' ? callee.name : callee.object?.type === 'Identifier' ? callee.object.name : ''
    const looksInto = LOOKS_INTO.has(name) || (type === 'MemberExpression' && callee.property.name === 'concat')
    for (const operand of node.arguments) {
      if (operand.type === 'SpreadElement') continue
      if (looksInto) this.wrap(operand, '$all(', ')')
      else if (type === 'MemberExpression' && this.awaits.has(operand)) this.again(callee, operand)
    }
    if (type === 'MemberExpression' && !callee.computed && VIEWED.test(callee.property.name)) {
      this.wrap(callee.object, '$see(', `, ${this.source(node.arguments[0]!)})`)
      this.visit(callee.object, false)
    } else this.visit(callee, chained)
    for (const operand of node.arguments) this.visit(operand, false)
  }

  private assignment(node: Node): void {
    const { left, right } = node
    if (this.shared.has(left)) this.wrap(right, '$whole(', ')')
    if (left.type === 'MemberExpression' && this.awaits.has(right)) this.again(left, right)
    this.destructured(left, right)
    this.visit(left, false)
    this.visit(right, false)
  }

  /** An access that was named before an operand waited is named again. */
  private again(member: Node, operand: Node): void {
    const { object } = member
    if (object.type === 'Super') return
    if (isRepeatable(object)) this.wrap(operand, '$see(', `, null, ${this.source(object)}, ${this.keyOf(member)})`)
    else this.wrap(operand, '$whole(', ')')
  }

  private destructured(pattern: Node, value: Node): void {
    if (/^(?:Object|Array)Pattern$/.test(pattern.type)) this.wrap(value, '$all(', `, ${this.namesOf(pattern)})`)
  }

  /** The fields that a pattern takes, as a list; null: everything. */
  private namesOf(pattern: Node): string {
    if (pattern.type === 'ArrayPattern') return 'null'
    const keys = pattern.properties.map((one) => (one.type === 'RestElement' || one.computed ? null : one))
    if (keys.includes(null)) return 'null'
    for (const one of keys) {
      const { value } = one!
      const inner = value!.type === 'AssignmentPattern' ? value!.left : value!
      if (inner.type.endsWith('Pattern')) this.reject(inner, 'a pattern within a pattern')
    }
    return JSON.stringify(keys.map((one) => one!.key.name))
  }

  /** Parameters that are taken apart get a name, and are taken apart in the body. */
  private functionOf(node: Node): void {
    let taken = ''
    const taking = (param: Node, text: (name: string) => string): void => {
      const name = `$p${this.patterns++}`
      this.edits.push({ at: param.start, end: param.end, text: name, order: 0 })
      taken += text(name)
    }
    for (const param of node.params) {
      const { type, left } = param
      const pattern = type === 'AssignmentPattern' ? left : param
      if (/^(?:Object|Array)Pattern$/.test(pattern.type)) {
        taking(pattern, (name) => `const ${this.source(pattern)} = $all(${name}, ${this.namesOf(pattern)}); `)
      } else if (type === 'AssignmentPattern' && taken !== '') {
        // It may look at what was taken apart before it.
        taking(param, (name) => `let ${left.name} = ${name} === undefined ? ${this.source(param.right)} : ${name}; `)
        continue
      }
      if (type === 'AssignmentPattern') this.visit(param.right, false)
    }
    const { body } = node
    if (taken !== '') {
      if (body.type === 'BlockStatement') this.insert(body.start + 1, ` ${taken}`, 0)
      else {
        this.insert(this.code.lastIndexOf('=>', body.start) + 2, ` { ${taken}return (`, 0)
        this.insert(node.end, ') }', -1e6)
      }
    }
    this.visit(body, false)
  }

  private reject(node: Node, what: string): never {
    throw new LowerError(this.file, node.loc.start, `${what} cannot be watched`)
  }
}

/** May an expression be evaluated twice? */
function isRepeatable(node: Node): boolean {
  if (SIMPLE.test(node.type)) return true
  if (!/^(?:MemberExpression|BinaryExpression)$/.test(node.type)) return false
  return childrenOf(node).every(isRepeatable)
}

/** Variables, as targets of assignments, that some function inside their own mentions as well. */
function sharedWrites(tree: Node): ReadonlySet<Node> {
  const { bindings } = new Scopes(tree)
  const shared = new Set<Node>()
  walk(tree, ({ type, left, argument }) => {
    const target = type === 'AssignmentExpression' ? left : type === 'UpdateExpression' ? argument : null
    const binding = target === null ? undefined : bindings.get(target)
    if (binding !== undefined && binding.captured && binding.owner !== null) shared.add(target!)
  })
  return shared
}
