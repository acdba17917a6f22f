/**
 * The runtime of lowered functions: a call runs at once to its first suspension and returns its frame, as a promise
 * would be returned; a resumed leaf runs, and what ends hands its value to the frame that waits for it.
 *
 * R1 Inside a task a frame waits for frames and for `PARKED` only; anything else with `then` is an error with a place.
 * R2 Outside of all tasks a frame is as good as a promise, in both directions: tests and `Scheduler.run` need it.
 * R3 Nothing here knows of tasks: park.ts says which frame is resumed when.
 */
import type { Place, Site } from '../lower/machine.ts'
import { ArrayCursor, KeyedCursor } from './cursors.ts'
import type { LoweredModule } from './modules.ts'

// Lowered text has one import.
export { $accessor, $closure } from './closures.ts'
export { $array, $module } from './modules.ts'

/** What a park returns; awaiting it suspends the chain of frames. */
export const PARKED: object = Object.freeze({ parked: true })

/** A lowered function waits for something that no frame can wait for. */
export class ForeignAwait extends Error {
  constructor(what: string, frame: Frame) {
    super(`${what} at ${placeOf(frame)}`)
    this.name = 'ForeignAwait'
  }
}

/** Copies all locals of a call into a list, or out of one; without one, returns a new one. */
export type AccessLocals = (values: unknown[] | null, write: boolean) => unknown[] | undefined

type FrameState = 'active' | 'returned' | 'threw'

/** What runs now: one machine at a time, and the last one that parked. */
class Running {
  /** A task is being stepped. */
  inTask = false
  leaf: Frame | null = null
  /** The frame whose machine runs; its callers, as far as they have not parked, are its `caller`s. */
  frame: Frame | null = null
  /** A frame that parked in the same step before `leaf`: nobody awaits one of the two. */
  lost: Frame | null = null
  /** Turns of counted loops in this step. */
  turns = 0
}

/** One per process, as the token is: a second one would let two tasks run. */
export const running: Running = new Running()

export class Frame {
  readonly module: LoweredModule
  readonly site: Site
  /** Reads or writes the locals, in the order of the site's names. */
  private readonly access: AccessLocals
  /** What snapshots know of it, and whether it ran since they looked. */
  cell: object | null = null
  hasRun = false
  /** The case that runs next; below 0 it only waits for what it will return. */
  pc = 0
  state: FrameState = 'active'
  /** What it returned or threw. */
  value: unknown = undefined
  /** The frame that waits for this one. */
  parent: Frame | null = null
  /** The frame that called this one, while it has not parked. Not part of the state. */
  caller: Frame | null = null
  private readonly machine: (frame: Frame) => void
  private sent: unknown = undefined
  private sentFailure = false
  private exception: unknown = undefined
  private settled: (() => void)[] | null = null

  constructor(module: LoweredModule, site: Site, machine: (frame: Frame) => void, access: AccessLocals) {
    this.module = module
    this.site = site
    this.machine = machine
    this.access = access
  }

  /** Values of the locals, in the order of the site's names. */
  locals(): unknown[] {
    return this.access(null, false)!
  }

  readLocals(into: unknown[]): void {
    this.access(into, false)
  }

  setLocals(values: readonly unknown[]): void {
    this.access(values as unknown[], true)
  }

  /** For the machine: should it return and be resumed at `pc`? */
  wait(awaited: unknown, pc: number): boolean {
    this.pc = pc
    if (awaited instanceof Frame) {
      if (awaited.state !== 'active') {
        this.send(awaited.value, awaited.state === 'threw')
        return false
      }
      if (awaited.parent !== null) throw new ForeignAwait('a call is awaited twice at the same time', this)
      awaited.parent = this
      return true
    }
    if (awaited === PARKED) {
      running.lost ??= running.leaf
      running.leaf = this
      return true
    }
    if (isThenable(awaited)) {
      if (running.inTask) throw new ForeignAwait('await of a promise that the scheduler does not own', this)
      awaited.then(
        (value) => this.continue(value, false),
        (failure) => this.continue(failure, true),
      )
      return true
    }
    this.send(awaited, false)
    return false
  }

  /** For the machine: the value that it waited for. */
  take(): unknown {
    const { sent } = this
    this.sent = undefined
    if (!this.sentFailure) return sent
    this.sentFailure = false
    throw sent
  }

  /** For the machine: the exception that its handler has caught. */
  caught(): unknown {
    const { exception } = this
    this.exception = undefined
    return exception
  }

  /** For the machine: it returns; a frame that it returns is waited for. */
  ret(value: unknown, pc: number): void {
    if (this.wait(value, pc)) return
    this.adopt()
  }

  /** For the machine: an iterator that a snapshot could see. */
  iterate(values: Iterable<unknown>): Iterator<unknown> {
    if (Array.isArray(values) || ArrayBuffer.isView(values)) return new ArrayCursor(values as unknown as unknown[])
    if (values instanceof Map || values instanceof Set) return new KeyedCursor(values)
    const iterator = values[Symbol.iterator]()
    if ((iterator as unknown as Record<symbol, unknown>)[Symbol.toStringTag] !== undefined) {
      throw new ForeignAwait('for ... of over a native iterator with an await in its body: copy it to an array', this)
    }
    return iterator
  }

  /** For the machine: the names that for ... in visits. */
  keysOf(object: object): Iterator<unknown> {
    const keys: string[] = []
    for (const key in object) keys.push(key)
    return new ArrayCursor(keys)
  }

  /** For the machine: a loop is left early. */
  close(iterator: Iterator<unknown> | undefined): void {
    iterator?.return?.()
  }

  /** For the machine: a loop is left by an exception, which wins over one of closing. */
  abandon(iterator: Iterator<unknown> | undefined, failure: unknown): never {
    try {
      iterator?.return?.()
    } catch {
      throw failure
    }
    throw failure
  }

  /** Hands over what the next `take` returns or throws. */
  send(value: unknown, failed: boolean): void {
    this.sent = value
    this.sentFailure = failed
  }

  /** Runs until it ends or waits. */
  run(): void {
    const { frame } = running
    this.caller = frame
    running.frame = this
    this.hasRun = true
    this.proceed()
    running.frame = frame
  }

  private proceed(): void {
    while (this.state === 'active') {
      if (this.pc < 0) return this.adopt()
      try {
        return this.machine(this)
      } catch (failure) {
        const handler = this.handlerOf(this.pc)
        if (handler === null) return this.end('threw', failure)
        this.exception = failure
        this.pc = handler
      }
    }
  }

  /** For callers outside of all tasks; inside one only lowered code may wait for a lowered call. */
  // oxlint-disable-next-line unicorn/no-thenable -- it stands in for the promise that the native build returns
  then(resolve: (value: unknown) => void, reject: (failure: unknown) => void): void {
    if (running.inTask) {
      reject(new ForeignAwait('a call that was lowered is awaited by code that was not', this))
      return
    }
    const settle = (): void => (this.state === 'threw' ? reject(this.value) : resolve(this.value))
    if (this.state === 'active') (this.settled ??= []).push(settle)
    else settle()
  }

  private adopt(): void {
    try {
      this.end('returned', this.take())
    } catch (failure) {
      this.end('threw', failure)
    }
  }

  private end(state: FrameState, value: unknown): void {
    this.state = state
    this.value = value
    if (this.settled !== null) for (const settle of this.settled) settle()
  }

  private continue(value: unknown, failed: boolean): void {
    this.send(value, failed)
    resume(this)
  }

  private handlerOf(pc: number): number | null {
    return this.site.regions.find(([from, to]) => from <= pc && pc < to)?.[2] ?? null
  }
}

/** Runs a frame that may go on, then every frame that waited for it. @returns the frame that stopped the chain */
export function resume(leaf: Frame): Frame {
  let frame = leaf
  frame.run()
  while (frame.state !== 'active' && frame.parent !== null) {
    const { parent } = frame
    frame.parent = null
    parent.send(frame.value, frame.state === 'threw')
    parent.run()
    frame = parent
  }
  return frame
}

/** Where a frame stands: at its `await` once it waits. */
export function placeIn({ site, pc }: Frame): Place {
  return pc < 0 ? site.returns[-1 - pc]! : site.places[pc]!
}

/** File, line and column where the frame stands, and its function. */
export function placeOf(frame: Frame): string {
  const [line, column] = placeIn(frame)
  return `${frame.module.file}:${line}:${column + 1} (${frame.site.name})`
}

/** For lowered functions: makes their frame and runs it to its first suspension. */
export function $frame(
  module: LoweredModule,
  site: number,
  machine: (frame: Frame) => void,
  access: AccessLocals,
): Frame {
  const frame = new Frame(module, module.sites[site]!, machine, access)
  frame.run()
  return frame
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return value !== null && typeof value === 'object' && typeof (value as { then?: unknown }).then === 'function'
}
