/**
 * What a walk by generated code asks of each PTE on its way (`PageTableWalker.walk`).
 *
 * R1 A PTE that would fault, that has reserved bits, or that would have to be given A or D, is given up.
 */
import {
  Access,
  PTE_A,
  PTE_D,
  PTE_POINTER_RESERVED,
  PTE_R,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
  Walk,
} from '../../hardware/index.ts'
import type { Code } from './code.ts'
import { Op } from './opcodes.ts'
import { X4 } from './walk-abi.ts'

/** PTE bits above the page number. */
const HIGH_SHIFT = 54

/** Locals of the function that the checks are written into. */
export interface CheckedLocals {
  /** i64. */
  readonly pte: number
  /** i32: the PTE's level, the access, bits of `Walk` and of walk-abi.ts. */
  readonly level: number
  readonly access: number
  readonly flags: number
}

export class WalkChecks {
  private readonly code: Code
  private readonly locals: CheckedLocals

  constructor(code: Code, locals: CheckedLocals) {
    this.code = code
    this.locals = locals
  }

  /** Pushes some bits of the PTE. */
  bits(mask: number): void {
    this.code.get(this.locals.pte)
    this.code.i64(mask)
    this.code.op(Op.i64And)
  }

  /** Pushes some of the flags. */
  flag(mask: number): void {
    this.code.get(this.locals.flags)
    this.code.i32(mask)
    this.code.op(Op.i32And)
  }

  /** What holds for pointers and leaves. @param giveUp label */
  entry(giveUp: number): void {
    const { code } = this
    this.bits(PTE_V)
    code.op(Op.i64Eqz)
    code.brIf(giveUp)
    this.bits(PTE_R | PTE_W)
    code.i64(PTE_W)
    code.op(Op.i64Eq)
    code.brIf(giveUp)
    code.get(this.locals.pte)
    code.i64(HIGH_SHIFT)
    code.op(Op.i64ShrU)
    code.i64(0)
    code.op(Op.i64Ne)
    code.brIf(giveUp)
  }

  /** What holds for pointers. @param giveUp label */
  pointer(giveUp: number): void {
    const { code } = this
    this.bits(PTE_POINTER_RESERVED)
    code.i64(0)
    code.op(Op.i64Ne)
    code.brIf(giveUp)
    code.get(this.locals.level)
    code.op(Op.i32Eqz)
    code.brIf(giveUp)
  }

  /** A leaf must allow the access as it stands: with A, for stores with D. @param giveUp label */
  rights(giveUp: number): void {
    const { code } = this
    this.flag(Walk.user | X4)
    code.if()
    this.bits(PTE_U)
    code.op(Op.i64Eqz)
    code.brIf(giveUp)
    code.else()
    this.bits(PTE_U)
    code.op(Op.i32WrapI64)
    code.if()
    this.flag(Walk.sum)
    code.op(Op.i32Eqz)
    code.brIf(giveUp)
    code.get(this.locals.access)
    code.i32(Access.execute)
    code.op(Op.i32Eq)
    code.brIf(giveUp)
    code.end()
    code.end()
    // What is still needed, by access; with MXR a page that may be executed may be read.
    const wanted: readonly (readonly [Access, number])[] = [
      [Access.write, PTE_W | PTE_A | PTE_D],
      [Access.execute, PTE_X | PTE_A],
      [Access.read, PTE_R | PTE_A],
    ]
    for (const [access, mask] of wanted) {
      code.get(this.locals.access)
      code.i32(access)
      code.op(Op.i32Eq)
      code.if()
      this.bits(mask)
      code.i64(mask)
      code.op(Op.i64Ne)
      if (access === Access.read) {
        this.bits(PTE_X | PTE_A)
        code.i64(PTE_X | PTE_A)
        code.op(Op.i64Ne)
        this.flag(Walk.mxr)
        code.op(Op.i32Eqz)
        code.op(Op.i32Or)
        code.op(Op.i32And)
      }
      code.brIf(giveUp)
      code.end()
    }
  }
}
