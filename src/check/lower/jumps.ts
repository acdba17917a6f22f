/**
 * Jumps of a lowered function, and what they pass through.
 *
 * R1 A jump out of a `finally` or of a `for ... of` runs it first: completions are numbers, 0 end, 1 throw, 2 return,
 *    from 3 on the jumps that pass through.
 */
import type { Label, MachineBody } from './machine.ts'
import type { Node } from './syntax.ts'

export interface Exit {
  readonly label: Label
  readonly target: Context
}

/** What a jump may target or has to pass through. */
export interface Context {
  readonly labels: readonly string[]
  readonly break?: Label
  readonly continue?: Label
  /** Only a labelled break ends it. */
  readonly block?: boolean
  /** The variable that holds the iterator to close. */
  readonly iterator?: string
  readonly finalizer?: Finalizer
}

export interface Finalizer {
  readonly kind: string
  readonly value: string
  readonly label: Label
  readonly exits: Exit[]
  returns: boolean
}

export class Jumps {
  private readonly body: MachineBody
  private readonly contexts: Context[] = []

  constructor(body: MachineBody) {
    this.body = body
  }

  /** Emits code that jumps may leave. */
  within(context: Context, emit: () => void): void {
    this.contexts.push(context)
    emit()
    this.contexts.pop()
  }

  /** A break or a continue. */
  jump(node: Node): void {
    const continues = node.type === 'ContinueStatement'
    const target = this.contexts.findLast((one) => {
      if ((continues ? one.continue : one.break) === undefined) return false
      return node.label === null ? one.block !== true : one.labels.includes(node.label.name)
    })!
    this.leave({ label: (continues ? target.continue : target.break)!, target })
  }

  /** Goes to the label through every finalizer and iterator on the way. */
  leave(exit: Exit): void {
    const { body } = this
    for (let at = this.contexts.length - 1; this.contexts[at] !== exit.target; at--) {
      if (this.pass(this.contexts[at]!, () => exitNumber(this.contexts[at]!.finalizer!, exit))) return
    }
    body.jump(exit.label)
  }

  /** @param text the value, evaluated before anything is left */
  return(text: string): void {
    const { body } = this
    const crosses = this.contexts.some((one) => one.iterator !== undefined || one.finalizer !== undefined)
    const value = crosses ? body.save(text) : text
    for (let at = this.contexts.length - 1; at >= 0; at--) {
      const context = this.contexts[at]!
      const stops = this.pass(context, (final) => {
        body.assign(final.value, value)
        final.returns = true
        return 2
      })
      if (stops) return
    }
    body.return(value)
  }

  /** Leaves one context. @returns true when its finalizer takes over */
  private pass(context: Context, completion: (final: Finalizer) => number): boolean {
    const { body } = this
    const { iterator, finalizer } = context
    if (iterator !== undefined) {
      // Cleared first: a close that throws must not be closed again by the handler of its own loop.
      const closing = body.save(iterator)
      body.assign(iterator, 'undefined')
      body.emit(`$f.close(${closing});`)
    }
    if (finalizer === undefined) return false
    body.assign(finalizer.kind, String(completion(finalizer)))
    body.jump(finalizer.label)
    return true
  }
}

function exitNumber(final: Finalizer, exit: Exit): number {
  const known = final.exits.findIndex((one) => one.label === exit.label)
  return 3 + (known >= 0 ? known : final.exits.push(exit) - 1)
}
