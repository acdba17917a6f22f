/**
 * How translated functions are called and what they answer.
 *
 * `unit(hart, budget, entry, pc) -> ExitCode`: the start of the hart's area, instructions it may retire, the place to
 * enter at (1, 2, ...), and the address of that place. The dispatcher goes on with the next unit as long as the code map
 * knows it.
 *
 * R1 On every return the hart's area holds all registers, pc, and in `Word.budget` what is left, exactly.
 * R2 A unit is never left by a WebAssembly trap.
 *
 * A row of the code map, direct mapped by the host address of an entry:
 *
 * | offset | i32 |
 * |---|---|
 * | 0 | host address of the entry; 0 or -1 for none, but in the first row, where 0 is an address |
 * | 4 | slot in the table of functions, shifted left by `SLOT_SHIFT`, and entry |
 */

/** Parameters of a unit, as locals. */
export const HART = 0
export const BUDGET = 1
export const ENTRY = 2
export const PC = 3
export const UNIT_PARAMETERS = 4

export const ExitCode = {
  /** The unit is left for the code at pc. Units answer this to the dispatcher only. */
  NEXT: 4,
  /** Nothing is known to go on with at pc. */
  UNKNOWN: 0,
  /** The next stretch of code is longer than what is left of the budget, or the hart is not fit for it. */
  BUDGET: 1,
  /** The instruction at pc is for the tier below. */
  STEP: 2,
  /** The interpreter goes on: with an access that the fast TLB does not answer, or a number that is not ordinary. */
  BELOW: 3,
} as const

export const MAP_ROWS = 65536
export const MAP_ROW_SHIFT = 3
export const MAP_BYTES: number = MAP_ROWS << MAP_ROW_SHIFT
export const MAP_HOST = 0
export const MAP_TARGET = 4
export const SLOT_SHIFT = 12

/** Offset in the map of the row of a host address. */
export const mapRowOffset = (host: number): number => ((host >>> 1) & (MAP_ROWS - 1)) << MAP_ROW_SHIFT
