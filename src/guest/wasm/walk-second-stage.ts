/**
 * Where a frame of the guest lies, by generated code (`TdpMmu.translateFrame`): a function of the walk module.
 *
 * R1 What the second table leads to has an entry in the TLB afterwards, or the function gives up.
 */
import { TlbWord } from '../../hardware/index.ts'
import type { Code } from './code.ts'
import { WalkWord } from './layout.ts'
import { Mem, Op, Type } from './opcodes.ts'
import { AREA, type WalkFunctions, X4, pushWord } from './walk-abi.ts'

/** (area, frame, access) -> host frame, or -1. `TdpMmu.translateFrame`. */
export function frameOfBody(code: Code, { lookup, insert, descend }: WalkFunctions): void {
  const [frame, access] = [1, 2]
  const at = code.local(Type.i32)
  const found = code.local(Type.i64)
  const shift = code.local(Type.i32)
  code.get(AREA)
  code.get(frame)
  code.i32(0)
  pushWord(code, WalkWord.frameContext)
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
  pushWord(code, WalkWord.frameLevels)
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
  pushWord(code, WalkWord.frameContext)
  code.get(access)
  code.get(found)
  code.op(Op.i32WrapI64)
  code.get(frame)
  pushWord(code, WalkWord.leafLevel)
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
