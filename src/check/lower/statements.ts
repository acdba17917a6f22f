/**
 * Statements of a lowered function: what neither awaits nor jumps out of itself is copied, the rest is cut into cases.
 *
 * R1 Every variable of a statement that is cut becomes a variable of the function: its value outlives a suspension.
 */
import { Expressions } from './expressions.ts'
import type { ModuleText } from './expressions.ts'

import { Jumps } from './jumps.ts'
import type { Finalizer } from './jumps.ts'
import type { MachineBody } from './machine.ts'
import { boundBy, escapes, statementsOf } from './syntax.ts'
import type { Node } from './syntax.ts'

export interface StatementHost extends ModuleText {
  /** A function or class declaration as an expression. */
  declared(node: Node): string
  /** Makes a variable one of the function: picks its name and decides on a cell per turn. */
  hoist(id: Node, body: MachineBody): void
}

export class Statements {
  private readonly module: StatementHost
  private readonly body: MachineBody
  private readonly expressions: Expressions
  private readonly jumps: Jumps

  constructor(module: StatementHost, body: MachineBody) {
    this.module = module
    this.body = body
    this.expressions = new Expressions(module, body)
    this.jumps = new Jumps(body)
  }

  lowerFunction(fn: Node): void {
    if (fn.body.type === 'BlockStatement') return this.block(statementsOf(fn.body))
    this.body.place = fn.body.loc.start
    this.jumps.return(this.expressions.lower(fn.body))
  }

  private block(statements: readonly Node[]): void {
    this.enterScope(statements)
    for (const one of statements) this.statement(one, [])
  }

  /** Declares what the statements declare; function declarations have their values at once. */
  private enterScope(statements: readonly Node[]): void {
    for (const one of statements) {
      if (one.type === 'VariableDeclaration') for (const each of one.declarations) this.hoist(each.id!)
      else if (one.type === 'ClassDeclaration' || one.type === 'FunctionDeclaration') this.hoist(one.id!)
    }
    for (const one of statements) {
      if (one.type === 'FunctionDeclaration')
        this.body.emit(`${this.module.text(one.id!)} = ${this.module.declared(one)};`)
    }
  }

  private hoist(pattern: Node): void {
    for (const id of boundBy(pattern)) {
      this.module.hoist(id, this.body)
      const { out, boxed } = this.module.bindingOf(id)!
      if (boxed) this.body.assign(out, '{ v: undefined }')
    }
  }

  /** Gives a declared pattern its value. */
  private initialise(pattern: Node, value: string): void {
    const text = this.module.text(pattern)
    if (pattern.type === 'Identifier') {
      if (this.module.bindingOf(pattern)!.boxed) this.body.emit(`${text} = ${value};`)
      else this.body.assign(text, value)
      return
    }
    if (this.module.awaits.has(pattern)) {
      this.module.reject(pattern, 'an await inside a destructuring default cannot be lowered')
    }
    const plain = boundBy(pattern).map((id) => this.module.bindingOf(id)!)
    this.body.emit(
      `(${text} = ${value});`,
      plain.filter((one) => !one.boxed).map((one) => one.out),
    )
  }

  private statement(node: Node, labels: readonly string[]): void {
    const { body, module } = this
    body.place = node.loc.start
    switch (node.type) {
      case 'VariableDeclaration':
        for (const one of node.declarations) {
          this.initialise(one.id!, one.init === null ? 'undefined' : this.expressions.lower(one.init))
        }
        return
      case 'FunctionDeclaration':
        return
      case 'ClassDeclaration':
        if (module.bindingOf(node.id!)!.boxed) module.reject(node, 'a class that a loop makes anew cannot be lowered')
        return body.emit(`${module.text(node.id!)} = ${module.declared(node)};`)
      default:
        if (module.awaits.has(node) || escapes(node)) return this.cut(node, labels)
        return body.emit(module.text(node).replace(/;?$/, ';'))
    }
  }

  /** A statement that awaits or jumps out of itself. */
  private cut(node: Node, labels: readonly string[]): void {
    const { body, expressions, module } = this
    if (labels.length > 0 && /^(Block|If|Try)Statement$/.test(node.type)) return this.labelled(node, labels)
    switch (node.type) {
      case 'BlockStatement':
        return this.block(statementsOf(node))
      case 'ExpressionStatement':
        return body.emit(`${expressions.lower(node.expression)};`)
      case 'ReturnStatement':
        return this.jumps.return(node.argument === null ? 'undefined' : expressions.lower(node.argument))
      case 'ThrowStatement':
        return body.emitLast(`throw ${expressions.lower(node.argument!)};`)
      case 'IfStatement':
        return this.if(node)
      case 'LabeledStatement':
        return this.statement(node.body, [...labels, node.label!.name])
      case 'BreakStatement':
      case 'ContinueStatement':
        return this.jumps.jump(node)
      case 'WhileStatement':
      case 'DoWhileStatement':
      case 'ForStatement':
        return this.loop(node, labels)
      case 'ForOfStatement':
      case 'ForInStatement':
        return this.forEach(node, labels)
      case 'SwitchStatement':
        return this.switch(node, labels)
      case 'TryStatement':
        return this.try(node)
      default:
        return module.reject(node, `an await inside ${node.type} cannot be lowered`)
    }
  }

  private labelled(node: Node, labels: readonly string[]): void {
    const end = this.body.newLabel()
    this.jumps.within({ labels, break: end, block: true }, () => this.cut(node, []))
    this.body.placeLabel(end)
  }

  private if(node: Node): void {
    const { body } = this
    const no = body.newLabel()
    const end = body.newLabel()
    body.branch(`!(${this.expressions.lower(node.test!)})`, no)
    this.block([node.consequent])
    if (node.alternate !== null) body.jump(end)
    body.placeLabel(no)
    if (node.alternate === null) return
    this.block([node.alternate])
    body.placeLabel(end)
  }

  private loop(node: Node, labels: readonly string[]): void {
    const { body, expressions } = this
    const context = { labels, break: body.newLabel(), continue: body.newLabel() }
    const top = node.type === 'WhileStatement' ? context.continue : body.newLabel()
    const declares = node.init?.type === 'VariableDeclaration'
    if (declares) this.block([node.init])
    else if (node.type === 'ForStatement' && node.init !== null) body.emit(`${expressions.lower(node.init)};`)
    body.placeLabel(top)
    const test = (): string => (node.test === null ? 'true' : expressions.lower(node.test))
    if (node.type !== 'DoWhileStatement' && node.test !== null) body.branch(`!(${test()})`, context.break)
    this.jumps.within(context, () => this.block([node.body]))
    body.place = node.loc.start
    if (node.type !== 'WhileStatement') body.placeLabel(context.continue)
    if (node.type === 'DoWhileStatement') {
      body.branch(test(), top)
    } else {
      if (declares) this.renewCells(node.init)
      if (node.type === 'ForStatement' && node.update !== null) body.emit(`${expressions.lower(node.update)};`)
      body.jump(top)
    }
    body.placeLabel(context.break)
  }

  /** Each turn of a `for` has variables of its own, which begin with the values of the last turn. */
  private renewCells(declaration: Node): void {
    for (const id of declaration.declarations.flatMap((one) => boundBy(one.id))) {
      const { out, boxed } = this.module.bindingOf(id)!
      if (boxed) this.body.assign(out, `{ v: ${out}.v }`)
    }
  }

  private forEach(node: Node, labels: readonly string[]): void {
    const { body, expressions, module } = this
    if (node.await) module.reject(node, 'for await cannot be lowered')
    const values = node.type === 'ForOfStatement' ? '$f.iterate' : '$f.keysOf'
    const iterator = body.save(`${values}(${expressions.lower(node.right)})`)
    const step = body.temporary()
    // A continue goes past the inner context's iterator without closing it; a break closes it.
    const outer = { labels, break: body.newLabel() }
    const context = { labels, continue: body.newLabel(), iterator }
    const from = body.newLabel()
    const handler = body.newLabel()
    body.placeLabel(context.continue)
    body.assign(step, `${iterator}.next()`)
    body.branch(`${step}.done`, outer.break)
    body.placeLabel(from)
    this.jumps.within(outer, () =>
      this.jumps.within(context, () => {
        const { left } = node
        if (left.type === 'VariableDeclaration') {
          const pattern = left.declarations[0]!.id!
          this.hoist(pattern)
          this.initialise(pattern, `${step}.value`)
        } else {
          body.emit(`(${module.text(left)} = ${step}.value);`)
        }
        body.assign(step, 'undefined')
        this.block([node.body])
      }),
    )
    body.jump(context.continue)
    body.placeLabel(handler)
    body.protect(from, handler, handler)
    body.emitLast(`$f.abandon(${iterator}, $f.caught());`)
    body.placeLabel(outer.break)
  }

  private switch(node: Node, labels: readonly string[]): void {
    const { body, expressions } = this
    const context = { labels, break: body.newLabel() }
    const value = body.save(expressions.lower(node.discriminant))
    const targets = node.cases.map(() => body.newLabel())
    const consequents = node.cases.map((one) => one.consequent as unknown as readonly Node[])
    this.enterScope(consequents.flat())
    for (const [at, one] of node.cases.entries()) {
      if (one.test !== null) body.branch(`${value} === (${expressions.lower(one.test)})`, targets[at]!)
    }
    body.jump(targets[node.cases.findIndex((one) => one.test === null)] ?? context.break)
    this.jumps.within(context, () => {
      for (const [at, statements] of consequents.entries()) {
        body.placeLabel(targets[at]!)
        for (const one of statements) this.statement(one, [])
      }
    })
    body.placeLabel(context.break)
  }

  private try(node: Node): void {
    const { finalizer } = node
    if (finalizer === null) return this.tryCatch(node)
    const { body } = this
    const from = body.newLabel()
    const thrown = body.newLabel()
    const after = body.newLabel()
    const [kind, value] = [body.temporary(), body.temporary()]
    const final: Finalizer = { kind, value, label: body.newLabel(), exits: [], returns: false }
    body.placeLabel(from)
    this.jumps.within({ labels: [], finalizer: final }, () => this.tryCatch(node))
    body.assign(kind, '0')
    body.assign(value, 'undefined')
    body.jump(final.label)
    body.placeLabel(thrown)
    body.protect(from, thrown, thrown)
    body.assign(value, '$f.caught()')
    body.assign(kind, '1')
    body.placeLabel(final.label)
    this.block(statementsOf(finalizer))
    body.branch(`${kind} === 0`, after)
    body.emit(`if (${kind} === 1) throw ${value};`)
    if (final.returns) this.when(`${kind} === 2`, () => this.jumps.return(value))
    for (const [at, exit] of final.exits.entries()) this.when(`${kind} === ${at + 3}`, () => this.jumps.leave(exit))
    body.placeLabel(after)
  }

  private when(condition: string, emit: () => void): void {
    const no = this.body.newLabel()
    this.body.branch(`!(${condition})`, no)
    emit()
    this.body.placeLabel(no)
  }

  private tryCatch(node: Node): void {
    const { body } = this
    const { handler } = node
    if (handler === null) return this.block(statementsOf(node.block))
    const from = body.newLabel()
    const caught = body.newLabel()
    const after = body.newLabel()
    body.placeLabel(from)
    this.block(statementsOf(node.block))
    body.jump(after)
    body.placeLabel(caught)
    body.protect(from, caught, caught)
    if (handler.param === null) {
      body.emit('$f.caught();')
    } else {
      this.hoist(handler.param)
      this.initialise(handler.param, '$f.caught()')
    }
    this.block(statementsOf(handler.body))
    body.placeLabel(after)
  }
}
