/**
 * The two kinds of failure.
 *
 * R1 A user's or a caller's mistake is a `KernelError` with an errno-style code and one clear line.
 * R2 A broken internal rule is a `KernelBug`; it is never caught on the way up, except by whoever reports it.
 */

export type Errno =
  | 'EAGAIN'
  | 'EBUSY'
  | 'EEXIST'
  | 'EFAULT'
  | 'EINTR'
  | 'EINVAL'
  | 'EIO'
  | 'ENODEV'
  | 'ENOENT'
  | 'ENOEXEC'
  | 'ENOMEM'
  | 'ENOSPC'
  | 'EOPNOTSUPP'
  | 'EPERM'

/** A mistake of the caller, or a resource that ran out. */
export class KernelError extends Error {
  readonly code: Errno

  constructor(code: Errno, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'KernelError'
    this.code = code
  }
}

/** The invariants of docs/architecture.md, by id. */
export type Invariant =
  | 'I1'
  | 'I2'
  | 'I3'
  | 'I4'
  | 'I5'
  | 'I6'
  | 'I7'
  | 'I8'
  | 'I9'
  | 'I10'
  | 'I11'
  | 'I12'
  | 'I13'
  | 'I14'
  | 'I15'

/** A broken rule: a violated invariant, or an assertion of Umbra's own. */
export class KernelBug extends Error {
  /** The invariant that this breaks, where it is one of the listed ones. */
  readonly invariant: Invariant | undefined

  constructor(message: string, invariant?: Invariant, options?: ErrorOptions) {
    super(invariant === undefined ? message : `${invariant}: ${message}`, options)
    this.name = 'KernelBug'
    this.invariant = invariant
  }
}

/** The kernel's BUG_ON, with a message that says what was expected. */
export function bugOn(condition: boolean, message: string, invariant?: Invariant): void {
  if (condition) throw new KernelBug(message, invariant)
}
