/** What closures of lowered code hold: each function or class that a value may hold carries a tag that says so. */
import type { LoweredModule } from './modules.ts'

/** What a closure holds, as the pass saw it. */
export interface ClosureTag {
  readonly module: LoweredModule
  readonly number: number
  readonly captured: (() => unknown[]) | null
  readonly restore: ((values: unknown[]) => void) | null
}

/** For functions and classes that a value may hold: names what they hold themselves. */
export function $closure<F extends object>(
  module: LoweredModule,
  number: number,
  closure: F,
  captured: ClosureTag['captured'],
  restore: ClosureTag['restore'],
): F {
  const tag: ClosureTag = { module, number, captured, restore }
  ;(closure as { [CLOSURE]?: ClosureTag })[CLOSURE] = tag
  return closure
}

/** For accessors of literals: tags one, and returns the literal. */
export function $accessor<T extends object>(
  literal: T,
  name: string,
  kind: 'get' | 'set',
  tag: (accessor: object) => object,
): T {
  tag(Object.getOwnPropertyDescriptor(literal, name)![kind]!)
  return literal
}

/** What a function or class of lowered code holds; null for methods of classes, and for what was not lowered. */
export function tagOf(closure: object): ClosureTag | null {
  return Object.hasOwn(closure, CLOSURE) ? (closure as { [CLOSURE]?: ClosureTag })[CLOSURE]! : null
}

/** Where a tagged function keeps its tag. */
const CLOSURE: unique symbol = Symbol('closure')
