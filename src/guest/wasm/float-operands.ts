/**
 * What generators of code tell the writers of floating-point rows: where registers are, and what is known of the hart.
 *
 * R1 An instruction gives up before it has had any effect.
 */
import type { FloatFormat } from '../isa/index.ts'
import type { Code } from './code.ts'

export type FloatSource = 'rs1' | 'rs2' | 'rs3'

/**
 * What an instruction needs, beside sstatus.FS, which must not be Off: a legal rounding mode; the mode nearest-even; a mode
 * that `roundToInteger` has.
 */
export type FloatNeed = 'nothing' | 'legal mode' | 'nearest' | 'any mode'

/** Indexes of functions of float-functions.ts in the module. */
export interface FloatFunctions {
  readonly fma: number
  readonly addToOdd: number
}
export interface ExactnessFunctions {
  readonly productDiffers: number
  readonly sumDiffers: number
}

export interface FloatOperands {
  readonly code: Code
  /** Gives up unless the hart is in a state for what follows. */
  need(need: FloatNeed): void
  /** Gives up if the i32 on the stack is not 0. */
  giveUpIf(): void
  /** Pushes a number of the format; gives up on a single that is not boxed. */
  push(source: FloatSource, format: FloatFormat): void
  /** Pushes all bits as i64. */
  pushBits(source: FloatSource): void
  /** Whether both sources are known to be one register. */
  isSame(source: FloatSource, other: FloatSource): boolean
  /** Whether code before this, on every way here, has made sure that a source is no NaN; `isNow`: from here on it has. */
  isNumber(source: FloatSource, format: FloatFormat): boolean
  isNowNumber(source: FloatSource, format: FloatFormat): void
  /** Takes what is on the stack, of the format, to frd. FS becomes Dirty. @param isNumber it is no NaN */
  set(format: FloatFormat, isNumber: boolean): void
  /** Takes all bits from the stack, as i64, to frd. FS becomes Dirty. */
  setBits(): void
  /** Rounds the f64 on the stack to an integer by the instruction's mode. */
  roundToInteger(): void
  /**
   * Raises INEXACT if it is not known to be raised and `test` pushes an i32 that is not 0; it may give up.
   * @returns without having asked `test` where it is known
   */
  inexactIf(test: (functions: ExactnessFunctions) => void): void
  /** Pushes rs1, and takes rd from the stack, as i64. */
  rs1(): void
  rd(): void
}
