/** Exit codes of every command. */
export const ExitCode = {
  /** The run ended and every invariant held. */
  consistent: 0,
  /** An invariant was violated. */
  violation: 1,
  /** Wrong usage, or input that cannot be run. */
  badInput: 2,
  /** A budget ran out (instructions, host memory), or the run was interrupted; nothing was violated until then. */
  budget: 3,
  /** A defect of Umbra itself, or a replay that does not repeat its recording. */
  internal: 4,
} as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** What help says about them. */
export const EXIT_CODE_TEXT: readonly (readonly [ExitCode, string])[] = [
  [ExitCode.consistent, 'consistent: the run ended and every invariant held'],
  [ExitCode.violation, 'an invariant was violated; it is named, with the page and its last events'],
  [ExitCode.badInput, 'wrong usage or bad input'],
  [ExitCode.budget, 'a budget ran out (instructions, host memory) or Ctrl-C; nothing was violated until then'],
  [ExitCode.internal, 'internal error, or a replay that diverged'],
]
