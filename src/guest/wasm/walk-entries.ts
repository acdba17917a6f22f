/**
 * The TLB's entries by generated code (`Tlb.lookup`, `Tlb.fill`): two functions of the walk module.
 *
 * R1 An entry is written only where one is free: none is pushed out, and none of the page remains beside a global one.
 * R2 Each entry that is written is logged. With a full log nothing is written.
 */
import { TLB_GLOBAL, TLB_VALID, TLB_WORDS_PER_ENTRY, TlbWord } from '../../hardware/index.ts'
import type { Code } from './code.ts'
import { LOG_ACCESS_SHIFT, WALK_LOG, WALK_LOG_RECORDS, WalkWord } from './layout.ts'
import { Mem, Op, Type } from './opcodes.ts'
import { AREA, pushWord } from './walk-abi.ts'

const ENTRY_BYTES: number = TLB_WORDS_PER_ENTRY * 4
const ENTRY_SHIFT = 5

/** Pushes the first two words of an entry for a page, as one. */
function entryKey(code: Code, page: number): void {
  code.get(page)
  code.i64(TLB_VALID * 2 ** 32)
  code.op(Op.i64Or)
}

/** Sets `at` to the first entry of a page's set, `end` behind its last. */
function findSet(code: Code, page: number, access: number, at: number, end: number): void {
  pushWord(code, WalkWord.tlb)
  pushWord(code, WalkWord.tlbBytes)
  code.get(access)
  code.op(Op.i32Mul)
  code.op(Op.i32Add)
  code.get(page)
  code.op(Op.i32WrapI64)
  pushWord(code, WalkWord.setMask)
  code.op(Op.i32And)
  pushWord(code, WalkWord.wayBytes)
  code.op(Op.i32Mul)
  code.op(Op.i32Add)
  code.tee(at)
  pushWord(code, WalkWord.wayBytes)
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
export function lookupBody(code: Code): void {
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
export function insertBody(code: Code): void {
  const [page, asid, context, access, pfn, extra, shifts] = [1, 2, 3, 4, 5, 6, 7]
  const at = code.local(Type.i32)
  const end = code.local(Type.i32)
  const free = code.local(Type.i32)
  const log = code.local(Type.i32)
  const no = code.block()
  pushWord(code, WalkWord.logged)
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
  pushWord(code, WalkWord.logged)
  code.i32(3)
  code.op(Op.i32Shl)
  code.op(Op.i32Add)
  code.tee(log)
  code.get(free)
  pushWord(code, WalkWord.tlb)
  code.op(Op.i32Sub)
  pushWord(code, WalkWord.tlbBytes)
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
  pushWord(code, WalkWord.pteAddress)
  code.mem(Mem.i32Store, WALK_LOG + 4)
  code.get(AREA)
  pushWord(code, WalkWord.logged)
  code.i32(1)
  code.op(Op.i32Add)
  code.mem(Mem.i32Store, WalkWord.logged)
  code.i32(1)
  code.return()
  code.end()
  code.i32(0)
}
