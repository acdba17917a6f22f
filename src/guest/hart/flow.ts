/** How an instruction ended, for the interpreter's loop. Bit 0 of the first four: pc is set. */
export const Flow = {
  /** Retired; goes on behind it. */
  NEXT: 0,
  /** Retired; pc is set. */
  JUMP: 1,
  /** As NEXT and JUMP, and interrupts or translations may have changed. */
  NEXT_SYNC: 2,
  JUMP_SYNC: 3,
  /** Did not retire; pc is set. */
  TRAP: 4,
  /** `exit` says why; pc is exact. */
  EXIT: 5,
  /** As NEXT, then EXIT. */
  NEXT_EXIT: 6,
} as const
