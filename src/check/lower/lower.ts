/**
 * Lowers the async functions of one module to frame machines: text in, text and site table out.
 *
 * Locals stay variables of the function; the frame carries a getter and a setter for them, and the machine is an
 * arrow function inside. So `this`, `super`, `arguments`, parameters and closures need no work.
 *
 * R1 What is not an async function is copied; only closures inside it are tagged with what they capture.
 * R2 What cannot be lowered is rejected with its position, never lowered to something else.
 */
import { MachineBody } from './machine.ts'
import type { Site } from './machine.ts'
import { Scopes } from './scope.ts'
import type { Binding } from './scope.ts'
import { Statements } from './statements.ts'
import type { StatementHost } from './statements.ts'
import { AwaitFinder, LowerError, boundBy, childrenOf, isFunction, parseModule, walk } from './syntax.ts'
import type { Node } from './syntax.ts'

export interface Lowered {
  readonly code: string
  /** The async functions, in the order of the numbers that the code gives them. */
  readonly sites: readonly Site[]
}

/** Names that the lowered text uses for itself. */
const RESERVED = /^\$(\d+|f|v|S|frame|closure|module)$/

/**
 * @param code a module of ES2023, as tsc emits it
 * @param file its name, for reports and sites
 * @param runtime the module specifier of `frames/runtime`
 * @throws LowerError with the position of what cannot be lowered
 */
export function lower(code: string, file: string, runtime: string): Lowered {
  return new ModuleLowering(code, file).run(runtime)
}

class ModuleLowering implements StatementHost {
  readonly awaits: AwaitFinder = new AwaitFinder()
  private readonly code: string
  private readonly file: string
  private readonly tree: Node
  private readonly scopes: Scopes
  private readonly sites: Site[] = []
  private readonly names = new Set<string>()
  private closures = 0
  /** Functions around the text that is being written, innermost last. */
  private readonly within: Node[] = []
  /** Cells that the closure that is being written has copied. */
  private readonly copied = new Set<Binding>()
  /** Names taken in the lowered function that is being written. */
  private taken = new Set<string>()

  constructor(code: string, file: string) {
    this.code = code
    this.file = file
    this.tree = parseModule(code, file)
    this.scopes = new Scopes(this.tree)
    walk(this.tree, (node) => {
      if (node.type === 'PrivateIdentifier') this.reject(node, `#${node.name} is hidden from snapshots: use private`)
      if (isFunction(node) && node.async && node.generator) this.reject(node, 'an async generator cannot be lowered')
      if (node.type !== 'Identifier') return
      this.names.add(node.name)
      if (RESERVED.test(node.name)) this.reject(node, `the name ${node.name} is taken by the lowered form`)
    })
  }

  run(runtime: string): Lowered {
    const text = this.text(this.tree)
    const head = `import { $frame, $closure, $module } from ${JSON.stringify(runtime)};\n`
    const table = `const $S = $module(${JSON.stringify(this.file)}, ${JSON.stringify(this.sites)});\n`
    return { code: head + table + text, sites: this.sites }
  }

  bindingOf(id: Node): Binding | undefined {
    return this.scopes.bindings.get(id)
  }

  source(node: Node): string {
    return this.code.slice(node.start, node.end)
  }

  reject(node: Node, what: string): never {
    throw new LowerError(this.file, node.loc.start, what)
  }

  text(node: Node): string {
    if (isFunction(node)) return this.functionText(node)
    switch (node.type) {
      case 'Identifier':
        return this.identifier(node)
      case 'Property':
      case 'MethodDefinition':
        return this.propertyText(node)
      default:
        return this.splice(node)
    }
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
    const accessor = node.kind === 'get' || node.kind === 'set' ? `${node.kind} ` : ''
    const key = node.computed ? `[${this.text(node.key)}]` : this.source(node.key)
    const head = `${node.static ? 'static ' : ''}${accessor}${value.generator ? '*' : ''}${key}`
    return head + this.signatureAndBody(value, node.key.name ?? 'method')
  }

  private functionText(node: Node): string {
    const name = node.id?.name ?? ''
    const star = node.generator ? '*' : ''
    if (node.type === 'FunctionDeclaration') {
      return `function${star} ${this.idText(node)}${this.signatureAndBody(node, name || 'default')}`
    }
    const { captures, self } = this.capturesOf(node)
    const cells = captures.filter((one) => one.boxed && !this.copied.has(one))
    for (const one of cells) this.copied.add(one)
    const isArrow = node.type === 'ArrowFunctionExpression'
    const body = this.signatureAndBody(node, name || 'anonymous')
    const text = isArrow ? body : `function${star} ${name}${body}`
    for (const one of cells) this.copied.delete(one)
    const tagged = this.tag(text, captures, self)
    const list = cells.map((one) => one.out).join(', ')
    return cells.length === 0 ? `(${tagged})` : `((${list}) => ${tagged})(${list})`
  }

  private idText(node: Node): string {
    const binding = node.id === null ? undefined : this.bindingOf(node.id)
    return binding?.out ?? node.id?.name ?? ''
  }

  /** Makes a closure's captures visible to snapshots. */
  private tag(text: string, captures: readonly Binding[], self: boolean): string {
    const number = this.closures++
    if (captures.length === 0 && !self) return `$closure($S, ${number}, ${text}, null, null)`
    const list = [...(self ? ['this'] : []), ...captures.map((one) => one.out)].join(', ')
    const writes = captures.map((one, at) => {
      const restored = one.kind !== 'const' && one.writes > 0 && !one.boxed
      return restored ? ` ${one.out} = $v[${at + (self ? 1 : 0)}];` : ''
    })
    const setter = writes.some((one) => one !== '') ? `$v => {${writes.join('')} }` : 'null'
    return `$closure($S, ${number}, ${text}, () => [${list}], ${setter})`
  }

  /** The variables of enclosing functions that a closure mentions, and whether it holds their `this`. */
  private capturesOf(fn: Node): { readonly captures: readonly Binding[]; readonly self: boolean } {
    const captures = new Set<Binding>()
    let self = false
    const look = (node: Node, lexical: boolean): void => {
      if (node.type === 'ThisExpression' || node.type === 'Super') self ||= lexical
      const binding = this.bindingOf(node)
      if (binding !== undefined && binding.owner !== null && !this.scopes.isInside(binding, fn)) captures.add(binding)
      const ends = node.type === 'ClassBody' || (isFunction(node) && node.type !== 'ArrowFunctionExpression')
      for (const child of childrenOf(node)) look(child, lexical && !ends)
    }
    look(fn, true)
    return { captures: [...captures], self }
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
    this.sites.push({ name, locals: [], places: [], live: [], regions: [] })
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
    const { text, site } = body.finish(name, number)
    this.sites[number] = site
    return text
  }
}
