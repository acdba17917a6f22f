/**
 * The WebAssembly interpreter: a dispatcher over the handlers of all rows, made when an engine starts.
 *
 * ```
 *  enter:  the page of pc -> its frame (fast TLB, else slow)
 *   next:  leave if the budget is spent; fetch; a 16-bit instruction becomes its 32-bit form; br_table on the opcode bits
 *          handler ... advance | next (branch) | enter (jump to another page) | slow
 *   slow:  registers and pc are in the area: the reference interpreter executes one instruction; enter
 * ```
 *
 * R1 Instruction words are read from memory every time, so that stores to code need no attention.
 * R2 An instruction that is not executed here is executed by the reference interpreter, with the same fetch page known: what
 *    either of them looks up in the TLBs, and when, is the same as if the reference had executed everything.
 * R3 `frame` is where the page of pc lies, or -1 if no page is known (page is then no page's address).
 */
import { Access } from '../../hardware/index.ts'
import { Cell } from '../hart/index.ts'
import type { Code } from './code.ts'
import { ModuleBuilder } from './emit.ts'
import { expandBody } from './expand.ts'
import { addToOddBody, fmaBody, productDiffersBody, sumDiffersBody } from './float-functions.ts'
import { type EmitterFunctions, type Frame, InterpreterEmitter } from './interpreter-emitter.ts'
import { raiseBody } from './interpreter-floats.ts'
import { floatBody, planCases, pushIndex, writeCases } from './interpreter-cases.ts'
import { ENGINE_WORDS, FAST_EXECUTE, FAST_ROWS, ROW_ADDEND, ROW_TAG, Word } from './layout.ts'
import { Mem, Op, Type } from './opcodes.ts'

/** Words that the interpreter shares with its JavaScript half: i64 guest address and i32 place of the fetch page. */
export const FETCH_PAGE: number = ENGINE_WORDS
export const FETCH_FRAME: number = ENGINE_WORDS + 8

/** Bytes of the table of expanded 16-bit instructions, 4 each. */
export const EXPANSIONS_BYTES: number = 4 * 65536

/** Reasons to leave beyond those of engines: an entry of translated code is reached; code has become hot. */
export const FOUND_UNIT = 1000
export const HOT_CODE = 1001

/** What an interpreter below a translator looks at wherever control goes to another place than the next. */
export interface UnitHooks {
  /** Offset in the memory of a table of `rows` rows, a power of two, of `1 << rowShift` bytes: each begins with the host address of an entry. */
  readonly map: number
  readonly rows: number
  readonly rowShift: number
  /** Offset of `counters` 16-bit counters, a power of two, of jumps by host address; `threshold` of them are hot. */
  readonly heat: number
  readonly counters: number
  readonly threshold: number
}

/** The bytes of the module. */
export function interpreterModule(hooks: UnitHooks | null = null): Uint8Array {
  const m = new ModuleBuilder()
  const refill = m.importFunction('umbra', 'refill', m.type([Type.i32, Type.i64, Type.i32], [Type.i32]))
  const step = m.importFunction('umbra', 'step', m.type([], [Type.i32]))
  m.importMemory('umbra', 'memory')
  const expand = m.function(m.type([Type.i32], [Type.i32]))
  const miss = m.function(m.type([Type.i32, Type.i64, Type.i32, Type.i32], [Type.i32]))
  const { f64 } = Type
  const fma = m.function(m.type([f64, f64, f64], [f64]))
  const addToOdd = m.function(m.type([f64, f64], [f64]))
  const productDiffers = m.function(m.type([f64, f64, f64], [Type.i32]))
  const sumDiffers = m.function(m.type([f64, f64, f64], [Type.i32]))
  const raise = m.function(m.type([Type.i32, Type.i32], []))
  const float = m.function(m.type([Type.i32, Type.i32, Type.i32], [Type.i32]))
  m.function(m.type([Type.i32, Type.i32, Type.i32], [Type.i32]), 'run')
  const write = (parameters: number, body: (code: Code) => void): void => {
    const code = m.begin(parameters)
    body(code)
    m.end(code)
  }
  write(1, expandBody)
  write(4, (code) => missBody(code, refill))
  write(3, fmaBody)
  write(2, addToOddBody)
  write(3, productDiffersBody)
  write(3, sumDiffersBody)
  write(2, raiseBody)
  const functions = { step, expand, miss, fma, addToOdd, productDiffers, sumDiffers, raise, float }
  write(3, (code) => floatBody(code, functions))
  write(3, (code) => new Dispatcher(code, functions, hooks).write())
  return m.finish()
}

/** (area, address, bytes, access) -> i32. */
function missBody(code: Code, refill: number): void {
  const [area, address, size, access] = [0, 1, 2, 3]
  code.get(address)
  code.op(Op.i32WrapI64)
  code.get(size)
  code.i32(1)
  code.op(Op.i32Sub)
  code.op(Op.i32And)
  code.if()
  code.i32(0)
  code.return()
  code.end()
  code.get(area)
  code.get(address)
  code.get(access)
  code.call(refill)
}

interface Functions extends EmitterFunctions {
  readonly step: number
  readonly expand: number
  /** (area, word, index) -> i32: floating point; 0 if it has to be done otherwise. */
  readonly float: number
}

/** The body of `run`: (area, expansions, budget) -> reason, 0 when the budget is spent. */
class Dispatcher {
  private readonly code: Code
  private readonly functions: Functions
  private readonly hooks: UnitHooks | null
  private readonly frame: Frame
  private readonly emitter: InterpreterEmitter
  private readonly expansions = 1
  private readonly left = 2
  /** i32: budget up to which instret is up to date; scratch; the budget at first. */
  private readonly mark: number
  private readonly scratch: number
  private readonly first: number

  constructor(code: Code, functions: Functions, hooks: UnitHooks | null) {
    this.code = code
    this.functions = functions
    this.hooks = hooks
    this.mark = code.local(Type.i32)
    this.scratch = code.local(Type.i32)
    this.first = code.local(Type.i32)
    this.frame = {
      base: 0,
      word: code.local(Type.i32),
      length: code.local(Type.i32),
      at: code.local(Type.i32),
      frame: code.local(Type.i32),
      page: code.local(Type.i64),
      pc: code.local(Type.i64),
      readContext: code.local(Type.i64),
      writeContext: code.local(Type.i64),
      next: 0,
      taken: 0,
      enter: 0,
      advance: 0,
      slow: 0,
    }
    this.emitter = new InterpreterEmitter(code, this.frame, functions)
  }

  write(): void {
    const { code, frame } = this
    code.get(this.left)
    code.tee(this.first)
    code.set(this.mark)
    this.loadState()
    frame.enter = code.loop()
    const slowAt = code.block()
    const out = code.block()
    this.enterPage(slowAt, out)
    if (this.hooks !== null) {
      frame.taken = code.loop()
      this.lookForUnit(this.hooks)
    }
    frame.next = code.loop()
    if (this.hooks === null) frame.taken = frame.next
    frame.slow = code.block()
    frame.advance = code.block()
    this.handlers(out)
    code.end()
    // advance:
    code.get(frame.at)
    code.get(frame.length)
    code.op(Op.i32Add)
    code.set(frame.at)
    code.br(frame.next)
    code.end()
    // slow:
    this.currentPc()
    code.br(slowAt)
    code.end()
    code.end()
    if (this.hooks !== null) code.end()
    // out:
    this.saveState(0)
    code.i32(0)
    code.return()
    code.end()
    // slowAt:
    this.saveState(1)
    code.call(this.functions.step)
    code.tee(this.scratch)
    code.if()
    code.get(this.scratch)
    code.return()
    code.end()
    this.loadState()
    code.br(frame.enter)
    code.end()
    code.op(Op.unreachable)
  }

  private loadState(): void {
    const { code, frame } = this
    const load = (offset: number, local: number, operator: 0x28 | 0x29): void => {
      code.get(frame.base)
      code.mem(operator, offset)
      code.set(local)
    }
    load(Cell.pc * 8, frame.pc, Mem.i64Load)
    load(FETCH_PAGE, frame.page, Mem.i64Load)
    load(FETCH_FRAME, frame.frame, Mem.i32Load)
    load(Word.contextRead, frame.readContext, Mem.i64Load)
    load(Word.contextWrite, frame.writeContext, Mem.i64Load)
  }

  /** pc and the fetch page to the area, and all instructions counted except for the last `unfinished` ones. */
  private saveState(unfinished: 0 | 1): void {
    const { code, frame } = this
    code.get(frame.base)
    code.get(frame.pc)
    code.mem(Mem.i64Store, Cell.pc * 8)
    code.get(frame.base)
    code.get(frame.page)
    code.mem(Mem.i64Store, FETCH_PAGE)
    code.get(frame.base)
    code.get(frame.frame)
    code.mem(Mem.i32Store, FETCH_FRAME)
    code.get(frame.base)
    code.get(frame.base)
    code.mem(Mem.f64Load, Cell.instret * 8)
    code.get(this.mark)
    code.get(this.left)
    code.op(Op.i32Sub)
    if (unfinished === 1) {
      code.i32(1)
      code.op(Op.i32Sub)
    }
    code.op(Op.f64ConvertI32U)
    code.op(Op.f64Add)
    code.mem(Mem.f64Store, Cell.instret * 8)
    code.get(this.left)
    code.set(this.mark)
  }

  /** pc from `at`. */
  private currentPc(): void {
    this.emitter.pc()
    this.code.set(this.frame.pc)
  }

  /** Leaves if the budget is spent, else spends one instruction of it. @param known where the instruction is known to be */
  private spend(out: number, known: 'pc' | 'at'): void {
    const { code, left } = this
    code.get(left)
    code.op(Op.i32Eqz)
    code.if()
    if (known === 'at') this.currentPc()
    code.br(out)
    code.end()
    code.get(left)
    code.i32(1)
    code.op(Op.i32Sub)
    code.set(left)
  }

  /** Leaves if translated code can go on at `at`, or when code there gets hot; not before an instruction was tried. */
  private lookForUnit(hooks: UnitHooks): void {
    const { code, frame, scratch } = this
    const entry = (table: number, count: number, shift: number): void => {
      code.get(frame.at)
      code.i32(1)
      code.op(Op.i32ShrU)
      code.i32(count - 1)
      code.op(Op.i32And)
      code.i32(shift)
      code.op(Op.i32Shl)
      code.i32(table)
      code.op(Op.i32Add)
    }
    const leave = (reason: number): void => {
      this.currentPc()
      this.saveState(0)
      code.get(frame.base)
      code.get(this.left)
      code.mem(Mem.i32Store, Word.budget)
      code.i32(reason)
      code.return()
    }
    code.get(this.left)
    code.get(this.first)
    code.op(Op.i32Ne)
    code.if()
    entry(hooks.map, hooks.rows, hooks.rowShift)
    code.mem(Mem.i32Load)
    code.get(frame.at)
    code.op(Op.i32Eq)
    code.if()
    leave(FOUND_UNIT)
    code.end()
    entry(hooks.heat, hooks.counters, 1)
    code.tee(scratch)
    code.get(scratch)
    code.mem(Mem.i32Load16U)
    code.i32(1)
    code.op(Op.i32Add)
    code.tee(scratch)
    code.mem(Mem.i32Store16)
    code.get(scratch)
    code.i32(hooks.threshold)
    code.op(Op.i32Eq)
    code.if()
    leave(HOT_CODE)
    code.end()
    code.end()
  }

  /** Finds the frame of pc's page, unless it is the page at hand, and the place of the instruction. */
  private enterPage(slowAt: number, out: number): void {
    const { code, frame, scratch } = this
    const pushPage = (): void => {
      code.get(frame.pc)
      code.i64(-4096)
      code.op(Op.i64And)
    }
    pushPage()
    code.get(frame.page)
    code.op(Op.i64Ne)
    code.if()
    code.get(frame.pc)
    code.i64(8)
    code.op(Op.i64ShrU)
    code.op(Op.i32WrapI64)
    code.i32((FAST_ROWS - 1) * 16)
    code.op(Op.i32And)
    code.get(frame.base)
    code.op(Op.i32Add)
    code.tee(scratch)
    code.mem(Mem.i64Load, FAST_EXECUTE + ROW_TAG)
    pushPage()
    code.get(frame.base)
    code.mem(Mem.i64Load, Word.contextExecute)
    code.op(Op.i64Or)
    code.op(Op.i64Ne)
    code.if()
    // A page that nothing will be fetched from is not translated.
    code.get(this.left)
    code.op(Op.i32Eqz)
    code.brIf(out)
    code.get(frame.base)
    pushPage()
    code.i32(1)
    code.i32(Access.execute)
    code.call(this.functions.miss)
    code.op(Op.i32Eqz)
    code.if()
    this.spend(out, 'pc')
    code.br(slowAt)
    code.end()
    code.end()
    pushPage()
    code.tee(frame.page)
    code.op(Op.i32WrapI64)
    code.get(scratch)
    code.mem(Mem.i32Load, FAST_EXECUTE + ROW_ADDEND)
    code.op(Op.i32Add)
    code.set(frame.frame)
    code.end()
    code.get(frame.frame)
    code.get(frame.pc)
    code.op(Op.i32WrapI64)
    code.i32(0xfff)
    code.op(Op.i32And)
    code.op(Op.i32Add)
    code.set(frame.at)
  }

  /** Blocks of all handlers around the dispatch, and their code behind it. */
  private handlers(out: number): void {
    const { code, emitter, frame, scratch } = this
    const float = code.block()
    writeCases(code, planCases(), false, float, emitter, frame, () => {
      this.dispatch(out)
      code.tee(scratch)
    })
    code.end()
    code.get(frame.base)
    code.get(frame.word)
    code.get(scratch)
    code.call(this.functions.float)
    code.op(Op.i32Eqz)
    code.brIf(frame.slow)
    code.br(frame.advance)
  }

  /** Fetches the instruction at `at`, and pushes its index. */
  private dispatch(out: number): void {
    const { code, frame, scratch } = this
    // Behind the page, before it, or in its last two bytes?
    code.get(frame.at)
    code.get(frame.frame)
    code.op(Op.i32Sub)
    code.tee(scratch)
    code.i32(0xffc)
    code.op(Op.i32GtU)
    code.if()
    this.currentPc()
    code.get(scratch)
    code.i32(0xffe)
    code.op(Op.i32Ne)
    code.brIf(frame.enter)
    code.get(frame.at)
    code.mem(Mem.i32Load16U)
    this.isLong()
    code.if()
    this.spend(out, 'pc')
    code.br(frame.slow)
    code.end()
    code.end()
    this.spend(out, 'at')
    code.get(frame.at)
    code.mem(Mem.i32Load)
    code.tee(frame.word)
    this.isLong()
    code.if()
    code.i32(4)
    code.set(frame.length)
    code.else()
    this.expand()
    code.end()
    pushIndex(code, frame.word)
  }

  /** Whether the instruction that begins with the bits on the stack has 32 bits. */
  private isLong(): void {
    const { code } = this
    code.i32(3)
    code.op(Op.i32And)
    code.i32(3)
    code.op(Op.i32Eq)
  }

  /** Replaces the 16-bit instruction in `word`. */
  private expand(): void {
    const { code, frame, scratch } = this
    code.i32(2)
    code.set(frame.length)
    code.get(frame.word)
    code.i32(0xffff)
    code.op(Op.i32And)
    code.i32(2)
    code.op(Op.i32Shl)
    code.get(this.expansions)
    code.op(Op.i32Add)
    code.tee(scratch)
    code.mem(Mem.i32Load)
    code.tee(frame.word)
    code.op(Op.i32Eqz)
    code.if()
    code.get(scratch)
    code.get(frame.at)
    code.mem(Mem.i32Load16U)
    code.call(this.functions.expand)
    code.tee(frame.word)
    code.mem(Mem.i32Store)
    code.end()
  }
}
