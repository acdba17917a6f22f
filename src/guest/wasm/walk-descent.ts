/**
 * One table from its root to a leaf, by generated code (`PageTableWalker.walk`): a function of the walk module.
 *
 * R1 PTEs of a table at guest physical addresses are found through `frameOf`; nothing is read beyond the frames.
 * R2 It leaves the leaf's level, G and the address of its PTE in the words of the area for whoever makes the entry.
 */
import { PAGE_SIZE } from '../../base/index.ts'
import { Access, PTE_G, PTE_RWX } from '../../hardware/index.ts'
import type { Code } from './code.ts'
import { WalkWord } from './layout.ts'
import { Mem, Op, Type } from './opcodes.ts'
import { AREA, NESTED, type WalkFunctions, type WalkPlaces, X4 } from './walk-abi.ts'
import { WalkChecks } from './walk-checks.ts'

const PPN_SHIFT = 10

/** (area, root, levels, page, access, flags) -> page number that the table leads to, or -1. `PageTableWalker.walk`. */
export class Descent {
  private readonly code: Code
  private readonly frameOf: number
  private readonly places: WalkPlaces
  private readonly table = 1
  private readonly levels = 2
  private readonly page = 3
  private readonly access = 4
  private readonly flags = 5
  private readonly pte: number
  private readonly at: number
  private readonly within: number
  private readonly level: number
  private readonly host: number
  private readonly global: number
  private readonly checks: WalkChecks
  private giveUp = 0

  constructor(code: Code, { frameOf }: WalkFunctions, places: WalkPlaces) {
    this.code = code
    this.frameOf = frameOf
    this.places = places
    this.pte = code.local(Type.i64)
    this.at = code.local(Type.i64)
    this.within = code.local(Type.i64)
    this.level = code.local(Type.i32)
    this.host = code.local(Type.i32)
    this.global = code.local(Type.i32)
    const { pte, level, access, flags } = this
    this.checks = new WalkChecks(code, { pte, level, access, flags })
  }

  write(): void {
    const { code } = this
    this.giveUp = code.block()
    this.checkPage()
    code.get(this.levels)
    code.set(this.level)
    const again = code.loop()
    this.load()
    this.checks.entry(this.giveUp)
    this.step()
    this.checks.bits(PTE_RWX)
    code.op(Op.i64Eqz)
    code.if()
    this.checks.pointer(this.giveUp)
    code.br(again)
    code.end()
    code.end()
    this.leaf()
    code.return()
    code.end()
    code.i64(-1)
  }

  /** Pushes nine times a level, as a shift count. */
  private shiftOf(level: number): void {
    this.code.get(level)
    this.code.i32(9)
    this.code.op(Op.i32Mul)
    this.code.op(Op.i64ExtendI32U)
  }

  /** Is the page number one that the table translates? */
  private checkPage(): void {
    const { code, page, levels, giveUp } = this
    this.checks.flag(X4)
    code.if()
    code.get(page)
    this.shiftOf(levels)
    code.i64(2)
    code.op(Op.i64Add)
    code.op(Op.i64ShrU)
    code.i64(0)
    code.op(Op.i64Ne)
    code.brIf(giveUp)
    code.else()
    // The bits above must repeat the top bit of the page number, of 52 bits here.
    const push = (): void => {
      code.get(page)
      code.i64(12)
      code.op(Op.i64Shl)
    }
    const unused = (): void => {
      code.i64(52)
      this.shiftOf(levels)
      code.op(Op.i64Sub)
    }
    push()
    unused()
    code.op(Op.i64Shl)
    unused()
    code.op(Op.i64ShrS)
    push()
    code.op(Op.i64Ne)
    code.brIf(giveUp)
    code.end()
  }

  /** Goes one level down and loads the PTE there. */
  private load(): void {
    const { code, level, at, host, giveUp } = this
    code.get(this.table)
    code.i64(12)
    code.op(Op.i64Shl)
    code.get(this.page)
    code.get(level)
    code.i32(1)
    code.op(Op.i32Sub)
    code.set(level)
    this.shiftOf(level)
    code.op(Op.i64ShrU)
    // The root of an x4 format has four pages.
    code.i64(2047)
    code.i64(511)
    this.checks.flag(X4)
    code.i32(0)
    code.op(Op.i32Ne)
    code.get(level)
    code.get(this.levels)
    code.i32(1)
    code.op(Op.i32Sub)
    code.op(Op.i32Eq)
    code.op(Op.i32And)
    code.op(Op.select)
    code.op(Op.i64And)
    code.i64(3)
    code.op(Op.i64Shl)
    code.op(Op.i64Add)
    code.set(at)
    this.checks.flag(NESTED)
    code.if()
    code.get(AREA)
    code.get(at)
    code.i64(12)
    code.op(Op.i64ShrU)
    code.i32(Access.read)
    code.call(this.frameOf)
    code.tee(host)
    code.i32(0)
    code.op(Op.i32LtS)
    code.brIf(giveUp)
    code.get(host)
    code.i32(12)
    code.op(Op.i32Shl)
    code.get(at)
    code.op(Op.i32WrapI64)
    code.i32(0xfff)
    code.op(Op.i32And)
    code.op(Op.i32Or)
    code.set(host)
    code.else()
    code.get(at)
    code.i64(this.places.bytes - 8)
    code.op(Op.i64GtU)
    code.brIf(giveUp)
    code.get(at)
    code.op(Op.i32WrapI64)
    code.set(host)
    code.end()
    code.get(host)
    code.mem(Mem.i64Load)
    code.set(this.pte)
  }

  /** To the table or page that the PTE names. */
  private step(): void {
    const { code } = this
    code.get(this.global)
    this.checks.bits(PTE_G)
    code.op(Op.i32WrapI64)
    code.op(Op.i32Or)
    code.set(this.global)
    code.get(this.pte)
    code.i64(PPN_SHIFT)
    code.op(Op.i64ShrU)
    code.set(this.table)
  }

  private leaf(): void {
    const { code, giveUp, within } = this
    this.checks.rights(giveUp)
    code.i64(1)
    this.shiftOf(this.level)
    code.op(Op.i64Shl)
    code.i64(1)
    code.op(Op.i64Sub)
    code.tee(within)
    code.get(this.table)
    code.op(Op.i64And)
    code.i64(0)
    code.op(Op.i64Ne)
    code.brIf(giveUp)
    code.get(this.table)
    code.get(this.page)
    code.get(within)
    code.op(Op.i64And)
    code.op(Op.i64Add)
    code.set(this.table)
    // Tables of the host name frames that exist; nothing here may trap should one not.
    this.checks.flag(NESTED)
    code.op(Op.i32Eqz)
    code.get(this.table)
    code.i64(this.places.bytes / PAGE_SIZE)
    code.op(Op.i64GeU)
    code.op(Op.i32And)
    code.brIf(giveUp)
    const result = (offset: number, local: number): void => {
      code.get(AREA)
      code.get(local)
      code.mem(Mem.i32Store, offset)
    }
    result(WalkWord.leafLevel, this.level)
    result(WalkWord.global, this.global)
    result(WalkWord.pteAddress, this.host)
    code.get(this.table)
  }
}
