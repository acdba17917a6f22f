/**
 * The reference interpreter below the translator: it also ends the accesses of translated code that missed.
 *
 * R1 A miss is translated once: the exception or the exit that it comes to is made from what the translation left behind.
 */
import type { AccessSize, Decoded } from '../isa/index.ts'
import { type DecodeCache, type ExitReason, type Hart, Interpreter } from '../hart/index.ts'
import { Flow } from '../hart/flow.ts'

export class TierBelow extends Interpreter {
  constructor(hart: Hart, cache: DecodeCache) {
    super(hart, cache)
  }

  /**
   * Ends an aligned load or store of which the translation just failed.
   * @param decoded the instruction at pc
   * @returns the reason to leave with, or null after a trap
   */
  finishMiss(decoded: Decoded, size: AccessSize, signed: boolean, write: boolean): ExitReason | null {
    this.now = decoded
    this.flow = Flow.NEXT
    const address = BigInt.asUintN(64, this.rs1() + this.imm())
    this.miss(write ? 'write' : 'read', address, size, 0)
    if (this.flow !== Flow.EXIT) return null
    if (!write) this.hart.pending.signed = signed
    return this.exit
  }
}
