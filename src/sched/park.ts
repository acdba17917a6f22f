/**
 * The seam between tasks and the machinery that suspends them: the only code that makes a task's promise.
 *
 * A build that lowers async functions to frames replaces this file and nothing else.
 *
 * R1 park, begin and step know nothing of policies, locks or time.
 */

/** What the runtime needs to resume a task. Never part of the protocol state. */
export class TaskHandle {
  static readonly opaque = true
  resume: (() => void) | null = null
}

/** Suspends the running task until `step` is called with its handle. */
export function park(handle: TaskHandle): Promise<void> {
  return new Promise((resolve) => {
    handle.resume = resolve
  })
}

/**
 * Prepares a task whose body starts at the first `step`.
 * @param ended called once with what the body threw, or with null
 */
export function begin(handle: TaskHandle, body: () => Promise<void>, ended: (failure: unknown) => void): void {
  void park(handle)
    .then(body)
    .then(
      () => ended(null),
      (failure: unknown) => ended(failure ?? new Error('a task threw nothing')),
    )
}

/** Lets a parked task run: it continues as soon as the caller has returned to the microtask queue. */
export function step(handle: TaskHandle): void {
  const resume = handle.resume
  if (resume === null) throw new Error('step of a task that is not parked')
  handle.resume = null
  resume()
}
