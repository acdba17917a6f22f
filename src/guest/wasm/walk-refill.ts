/**
 * The row of the fast TLB for an address, from an entry of the TLB or from a walk: the exported function of the walk module
 * (`Vcpu.translate`, `FastTlb.fill`).
 *
 * R1 Whatever is given up on the way is left to `fill`, which is JavaScript.
 * R2 There is no row that permits stores to a frame in which somebody wants to know of them.
 */
import { Access, TLB_GLOBAL, TlbWord } from '../../hardware/index.ts'
import type { Code } from './code.ts'
import { FAST_READ, FAST_ROWS, FAST_ROW_BYTES, FAST_TLB_BYTES, ROW_ADDEND, ROW_TAG, WalkWord, Word } from './layout.ts'
import { Mem, Op, Type } from './opcodes.ts'
import { AREA, NESTED, type WalkFunctions, type WalkPlaces, pushWord } from './walk-abi.ts'

const ROW_MASK: number = (FAST_ROWS - 1) * FAST_ROW_BYTES
const PAGE_MASK = -4096

/** (area, address, access) -> 1 if there is a row now, else what `fill` answers. */
export class Refill {
  private readonly code: Code
  private readonly functions: WalkFunctions
  private readonly places: WalkPlaces
  private readonly address = 1
  private readonly access = 2
  private readonly page: number
  private readonly frame: number
  private readonly pfn: number
  private readonly at: number
  private readonly asid: number
  private readonly shifts: number
  private giveUp = 0

  constructor(code: Code, functions: WalkFunctions, places: WalkPlaces) {
    this.code = code
    this.functions = functions
    this.places = places
    this.page = code.local(Type.i64)
    this.frame = code.local(Type.i64)
    this.pfn = code.local(Type.i32)
    this.at = code.local(Type.i32)
    this.asid = code.local(Type.i32)
    this.shifts = code.local(Type.i32)
  }

  write(): void {
    const { code } = this
    code.get(this.address)
    code.i64(12)
    code.op(Op.i64ShrU)
    code.set(this.page)
    this.giveUp = code.block()
    pushWord(code, WalkWord.stages)
    code.op(Op.i32Eqz)
    code.brIf(this.giveUp)
    code.get(AREA)
    code.get(this.page)
    pushWord(code, WalkWord.asid)
    this.context()
    code.get(this.access)
    code.call(this.functions.lookup)
    code.tee(this.at)
    code.if()
    code.get(this.at)
    code.mem(Mem.i32Load, TlbWord.pfn)
    code.set(this.pfn)
    code.else()
    this.walk()
    code.end()
    this.checkStores()
    this.row()
    code.i32(1)
    code.return()
    code.end()
    code.get(this.page)
    code.op(Op.f64ConvertI64U)
    code.get(this.access)
    code.call(this.functions.fill)
  }

  /** Pushes the context word of the access. */
  private context(): void {
    const { code } = this
    code.get(AREA)
    code.get(this.access)
    code.i32(2)
    code.op(Op.i32Shl)
    code.op(Op.i32Add)
    code.mem(Mem.i32Load, WalkWord.contexts)
  }

  private walk(): void {
    const { code, functions, giveUp } = this
    code.get(AREA)
    code.get(AREA)
    code.mem(Mem.i64Load, WalkWord.root)
    pushWord(code, WalkWord.levels)
    code.get(this.page)
    code.get(this.access)
    pushWord(code, WalkWord.flags)
    code.i32(NESTED)
    code.i32(0)
    this.isNested()
    code.op(Op.select)
    code.op(Op.i32Or)
    code.call(functions.descend)
    code.tee(this.frame)
    code.i64(0)
    code.op(Op.i64LtS)
    code.brIf(giveUp)
    code.i32(TLB_GLOBAL)
    pushWord(code, WalkWord.asid)
    pushWord(code, WalkWord.global)
    code.op(Op.select)
    code.set(this.asid)
    this.isNested()
    code.if()
    pushWord(code, WalkWord.leafLevel)
    code.i32(9)
    code.op(Op.i32Mul)
    code.set(this.shifts)
    code.get(AREA)
    code.get(this.frame)
    code.get(this.access)
    code.call(functions.frameOf)
    code.tee(this.pfn)
    code.i32(0)
    code.op(Op.i32LtS)
    code.brIf(giveUp)
    code.else()
    code.get(this.frame)
    code.op(Op.i32WrapI64)
    code.set(this.pfn)
    code.end()
    code.get(AREA)
    code.get(this.page)
    code.get(this.asid)
    this.context()
    code.get(this.access)
    code.get(this.pfn)
    code.get(this.frame)
    code.get(this.shifts)
    code.call(functions.insert)
    code.op(Op.i32Eqz)
    code.brIf(giveUp)
  }

  private isNested(): void {
    pushWord(this.code, WalkWord.stages)
    this.code.i32(2)
    this.code.op(Op.i32Eq)
  }

  /** Gives up on stores that somebody wants to know of. */
  private checkStores(): void {
    const { code, giveUp } = this
    code.get(this.access)
    code.i32(Access.write)
    code.op(Op.i32Eq)
    code.if()
    pushWord(code, WalkWord.reserved)
    code.get(this.pfn)
    code.mem(Mem.i32Load8U, this.places.watched)
    code.op(Op.i32Or)
    code.brIf(giveUp)
    code.end()
  }

  /** `FastTlb.fill`. */
  private row(): void {
    const { code, at, address, access } = this
    code.get(AREA)
    code.get(address)
    code.op(Op.i32WrapI64)
    code.i32(8)
    code.op(Op.i32ShrU)
    code.i32(ROW_MASK)
    code.op(Op.i32And)
    code.op(Op.i32Add)
    code.get(access)
    code.i32(FAST_TLB_BYTES)
    code.op(Op.i32Mul)
    code.op(Op.i32Add)
    code.tee(at)
    code.get(address)
    code.i64(PAGE_MASK)
    code.op(Op.i64And)
    code.get(AREA)
    code.get(access)
    code.i32(3)
    code.op(Op.i32Shl)
    code.op(Op.i32Add)
    code.mem(Mem.i64Load, Word.contextRead)
    code.op(Op.i64Or)
    code.mem(Mem.i64Store, FAST_READ + ROW_TAG)
    code.get(at)
    code.get(this.pfn)
    code.i32(12)
    code.op(Op.i32Shl)
    code.get(address)
    code.op(Op.i32WrapI64)
    code.i32(PAGE_MASK)
    code.op(Op.i32And)
    code.op(Op.i32Sub)
    code.mem(Mem.i32Store, FAST_READ + ROW_ADDEND)
  }
}
