/**
 * The seam between tasks and frames: stands in for sched/park.ts when the rooms are lowered.
 *
 * R1 `step` only names the task that runs next: the one that runs now must reach its park first.
 * R2 A task is one chain of frames: a parked call that nobody awaits is an error.
 */
import { Frame, ForeignAwait, PARKED, resume, running } from './runtime.ts'

/** What the runtime needs to resume a task. Its frames are the task's control state. */
export class TaskHandle {
  static readonly opaque = true
  body: (() => Promise<void>) | null = null
  ended: ((failure: unknown) => void) | null = null
  /** The outermost frame, once the body has parked. */
  root: Frame | null = null
  /** The frame that parked. */
  leaf: Frame | null = null
  /** What snapshots know of it. */
  cell: object | null = null
}

/** Suspends the running task until `step` is called with its handle. */
export function park(_handle: TaskHandle): Promise<void> {
  return PARKED as Promise<void>
}

/** Prepares a task whose body starts at the first `step`. */
export function begin(handle: TaskHandle, body: () => Promise<void>, ended: (failure: unknown) => void): void {
  handle.body = body
  handle.ended = ended
}

/** The task to run next, and whether the loop that runs tasks is on the stack. */
class Token {
  next: TaskHandle | null = null
  looping = false
}

const token: Token = new Token()

/** Lets a parked task run: at once, or as soon as the running one has parked. */
export function step(handle: TaskHandle): void {
  if (token.next !== null) throw new Error('two tasks may not run next')
  token.next = handle
  if (token.looping) return
  token.looping = true
  try {
    for (let next = takeNext(); next !== null; next = takeNext()) runTask(next)
  } finally {
    token.looping = false
  }
}

function takeNext(): TaskHandle | null {
  const { next } = token
  token.next = null
  return next
}

/** Runs a task to its next park or to its end. */
function runTask(handle: TaskHandle): void {
  const outcome = advance(handle)
  if (outcome === null) return
  handle.leaf = null
  handle.root = null
  handle.ended?.(outcome.failure)
}

/** @returns null when the task has parked */
function advance(handle: TaskHandle): { readonly failure: unknown } | null {
  const { frame: outside } = running
  running.inTask = true
  running.frame = null
  running.leaf = null
  running.lost = null
  running.turns = 0
  try {
    const frame = handle.leaf === null ? (handle.body?.() as unknown) : resume(handle.leaf)
    if (!(frame instanceof Frame)) return notLowered(frame)
    if (frame.value instanceof ForeignAwait) return outcomeOf(frame)
    if (running.lost !== null) return unawaited(handle.root ?? frame, [running.lost, running.leaf!])
    const ended = frame === (handle.root ?? frame) && frame.state !== 'active'
    if (!ended) return parkedAt(handle, frame)
    if (frame.state === 'threw' || running.leaf === null) return outcomeOf(frame)
    return unawaited(frame, [running.leaf])
  } catch (failure) {
    return { failure }
  } finally {
    running.inTask = false
    running.frame = outside
  }
}

/** Names the call among those that parked which is not of the task's own chain. */
function unawaited(root: Frame, parked: readonly Frame[]): { readonly failure: unknown } {
  const calls = parked.map(rootOf)
  return {
    failure: new ForeignAwait('a call that nobody awaits parked', calls.find((one) => one !== root) ?? calls[0]!),
  }
}

function rootOf(leaf: Frame): Frame {
  let root = leaf
  while (root.parent !== null) root = root.parent
  return root
}

function outcomeOf(frame: Frame): { readonly failure: unknown } {
  if (frame.state === 'returned') return { failure: null }
  return { failure: frame.value ?? new Error('a task threw nothing') }
}

/** The body of a task is no lowered function. */
function notLowered(result: unknown): { readonly failure: unknown } | null {
  if (result === undefined) return { failure: null }
  return { failure: new Error('the body of a task was not lowered: name its file to the lowering hook') }
}

function parkedAt(handle: TaskHandle, stopped: Frame): { readonly failure: unknown } | null {
  const { leaf } = running
  if (leaf === null) {
    return {
      failure: new ForeignAwait('it waits for a call that parked while nobody awaits it', handle.root ?? stopped),
    }
  }
  const root = rootOf(leaf)
  if (handle.root !== null && handle.root !== root) return unawaited(handle.root, [leaf])
  handle.root = root
  handle.leaf = leaf
  return null
}
