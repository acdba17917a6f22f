/**
 * Expressions that await: what comes before an await is put into temporaries, in the order of evaluation.
 *
 * R1 `lower` returns a text that must be used once, before anything else is emitted that could change its value.
 * R2 An expression without an await is copied.
 */
import type { Label, MachineBody } from './machine.ts'
import { isFunction } from './syntax.ts'
import type { AwaitFinder, Node } from './syntax.ts'
import type { Binding } from './scope.ts'

/** What the parts of the pass ask of the module around them. */
export interface ModuleText {
  readonly awaits: AwaitFinder
  bindingOf(id: Node): Binding | undefined
  /** The node as written. */
  source(node: Node): string
  /** The node with inner functions lowered and variables renamed. */
  text(node: Node): string
  /** The text of an object literal, with its accessors tagged. */
  literal(node: Node, text: string): string
  /** The object of a member expression that is assigned to. */
  stored(member: Node, object: string): string
  /** @throws LowerError always */
  reject(node: Node, what: string): never
}

export class Expressions {
  private readonly module: ModuleText
  private readonly body: MachineBody

  constructor(module: ModuleText, body: MachineBody) {
    this.module = module
    this.body = body
  }

  /** @returns the text of the expression's value */
  lower(node: Node): string {
    if (!this.awaits(node)) return this.module.text(node)
    const { body } = this
    switch (node.type) {
      case 'AwaitExpression': {
        const value = this.lower(node.argument!)
        body.place = node.loc.start
        body.suspend(value)
        return '$f.take()'
      }
      case 'ChainExpression': {
        const end = body.newLabel()
        const result = body.temporary()
        body.assign(result, 'undefined')
        body.assign(result, this.chain(node.expression, end))
        body.placeLabel(end)
        return result
      }
      case 'MemberExpression':
      case 'CallExpression':
        return this.chain(node, null)
      case 'NewExpression': {
        const text = this.lower(node.callee)
        const constructor = node.arguments.some((one) => this.awaits(one)) ? body.save(text) : `(${text})`
        return `new ${constructor}(${this.list(node.arguments).join(', ')})`
      }
      case 'BinaryExpression': {
        const [left, right] = this.list([node.left, node.right])
        return `((${left}) ${node.operator} (${right}))`
      }
      case 'UnaryExpression':
        return `(${node.operator} (${this.lower(node.argument!)}))`
      case 'LogicalExpression': {
        const result = body.save(this.lower(node.left))
        return this.orElse(result, node.operator, node.right)
      }
      case 'ConditionalExpression': {
        const result = body.temporary()
        const no = body.newLabel()
        const end = body.newLabel()
        body.branch(`!(${this.lower(node.test!)})`, no)
        body.assign(result, this.lower(node.consequent))
        body.jump(end)
        body.placeLabel(no)
        body.assign(result, this.lower(node.alternate!))
        body.placeLabel(end)
        return result
      }
      case 'SequenceExpression': {
        for (const one of node.expressions.slice(0, -1)) body.emit(`${this.lower(one)};`)
        return this.lower(node.expressions.at(-1)!)
      }
      case 'ArrayExpression':
        return `[${this.list(node.elements).join(', ')}${node.elements.at(-1) === null ? ',' : ''}]`
      case 'TemplateLiteral': {
        const values = this.list(node.expressions)
        const parts = node.quasis.map((one, at) => one.value.raw + (at < values.length ? `\${${values[at]}}` : ''))
        return `\`${parts.join('')}\``
      }
      case 'ObjectExpression':
        return this.object(node)
      case 'AssignmentExpression':
        return this.assignment(node)
      case 'UpdateExpression': {
        const target = this.target(node.argument!)
        return node.prefix ? `(${node.operator}${target})` : `(${target}${node.operator})`
      }
      default:
        return this.module.reject(
          node,
          `an await inside ${node.type} cannot be lowered: await it in a statement before`,
        )
    }
  }

  private awaits(node: Node | null): boolean {
    return node !== null && this.module.awaits.has(node)
  }

  /** Texts of values that are evaluated one after the other. */
  private list(nodes: readonly (Node | null)[]): string[] {
    const last = nodes.findLastIndex((one) => this.awaits(one))
    return nodes.map((node, at) => {
      if (node === null) return ''
      if (node.type === 'SpreadElement') {
        const value = this.lower(node.argument!)
        return `...${at < last ? this.body.save(`[...${value}]`) : value}`
      }
      const value = this.lower(node)
      return at < last && !this.isFixed(node) ? this.body.save(value) : value
    })
  }

  /** Would the node have the same value when evaluated later? */
  private isFixed(node: Node): boolean {
    if (node.type === 'Literal' || node.type === 'ThisExpression' || isFunction(node)) return true
    return node.type === 'Identifier' && this.module.bindingOf(node)?.kind === 'const'
  }

  private orElse(result: string, operator: string, right: Node): string {
    const end = this.body.newLabel()
    const done = operator === '&&' ? `!${result}` : operator === '||' ? result : `${result} != null`
    this.body.branch(done, end)
    this.body.assign(result, this.lower(right))
    this.body.placeLabel(end)
    return result
  }

  private property(node: Node): string {
    return node.computed ? `[${this.lower(node.property)}]` : `.${this.module.source(node.property)}`
  }

  /** A place to assign to: its object and key are evaluated now. */
  private target(node: Node): string {
    if (node.type === 'Identifier') return this.module.text(node)
    const { type } = node.object
    const object = /^(Super|ThisExpression)$/.test(type)
      ? this.module.source(node.object)
      : this.body.save(this.lower(node.object))
    if (!node.computed) return object + this.property(node)
    return `${this.module.stored(node, object)}[${this.body.save(this.lower(node.property))}]`
  }

  private assignment(node: Node): string {
    const { body } = this
    if (node.left.type.endsWith('Pattern')) {
      if (this.awaits(node.left))
        this.module.reject(node.left, 'an await inside a destructuring target cannot be lowered')
      return `(${this.module.text(node.left)} = ${this.lower(node.right)})`
    }
    const target = this.target(node.left)
    const operator = node.operator.slice(0, -1)
    if (operator === '') return `(${target} = ${this.lower(node.right)})`
    if (!/^(&&|\|\||\?\?)$/.test(operator)) {
      const old = body.save(target)
      return `(${target} = ${old} ${operator} (${this.lower(node.right)}))`
    }
    const result = body.save(target)
    const end = body.newLabel()
    body.branch(operator === '&&' ? `!${result}` : operator === '||' ? result : `${result} != null`, end)
    body.assign(result, this.lower(node.right))
    body.emit(`${target} = ${result};`)
    body.placeLabel(end)
    return result
  }

  private object(node: Node): string {
    const flat = node.properties.flatMap((one) => {
      if (one.type === 'SpreadElement') return [one]
      const key = one.computed ? [one.key] : []
      return one.method || one.kind !== 'init' ? key : [...key, one.value]
    })
    const values = this.list(flat)
    let at = 0
    const parts = node.properties.map((one) => {
      if (one.type === 'SpreadElement') return values[at++]
      if (one.method || one.kind !== 'init') {
        if (one.computed) this.module.reject(one, 'a computed method beside an await cannot be lowered')
        return this.module.text(one)
      }
      const key = one.computed ? `[${values[at++]}]` : this.module.source(one.key)
      return `${key}: ${values[at++]}`
    })
    return this.module.literal(node, `({${parts.join(', ')}})`)
  }

  /** Member accesses and calls; `end` is where an enclosing `?.` chain goes when it meets nothing. */
  private chain(node: Node, end: Label | null): string {
    if (!this.awaits(node) && !hasOptional(node)) return this.module.text(node)
    if (node.type === 'MemberExpression') {
      const object = this.memberObject(node, end)
      return object + this.property(node)
    }
    if (node.type !== 'CallExpression') return this.lower(node)
    const call = this.callee(node, end)
    return `${call}${this.list(node.arguments).join(', ')})`
  }

  private memberObject(node: Node, end: Label | null): string {
    if (node.object.type === 'Super') return 'super'
    let object = this.chain(node.object, end)
    if (node.optional || (node.computed && this.awaits(node.property))) object = this.body.save(object)
    if (node.optional) this.body.branch(`${object} == null`, end!)
    return wrapped(object)
  }

  /** The text of a call up to its first argument. */
  private callee(node: Node, end: Label | null): string {
    const { body } = this
    const early = node.optional || node.arguments.some((one) => this.awaits(one))
    const { callee } = node
    if (callee.type !== 'MemberExpression') {
      const text = callee.type === 'Super' ? 'super' : this.chain(callee, end)
      if (!early) return `${wrapped(text)}(`
      const target = body.save(text)
      if (node.optional) body.branch(`${target} == null`, end!)
      return `${target}(`
    }
    let object = this.memberObject(callee, end)
    if (!early) return `${object}${this.property(callee)}(`
    if (object !== 'super' && object !== 'this') object = body.save(object)
    const target = body.save(object + this.property(callee))
    if (node.optional) body.branch(`${target} == null`, end!)
    return `${target}.call(${object === 'super' ? 'this' : object}, `
  }
}

function hasOptional(node: Node): boolean {
  if (node.type === 'MemberExpression') return node.optional || hasOptional(node.object)
  return node.type === 'CallExpression' && (node.optional || hasOptional(node.callee))
}

function wrapped(text: string): string {
  return /^[\w$.]+$/.test(text) ? text : `(${text})`
}
