/**
 * Lowers the async functions of one module to frame machines: text in, text and site table out.
 *
 * Locals stay variables of the function; the frame carries a function that reads or writes them, and the machine
 * is an arrow function inside. So `this`, `super`, `arguments`, parameters and closures need no work.
 *
 * R1 What is not an async function is copied; only functions and classes that a value may hold are tagged with what
 *    they capture, and writes by computed names are checked when they run.
 * R2 What cannot be lowered is rejected with its position, never lowered to something else.
 */
import { capturesOf, mentionsSuper } from './captures.ts'
import type { Captures, ClosureSite } from './captures.ts'
import { hiddenWrite, writtenFields } from './fields.ts'
import type { WrittenFields } from './fields.ts'
import { MachineBody } from './machine.ts'
import type { Place, Site } from './machine.ts'
import { Scopes } from './scope.ts'
import type { Binding } from './scope.ts'
import { Statements } from './statements.ts'
import type { StatementHost } from './statements.ts'
import { AwaitFinder, LowerError, boundBy, childrenOf, isFunction, parseModule, statementsOf, walk } from './syntax.ts'
import type { Node, Position } from './syntax.ts'

export interface Lowered {
  readonly code: string
  /** The async functions, in the order of the numbers that the code gives them. */
  readonly sites: readonly Site[]
  /** What makes functions that a value may hold, in the order of the numbers in their tags. */
  readonly closures: readonly ClosureSite[]
  /** Names of the fields that the module writes after construction. */
  readonly written: readonly string[]
}

/** Names that the lowered text uses for itself. */
const RESERVED = /^\$(\d+|f|v|w|S|frame|closure|module|array|accessor)$/

/** Where a position of the text was in its source, when that is known: line from 1, column from 0. */
export type Locate = (line: number, column: number) => Position | null

/**
 * @param code a module of ES2023, as tsc emits it
 * @param file the name of its source, for reports and sites
 * @param runtime the module specifier of `frames/runtime`
 * @param locate positions of the source; without it, reports and sites have those of the text
 * @throws LowerError with the position of what cannot be lowered
 */
export function lower(code: string, file: string, runtime: string, locate: Locate = () => null): Lowered {
  return new ModuleLowering(code, file, locate).run(runtime)
}

class ModuleLowering implements StatementHost {
  readonly awaits: AwaitFinder = new AwaitFinder()
  private readonly code: string
  private readonly file: string
  private readonly tree: Node
  private readonly scopes: Scopes
  private readonly fields: WrittenFields
  private readonly sites: Site[] = []
  private readonly closures: ClosureSite[] = []
  private readonly names = new Set<string>()
  private readonly locate: Locate
  /** Functions around the text that is being written, innermost last. */
  private readonly within: Node[] = []
  /** Cells that the closure that is being written has copied. */
  private readonly copied = new Set<Binding>()
  /** Names taken in the lowered function that is being written. */
  private taken = new Set<string>()

  constructor(code: string, file: string, locate: Locate) {
    this.code = code
    this.file = file
    this.locate = locate
    this.tree = parseModule(code, file)
    this.scopes = new Scopes(this.tree)
    this.fields = writtenFields(this.tree)
    walk(this.tree, (node) => this.admit(node))
  }

  run(runtime: string): Lowered {
    const text = this.text(this.tree)
    const written = this.fields.names
    const head = `import { $frame, $closure, $module, $array, $accessor } from ${JSON.stringify(runtime)};\n`
    const { sites, closures } = this
    const tables = [this.file, sites, closures, written].map((one) => JSON.stringify(one)).join(', ')
    return { code: `${head}const $S = $module(${tables});\n${text}`, sites, closures, written }
  }

  bindingOf(id: Node): Binding | undefined {
    return this.scopes.bindings.get(id)
  }

  source(node: Node): string {
    return this.code.slice(node.start, node.end)
  }

  reject(node: Node, what: string): never {
    const { line, column } = node.loc.start
    throw new LowerError(this.file, this.locate(line, column) ?? node.loc.start, what)
  }

  literal(node: Node, text: string): string {
    let out = text
    for (const { kind, key, value, computed } of node.properties) {
      if (kind !== 'get' && kind !== 'set') continue
      if (computed) this.reject(key, 'an accessor with a computed name cannot be lowered')
      const tag = this.tagAs(value!, key.name, capturesOf(value!, this.scopes), '$v')
      const name = key.type === 'Identifier' ? JSON.stringify(key.name) : this.source(key)
      out = `$accessor(${out}, ${name}, "${kind}", $v => ${tag})`
    }
    return out
  }

  stored(member: Node, object: string): string {
    if (!this.fields.computed.has(member)) return object
    return `$array($S, ${this.placeOf(member.loc.start).join(', ')}, ${object})`
  }

  text(node: Node): string {
    if (node.type === 'FunctionDeclaration') return this.declarationText(node)
    if (isFunction(node)) return this.functionText(node)
    switch (node.type) {
      case 'Identifier':
        return this.identifier(node)
      case 'Property':
      case 'MethodDefinition':
        return this.propertyText(node)
      case 'MemberExpression':
        return this.memberText(node)
      case 'Program':
      case 'BlockStatement':
      case 'StaticBlock':
        return this.blockText(node)
      case 'SwitchCase':
        for (const one of node.consequent as unknown as readonly Node[]) {
          if (one.type === 'FunctionDeclaration') this.reject(one, 'a function that a case declares cannot be lowered')
        }
        return this.splice(node)
      case 'ClassDeclaration': {
        const text = this.splice(node)
        return this.within.length === 0 ? text : `${text} ${this.tag(node, this.idText(node))};`
      }
      case 'ObjectExpression':
        return this.literal(node, this.splice(node))
      case 'ClassExpression': {
        const text = this.splice(node)
        return this.within.length === 0 ? text : this.tag(node, `(${text})`)
      }
      default:
        return this.splice(node)
    }
  }

  declared(node: Node): string {
    return this.tag(node, node.type === 'FunctionDeclaration' ? this.declarationText(node) : `(${this.splice(node)})`)
  }

  hoist(id: Node, body: MachineBody): void {
    const binding = this.bindingOf(id)!
    let out = binding.name
    for (let n = 1; this.taken.has(out); n++) {
      const next = `${binding.name}$${n}`
      out = this.names.has(next) ? out : next
    }
    this.taken.add(out)
    binding.out = out
    binding.boxed = binding.perTurn && binding.captured
    body.addLocal(out)
    if (binding.captured && !binding.boxed) body.pin(out)
  }

  /** The node's own text around the texts of its children. */
  private splice(node: Node): string {
    let out = ''
    let at = node.start
    for (const child of childrenOf(node)) {
      if (child.start < at) continue
      out += this.code.slice(at, child.start) + this.text(child)
      at = child.end
    }
    return out + this.code.slice(at, node.end)
  }

  /** A block of copied text: what its function declarations hold is named before anything else runs. */
  private blockText(node: Node): string {
    const declarations = statementsOf(node)
      .map((one) => (one.type.startsWith('Export') ? one.declaration : one))
      .filter((one) => one?.type === 'FunctionDeclaration' && one.id !== null)
    const tags = declarations.map((one) => `${this.tag(one!, this.idText(one!))};`).join(' ')
    const text = this.splice(node)
    if (tags === '') return text
    if (node.type === 'Program') return `${tags}\n${text}`
    const opening = text.indexOf('{') + 1
    return `${text.slice(0, opening)} ${tags} ${text.slice(opening)}`
  }

  private memberText(node: Node): string {
    if (!this.fields.computed.has(node)) return this.splice(node)
    if (node.object.type === 'Super') this.reject(node, 'a computed name of super is written: snapshots cannot see it')
    return `${this.stored(node, this.text(node.object))}[${this.text(node.property)}]`
  }

  private identifier(node: Node): string {
    const binding = this.bindingOf(node)
    if (binding === undefined) return node.name
    if (!binding.boxed) return binding.out
    if (this.within.at(-1) !== binding.owner && !this.copied.has(binding)) {
      this.reject(node, `${node.name} belongs to one turn of a loop: only an arrow or function expression may hold it`)
    }
    return `${binding.out}.v`
  }

  private propertyText(node: Node): string {
    const { value } = node
    if (node.type === 'Property' && node.shorthand && value !== null) {
      const text = this.text(value)
      return text === node.key.name ? text : `${node.key.name}: ${text}`
    }
    const isMethod = node.type === 'MethodDefinition' || node.method || node.kind === 'get' || node.kind === 'set'
    if (!isMethod || value === null) return this.splice(node)
    const key = node.computed ? `[${this.text(node.key)}]` : this.source(node.key)
    const name = node.key.name ?? 'method'
    const generator = value.generator ? '*' : ''
    if (node.type === 'Property' && node.kind === 'init') {
      const captures = capturesOf(value, this.scopes)
      if (mentionsSuper(value)) this.reject(value, 'super in a method of a literal cannot be lowered')
      const method = node.computed ? 'method' : this.source(node.key)
      const literal = `({ ${generator}${method}${this.signatureAndBody(value, name)} })`
      const member = node.computed || node.key.type === 'Identifier' ? `.${method}` : `[${method}]`
      return `${key}: ${this.tagAs(value, name, captures, literal + member)}`
    }
    const accessor = node.kind === 'get' || node.kind === 'set' ? `${node.kind} ` : ''
    const head = `${node.static ? 'static ' : ''}${accessor}${generator}${key}`
    return head + this.signatureAndBody(value, name)
  }

  private declarationText(node: Node): string {
    const star = node.generator ? '*' : ''
    return `function${star} ${this.idText(node)}${this.signatureAndBody(node, node.id?.name ?? 'default')}`
  }

  private functionText(node: Node): string {
    const name = node.id?.name ?? ''
    const captures = capturesOf(node, this.scopes)
    const cells = captures.variables.filter((one) => one.boxed && !this.copied.has(one))
    for (const one of cells) this.copied.add(one)
    const body = this.signatureAndBody(node, name || 'anonymous')
    const isArrow = node.type === 'ArrowFunctionExpression'
    const text = isArrow ? body : `function${node.generator ? '*' : ''} ${name}${body}`
    for (const one of cells) this.copied.delete(one)
    const tagged = this.tagAs(node, name, captures, text)
    const list = cells.map((one) => one.out).join(', ')
    return cells.length === 0 ? `(${tagged})` : `((${list}) => ${tagged})(${list})`
  }

  private idText(node: Node): string {
    const binding = node.id === null ? undefined : this.bindingOf(node.id)
    return binding?.out ?? node.id?.name ?? ''
  }

  private tag(node: Node, text: string): string {
    return this.tagAs(node, node.id?.name ?? '', capturesOf(node, this.scopes), text)
  }

  /** Makes what a function or class holds visible to snapshots. */
  private tagAs(node: Node, name: string, { variables, implicit }: Captures, text: string): string {
    const captured = [...implicit, ...variables.map((one) => one.name)]
    const number = this.closures.push({ name, place: this.placeOf(node.loc.start), captured }) - 1
    if (captured.length === 0) return `$closure($S, ${number}, ${text}, null, null)`
    const list = [...implicit, ...variables.map((one) => one.out)].join(', ')
    const writes = variables.map((one, at) => {
      const restored = one.kind !== 'const' && one.writes > 0 && !one.boxed
      return restored ? ` ${one.out} = $v[${at + implicit.length}];` : ''
    })
    const setter = writes.some((one) => one !== '') ? `$v => {${writes.join('')} }` : 'null'
    return `$closure($S, ${number}, ${text}, () => [${list}], ${setter})`
  }

  private placeOf({ line, column }: Position): Place {
    const found = this.locate(line, column)
    return found === null ? [line, column] : [found.line, found.column]
  }

  /** Refuses what has no lowered form wherever it stands. */
  private admit(node: Node): void {
    if (node.type === 'PrivateIdentifier') this.reject(node, `#${node.name} is hidden from snapshots: use private`)
    if (isFunction(node) && node.async && node.generator) this.reject(node, 'an async generator cannot be lowered')
    const hidden = hiddenWrite(node)
    if (hidden !== null) this.reject(node, `${hidden} writes fields that snapshots cannot name: assign them one by one`)
    if (node.type === 'CallExpression' && node.callee.type === 'MemberExpression' && !node.callee.computed) {
      if (node.callee.property.name === 'bind') this.reject(node, 'a bound function hides what it holds: use an arrow')
    }
    if (node.type !== 'Identifier') return
    this.names.add(node.name)
    if (RESERVED.test(node.name)) this.reject(node, `the name ${node.name} is taken by the lowered form`)
  }

  private signatureAndBody(fn: Node, name: string): string {
    const outerTaken = this.taken
    this.within.push(fn)
    const isArrow = fn.type === 'ArrowFunctionExpression'
    const head = `(${fn.params.map((one) => this.text(one)).join(', ')})${isArrow ? ' =>' : ''} `
    let body: string
    if (fn.async) body = `{${this.machine(fn, name)}}`
    else body = fn.body.type === 'BlockStatement' ? this.text(fn.body) : `(${this.text(fn.body)})`
    this.within.pop()
    this.taken = outerTaken
    return head + body
  }

  private machine(fn: Node, name: string): string {
    const number = this.sites.length
    // The place of a function is kept before its inner functions take theirs.
    this.sites.push({ name, locals: [], places: [], returns: [], live: [], regions: [], shared: false })
    const params = fn.params.flatMap(boundBy).map((id) => this.bindingOf(id)!)
    const body = new MachineBody(
      fn.loc.start,
      params.map((one) => one.out),
    )
    for (const one of params) if (one.captured) body.pin(one.out)
    this.taken = new Set([...this.scopes.globals, ...params.map((one) => one.out)])
    walk(fn, (node) => {
      if (node.type !== 'Identifier') return
      const binding = this.bindingOf(node)
      if (binding === undefined) return
      if (!this.scopes.isInside(binding, fn)) this.taken.add(binding.out)
      else if (binding.kind === 'var' && binding.owner === fn)
        this.reject(node, 'var cannot be lowered: use let or const')
    })
    new Statements(this, body).lowerFunction(fn)
    const { text, site } = body.finish(name, number, (at) => this.placeOf(at))
    this.sites[number] = site
    return text
  }
}
