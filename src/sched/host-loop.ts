/**
 * The event loop that Umbra runs in: Node's, or a browser's.
 *
 * A kernel runs in bursts: one burst is one macrotask and all its microtasks. Between bursts signals, timers and
 * the terminal of the surrounding program get their turn. A burst that drains its microtasks while a task still
 * holds the token means that the task awaits something that the scheduler does not own.
 *
 * R1 Real time decides only when to breathe, never what runs next.
 */

interface HostGlobals {
  readonly process?: { readonly nextTick?: (run: () => void) => void }
  readonly setImmediate?: (run: () => void) => unknown
  readonly setTimeout: (run: () => void, milliseconds: number) => unknown
  readonly queueMicrotask: (run: () => void) => void
  readonly performance: { now(): number }
}

const host = globalThis as unknown as HostGlobals

/** Runs `burst` as a macrotask of its own. */
export function nextTurn(burst: () => void): void {
  if (host.setImmediate !== undefined) host.setImmediate(burst)
  else host.setTimeout(burst, 0)
}

/**
 * Runs `drained` when no microtask is left. Called from within a macrotask.
 *
 * Node runs ticks that were asked for inside a microtask exactly when its microtasks have drained; elsewhere the
 * next timer stands in, which lets a foreign await of less than one turn pass unseen.
 */
export function afterMicrotasks(drained: () => void): void {
  const nextTick = host.process?.nextTick
  if (nextTick === undefined) host.setTimeout(drained, 0)
  else host.queueMicrotask(() => nextTick(drained))
}

/** Real milliseconds, for pacing bursts. */
export function realMilliseconds(): number {
  return host.performance.now()
}
