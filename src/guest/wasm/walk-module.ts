/**
 * A TLB miss resolved by generated code: walks the tables that stand in the same memory, writes the TLB's entries, makes the
 * row of the fast TLB (struct kvm_mmu and the walker of the hardware in one; `PageTableWalker`, `Vcpu.translate`).
 *
 * ```
 *  refill(area, address, access)
 *    a TLB entry?  -> row
 *    descend the first table; two-dimensional: each of its PTEs, and what it arrives at, through frameOf
 *    frameOf: a TLB entry for the frame, or else descend the second table and write one
 *    write the entry -> row
 *    anything unusual -> fill, in JavaScript, which begins from the start
 * ```
 *
 * R1 What is written is what JavaScript would have written at that point, in that order: beginning again finds it, and comes
 *    to the same end. So any step may give up at any time.
 * R2 Walks that fault, that would have to set A or D, or that meet reserved bits are given up; so are entries that
 *    would push out others, and rows that permit stores where somebody wants to know of them.
 * R3 Entries are logged; `HartArea.settle` counts them before any JavaScript looks at the TLB.
 */
import { PAGE_SIZE } from '../../base/index.ts'
import {
  Access,
  PTE_A,
  PTE_D,
  PTE_G,
  PTE_POINTER_RESERVED,
  PTE_R,
  PTE_RWX,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
  TLB_GLOBAL,
  TLB_VALID,
  TLB_WORDS_PER_ENTRY,
  TlbWord,
  Walk,
} from '../../hardware/index.ts'
import type { Code } from './code.ts'
import { ModuleBuilder } from './emit.ts'
import {
  FAST_READ,
  FAST_ROWS,
  FAST_ROW_BYTES,
  FAST_TLB_BYTES,
  LOG_ACCESS_SHIFT,
  ROW_ADDEND,
  ROW_TAG,
  WALK_LOG,
  WALK_LOG_RECORDS,
  WalkWord,
  Word,
} from './layout.ts'
import { Mem, Op, Type } from './opcodes.ts'

/** Where things stand in the memory. */
export interface WalkPlaces {
  /** Bytes of all frames. */
  readonly bytes: number
  /** Offset of a byte a frame: not 0 for frames in which stores are watched. */
  readonly watched: number
}

const ENTRY_BYTES: number = TLB_WORDS_PER_ENTRY * 4
const ENTRY_SHIFT = 5
const ROW_MASK: number = (FAST_ROWS - 1) * FAST_ROW_BYTES
const PAGE_MASK = -4096
/** Beyond the bits of `Walk`: the table has an x4 format; its PTEs stand at guest physical addresses. */
const X4 = 64
const NESTED = 128
/** PTE bits above the page number. */
const HIGH_SHIFT = 54
const PPN_SHIFT = 10
const AREA = 0

interface Functions {
  readonly fill: number
  readonly lookup: number
  readonly insert: number
  readonly frameOf: number
  readonly descend: number
}

/** The bytes of the module: imports `memory` and `fill(page, access)`, exports `refill(area, address, access)`. */
export function walkModule(places: WalkPlaces): Uint8Array {
  const m = new ModuleBuilder()
  const { i32, i64, f64 } = Type
  const fill = m.importFunction('umbra', 'fill', m.type([f64, i32], [i32]))
  m.importMemory('umbra', 'memory')
  const lookup = m.function(m.type([i32, i64, i32, i32, i32], [i32]))
  const insert = m.function(m.type([i32, i64, i32, i32, i32, i32, i64, i32], [i32]))
  const frameOf = m.function(m.type([i32, i64, i32], [i32]))
  const descend = m.function(m.type([i32, i64, i32, i64, i32, i32], [i64]))
  m.function(m.type([i32, i64, i32], [i32]), 'refill')
  const functions: Functions = { fill, lookup, insert, frameOf, descend }
  const write = (parameters: number, body: (code: Code) => void): void => {
    const code = m.begin(parameters)
    body(code)
    m.end(code)
  }
  write(5, lookupBody)
  write(8, insertBody)
  write(3, (code) => frameOfBody(code, functions))
  write(6, (code) => new Descent(code, functions, places).write())
  write(3, (code) => new Refill(code, functions, places).write())
  return m.finish()
}

const word = (code: Code, offset: number): void => {
  code.get(AREA)
  code.mem(Mem.i32Load, offset)
}

/** Pushes the first two words of an entry for a page, as one. */
function entryKey(code: Code, page: number): void {
  code.get(page)
  code.i64(TLB_VALID * 2 ** 32)
  code.op(Op.i64Or)
}

/** Sets `at` to the first entry of a page's set, `end` behind its last. */
function findSet(code: Code, page: number, access: number, at: number, end: number): void {
  word(code, WalkWord.tlb)
  word(code, WalkWord.tlbBytes)
  code.get(access)
  code.op(Op.i32Mul)
  code.op(Op.i32Add)
  code.get(page)
  code.op(Op.i32WrapI64)
  word(code, WalkWord.setMask)
  code.op(Op.i32And)
  word(code, WalkWord.wayBytes)
  code.op(Op.i32Mul)
  code.op(Op.i32Add)
  code.tee(at)
  word(code, WalkWord.wayBytes)
  code.op(Op.i32Add)
  code.set(end)
}

/** Pushes whether the entry at `at` is for a page in a context. */
function sameKey(code: Code, page: number, context: number, at: number): void {
  code.get(at)
  code.mem(Mem.i64Load, TlbWord.page)
  entryKey(code, page)
  code.op(Op.i64Eq)
  code.get(at)
  code.mem(Mem.i32Load, TlbWord.context)
  code.get(context)
  code.op(Op.i32Eq)
  code.op(Op.i32And)
}

/** To the next entry, or out of the loop. */
function nextEntry(code: Code, again: number, at: number, end: number): void {
  code.get(at)
  code.i32(ENTRY_BYTES)
  code.op(Op.i32Add)
  code.tee(at)
  code.get(end)
  code.op(Op.i32Ne)
  code.brIf(again)
}

/** (area, page, asid, context, access) -> the entry's address, or 0. */
function lookupBody(code: Code): void {
  const [page, asid, context, access] = [1, 2, 3, 4]
  const at = code.local(Type.i32)
  const end = code.local(Type.i32)
  findSet(code, page, access, at, end)
  const again = code.loop()
  sameKey(code, page, context, at)
  code.if()
  for (const tag of ['asid', 'global'] as const) {
    code.get(at)
    code.mem(Mem.i32Load, TlbWord.asid)
    if (tag === 'asid') code.get(asid)
    else code.i32(TLB_GLOBAL)
    code.op(Op.i32Eq)
    code.if()
    code.get(at)
    code.return()
    code.end()
  }
  code.end()
  nextEntry(code, again, at, end)
  code.end()
  code.i32(0)
}

/** (area, page, asid, context, access, pfn, extra, shifts) -> whether an entry was written. `Tlb.fill`, for a page without one. */
function insertBody(code: Code): void {
  const [page, asid, context, access, pfn, extra, shifts] = [1, 2, 3, 4, 5, 6, 7]
  const at = code.local(Type.i32)
  const end = code.local(Type.i32)
  const free = code.local(Type.i32)
  const log = code.local(Type.i32)
  const no = code.block()
  word(code, WalkWord.logged)
  code.i32(WALK_LOG_RECORDS)
  code.op(Op.i32GeU)
  code.brIf(no)
  findSet(code, page, access, at, end)
  const again = code.loop()
  // A global entry ousts those of the page in all address spaces.
  code.get(asid)
  code.i32(TLB_GLOBAL)
  code.op(Op.i32Eq)
  sameKey(code, page, context, at)
  code.op(Op.i32And)
  code.brIf(no)
  code.get(free)
  code.get(at)
  code.mem(Mem.i32Load, TlbWord.pageHigh)
  code.op(Op.i32Or)
  code.op(Op.i32Eqz)
  code.if()
  code.get(at)
  code.set(free)
  code.end()
  nextEntry(code, again, at, end)
  code.end()
  code.get(free)
  code.op(Op.i32Eqz)
  code.brIf(no)
  const store = (offset: number, value: number): void => {
    code.get(free)
    code.get(value)
    code.mem(Mem.i32Store, offset)
  }
  code.get(free)
  entryKey(code, page)
  code.mem(Mem.i64Store, TlbWord.page)
  store(TlbWord.context, context)
  store(TlbWord.asid, asid)
  store(TlbWord.pfn, pfn)
  store(TlbWord.shifts, shifts)
  code.get(free)
  code.get(extra)
  code.op(Op.f64ConvertI64U)
  code.mem(Mem.f64Store, TlbWord.extra)
  code.get(AREA)
  word(code, WalkWord.logged)
  code.i32(3)
  code.op(Op.i32Shl)
  code.op(Op.i32Add)
  code.tee(log)
  code.get(free)
  word(code, WalkWord.tlb)
  code.op(Op.i32Sub)
  word(code, WalkWord.tlbBytes)
  code.get(access)
  code.op(Op.i32Mul)
  code.op(Op.i32Sub)
  code.i32(ENTRY_SHIFT)
  code.op(Op.i32ShrU)
  code.get(access)
  code.i32(LOG_ACCESS_SHIFT)
  code.op(Op.i32Shl)
  code.op(Op.i32Or)
  code.mem(Mem.i32Store, WALK_LOG)
  code.get(log)
  word(code, WalkWord.pteAddress)
  code.mem(Mem.i32Store, WALK_LOG + 4)
  code.get(AREA)
  word(code, WalkWord.logged)
  code.i32(1)
  code.op(Op.i32Add)
  code.mem(Mem.i32Store, WalkWord.logged)
  code.i32(1)
  code.return()
  code.end()
  code.i32(0)
}

/** (area, frame, access) -> host frame, or -1. `TdpMmu.translateFrame`. */
function frameOfBody(code: Code, { lookup, insert, descend }: Functions): void {
  const [frame, access] = [1, 2]
  const at = code.local(Type.i32)
  const found = code.local(Type.i64)
  const shift = code.local(Type.i32)
  code.get(AREA)
  code.get(frame)
  code.i32(0)
  word(code, WalkWord.frameContext)
  code.get(access)
  code.call(lookup)
  code.tee(at)
  code.if()
  code.get(at)
  code.mem(Mem.i32Load, TlbWord.pfn)
  code.return()
  code.end()
  code.get(AREA)
  code.get(AREA)
  code.mem(Mem.i64Load32U, WalkWord.frameRoot)
  word(code, WalkWord.frameLevels)
  code.get(frame)
  code.get(access)
  code.i32(X4)
  code.call(descend)
  code.tee(found)
  code.i64(0)
  code.op(Op.i64LtS)
  code.if()
  code.i32(-1)
  code.return()
  code.end()
  code.get(AREA)
  code.get(frame)
  code.i32(0)
  word(code, WalkWord.frameContext)
  code.get(access)
  code.get(found)
  code.op(Op.i32WrapI64)
  code.get(frame)
  word(code, WalkWord.leafLevel)
  code.i32(9)
  code.op(Op.i32Mul)
  code.tee(shift)
  code.get(shift)
  code.i32(8)
  code.op(Op.i32Shl)
  code.op(Op.i32Or)
  code.call(insert)
  code.op(Op.i32Eqz)
  code.if()
  code.i32(-1)
  code.return()
  code.end()
  code.get(found)
  code.op(Op.i32WrapI64)
}

/** (area, root, levels, page, access, flags) -> page number that the table leads to, or -1. `PageTableWalker.walk`. */
class Descent {
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
  private giveUp = 0

  constructor(code: Code, { frameOf }: Functions, places: WalkPlaces) {
    this.code = code
    this.frameOf = frameOf
    this.places = places
    this.pte = code.local(Type.i64)
    this.at = code.local(Type.i64)
    this.within = code.local(Type.i64)
    this.level = code.local(Type.i32)
    this.host = code.local(Type.i32)
    this.global = code.local(Type.i32)
  }

  write(): void {
    const { code } = this
    this.giveUp = code.block()
    this.checkPage()
    code.get(this.levels)
    code.set(this.level)
    const again = code.loop()
    this.load()
    this.checkEntry()
    this.bits(PTE_RWX)
    code.op(Op.i64Eqz)
    code.if()
    this.pointer()
    code.br(again)
    code.end()
    code.end()
    this.leaf()
    code.return()
    code.end()
    code.i64(-1)
  }

  /** Pushes some bits of the PTE. */
  private bits(mask: number): void {
    this.code.get(this.pte)
    this.code.i64(mask)
    this.code.op(Op.i64And)
  }

  /** Pushes some of the flags. */
  private flag(mask: number): void {
    this.code.get(this.flags)
    this.code.i32(mask)
    this.code.op(Op.i32And)
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
    this.flag(X4)
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
    this.flag(X4)
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
    this.flag(NESTED)
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

  /** What holds for pointers and leaves. */
  private checkEntry(): void {
    const { code, giveUp } = this
    this.bits(PTE_V)
    code.op(Op.i64Eqz)
    code.brIf(giveUp)
    this.bits(PTE_R | PTE_W)
    code.i64(PTE_W)
    code.op(Op.i64Eq)
    code.brIf(giveUp)
    code.get(this.pte)
    code.i64(HIGH_SHIFT)
    code.op(Op.i64ShrU)
    code.i64(0)
    code.op(Op.i64Ne)
    code.brIf(giveUp)
    code.get(this.global)
    this.bits(PTE_G)
    code.op(Op.i32WrapI64)
    code.op(Op.i32Or)
    code.set(this.global)
    code.get(this.pte)
    code.i64(PPN_SHIFT)
    code.op(Op.i64ShrU)
    code.set(this.table)
  }

  private pointer(): void {
    const { code, giveUp } = this
    this.bits(PTE_POINTER_RESERVED)
    code.i64(0)
    code.op(Op.i64Ne)
    code.brIf(giveUp)
    code.get(this.level)
    code.op(Op.i32Eqz)
    code.brIf(giveUp)
  }

  private leaf(): void {
    const { code, giveUp, within } = this
    this.checkRights()
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
    this.flag(NESTED)
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

  /** A leaf must allow the access as it stands: with A, for stores with D. */
  private checkRights(): void {
    const { code, giveUp } = this
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
    code.get(this.access)
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
      code.get(this.access)
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

/** (area, address, access) -> 1 if there is a row now, else what `fill` answers. */
class Refill {
  private readonly code: Code
  private readonly functions: Functions
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

  constructor(code: Code, functions: Functions, places: WalkPlaces) {
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
    word(code, WalkWord.stages)
    code.op(Op.i32Eqz)
    code.brIf(this.giveUp)
    code.get(AREA)
    code.get(this.page)
    word(code, WalkWord.asid)
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
    word(code, WalkWord.levels)
    code.get(this.page)
    code.get(this.access)
    word(code, WalkWord.flags)
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
    word(code, WalkWord.asid)
    word(code, WalkWord.global)
    code.op(Op.select)
    code.set(this.asid)
    this.isNested()
    code.if()
    word(code, WalkWord.leafLevel)
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
    word(this.code, WalkWord.stages)
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
    word(code, WalkWord.reserved)
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
