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
 * Below a translator, what fetching and decoding come to is kept in records (record-pages.ts) for pages of warm code.
 *
 * R1 Instruction words are read from memory every time, so that stores to code need no attention; records are of frames
 *    that are watched, are looked for at every `enter`, and a store that drops some is never followed by anything else.
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
import {
  type EmitterFunctions,
  FETCH_FRAME,
  FETCH_PAGE,
  type Frame,
  InterpreterEmitter,
  MISS_SHIFT,
} from './interpreter-emitter.ts'
import { raiseBody } from './interpreter-floats.ts'
import { floatBody, planCases, pushIndex, writeCases } from './interpreter-cases.ts'
import { FAST_EXECUTE, FAST_ROWS, ROW_ADDEND, ROW_TAG, Word } from './layout.ts'
import { NOTE_PARAMETERS } from './observation.ts'
import { Mem, Op, Type } from './opcodes.ts'

/** Word that says where no unit is looked for: while so much budget is left. Whoever calls `run` sets it. */
export const NOT_BEFORE: number = FETCH_FRAME + 4
/** The interpreter's own words: i32 budget up to which instret is up to date, place of the expansions. */
const MARK: number = FETCH_FRAME + 8
const EXPANSIONS: number = FETCH_FRAME + 12

/** Bytes of the table of expanded 16-bit instructions, 4 each. */
export const EXPANSIONS_BYTES: number = 4 * 65536

/**
 * Reasons to leave beyond those of engines: an entry of translated code is reached; code has become hot, or warm; there may
 * be a unit that the map has lost.
 */
export const FOUND_UNIT = 1000
export const HOT_CODE = 1001
export const WARM_CODE = 1002
export const LOST_CODE = 1003
/** Counter of a place where a unit is; it rises from there when the map knows of none, and is put back when it is full. */
export const UNIT_HERE = 0xff00
const FULL = 0x10000

/**
 * A record is what an instruction of a page came to: its 32-bit form, and behind it `index | RECORDED`, negative if it
 * has 16 bits; 0 for none. One for each halfword of the page, and two that stay 0 for what may begin behind it.
 */
export const RECORD_BYTES = 8
export const RECORD_PAGE_BYTES: number = (4096 / 2 + 2) * RECORD_BYTES
const RECORD_SCALE = 2
const RECORDED = 0x400
export const PAGE_COUNTERS = 4096
/** A row of the table of pages with records: host address of the frame, -1 for none, and where its records are. */
export const RECORD_ROWS = 1024
export const RECORD_ROW_BYTES = 8

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
  /** Jumps to a place after which its page is warm. */
  readonly warm: number
  /** Offset of `PAGE_COUNTERS` 16-bit counters, by frame, of jumps to a page without records; so many make it warm. */
  readonly entries: number
  readonly warmEntries: number
  /** Offsets of the table of pages with records, direct mapped by frame, and of a page of records that are all 0. */
  readonly records: number
  readonly noRecords: number
}

/** The bytes of the module. @param observed every access is told to the import `note` (observation.ts) */
export function interpreterModule(hooks: UnitHooks | null = null, observed: boolean = false): Uint8Array {
  const m = new ModuleBuilder()
  const refill = m.importFunction('umbra', 'refill', m.type([Type.i32, Type.i64, Type.i32], [Type.i32]))
  const step = m.importFunction('umbra', 'step', m.type([], [Type.i32]))
  const note = observed ? m.importFunction('umbra', 'note', m.type(NOTE_PARAMETERS, [])) : null
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
  const functions = { step, expand, miss, note, fma, addToOdd, productDiffers, sumDiffers, raise, float }
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
  /** (area, address, bytes, access) -> i32: makes the row of an access; 0 if it has to be done otherwise. */
  readonly miss: number
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
  private readonly left = 2
  private readonly scratch: number
  /** i32: what leads from a place in the frame, times 4, to its record; a record, and where it is. */
  private readonly records: number
  private readonly record: number
  private readonly recordAt: number

  constructor(code: Code, functions: Functions, hooks: UnitHooks | null) {
    this.code = code
    this.functions = functions
    this.hooks = hooks
    this.scratch = code.local(Type.i32)
    this.records = code.local(Type.i32)
    this.record = code.local(Type.i32)
    this.recordAt = code.local(Type.i32)
    this.frame = {
      base: 0,
      word: code.local(Type.i32),
      at: code.local(Type.i32),
      behind: code.local(Type.i32),
      frame: code.local(Type.i32),
      missing: code.local(Type.i32),
      pc: code.local(Type.i64),
      address: code.local(Type.i64),
      next: 0,
      taken: 0,
      enter: 0,
      advance: 0,
      slow: 0,
      miss: 0,
    }
    this.emitter = new InterpreterEmitter(code, this.frame, functions)
  }

  write(): void {
    const { code, frame } = this
    for (const [word, local] of [
      [MARK, this.left],
      [EXPANSIONS, 1],
    ] as const) {
      code.get(frame.base)
      code.get(local)
      code.mem(Mem.i32Store, word)
    }
    this.loadState()
    frame.enter = code.loop()
    const slowAt = code.block()
    const out = code.block()
    const unexpanded = code.block()
    frame.miss = code.block()
    this.enterPage(slowAt, out)
    if (this.hooks !== null) {
      this.findRecords(this.hooks)
      frame.taken = code.loop()
      this.stayInPage()
      this.lookForUnit(this.hooks)
    }
    frame.next = code.loop()
    if (this.hooks === null) frame.taken = frame.next
    frame.slow = code.block()
    frame.advance = code.block()
    this.handlers(out, unexpanded)
    code.end()
    // advance:
    code.get(frame.behind)
    code.set(frame.at)
    code.br(frame.next)
    code.end()
    // slow:
    this.currentPc()
    code.br(slowAt)
    code.end()
    code.end()
    if (this.hooks !== null) code.end()
    // miss:
    this.makeRow(slowAt)
    code.end()
    // unexpanded:
    this.makeExpansion()
    code.end()
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

  /** The instruction at `at` again: it has been paid for, and has done nothing. */
  private again(): void {
    const { code, left } = this
    code.get(left)
    code.i32(1)
    code.op(Op.i32Add)
    code.set(left)
    this.currentPc()
    code.br(this.frame.enter)
  }

  private makeRow(slowAt: number): void {
    const { code, frame } = this
    code.get(frame.base)
    code.get(frame.address)
    code.get(frame.missing)
    code.i32((1 << MISS_SHIFT) - 1)
    code.op(Op.i32And)
    code.get(frame.missing)
    code.i32(MISS_SHIFT)
    code.op(Op.i32ShrU)
    code.call(this.functions.miss)
    code.if()
    this.again()
    code.end()
    this.currentPc()
    code.br(slowAt)
  }

  /** `scratch` is where the expansion of the instruction at `at` belongs. */
  private makeExpansion(): void {
    const { code, frame, scratch } = this
    code.get(scratch)
    code.get(frame.at)
    code.mem(Mem.i32Load16U)
    code.call(this.functions.expand)
    code.mem(Mem.i32Store)
    this.again()
  }

  private loadState(): void {
    const { code, frame } = this
    code.get(frame.base)
    code.mem(Mem.i64Load, Cell.pc * 8)
    code.set(frame.pc)
    code.get(frame.base)
    code.mem(Mem.i32Load, FETCH_FRAME)
    code.set(frame.frame)
  }

  /** pc to the area, and all instructions counted except for the last `unfinished` ones. */
  private saveState(unfinished: 0 | 1): void {
    const { code, frame } = this
    code.get(frame.base)
    code.get(frame.pc)
    code.mem(Mem.i64Store, Cell.pc * 8)
    code.get(frame.base)
    code.get(frame.base)
    code.mem(Mem.f64Load, Cell.instret * 8)
    code.get(frame.base)
    code.mem(Mem.i32Load, MARK)
    code.get(this.left)
    code.op(Op.i32Sub)
    if (unfinished === 1) {
      code.i32(1)
      code.op(Op.i32Sub)
    }
    code.op(Op.f64ConvertI32U)
    code.op(Op.f64Add)
    code.mem(Mem.f64Store, Cell.instret * 8)
    code.get(frame.base)
    code.get(this.left)
    code.mem(Mem.i32Store, MARK)
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

  /** Pushes the address of the row, of `1 << shift` bytes, of a table by host address without its low `skip` bits. */
  private rowOf(place: number, skip: number, table: number, count: number, shift: number): void {
    const { code } = this
    code.get(place)
    code.i32(skip)
    code.op(Op.i32ShrU)
    code.i32(count - 1)
    code.op(Op.i32And)
    code.i32(shift)
    code.op(Op.i32Shl)
    code.i32(table)
    code.op(Op.i32Add)
  }

  /** Leaves for JavaScript with a reason of this file; the instruction at `at` is the next. */
  private leaveFor(reason: number): void {
    const { code, frame } = this
    this.currentPc()
    this.saveState(0)
    code.get(frame.base)
    code.get(this.left)
    code.mem(Mem.i32Store, Word.budget)
    code.i32(reason)
    code.return()
  }

  /**
   * Leaves if translated code can go on at `at`, or when code there gets warm or hot. What is hot and no unit is not
   * counted on.
   */
  private lookForUnit(hooks: UnitHooks): void {
    const { code, frame, scratch, recordAt: counter } = this
    code.get(this.left)
    code.get(frame.base)
    code.mem(Mem.i32Load, NOT_BEFORE)
    code.op(Op.i32Ne)
    code.if()
    this.rowOf(frame.at, 1, hooks.heat, hooks.counters, 1)
    code.tee(counter)
    code.mem(Mem.i32Load16U)
    code.i32(1)
    code.op(Op.i32Add)
    code.tee(scratch)
    code.i32(hooks.threshold)
    code.op(Op.i32LtU)
    code.if()
    code.get(counter)
    code.get(scratch)
    code.mem(Mem.i32Store16)
    code.get(scratch)
    code.i32(hooks.warm)
    code.op(Op.i32Eq)
    code.if()
    this.keeps(hooks)
    code.op(Op.i32Eqz)
    code.if()
    this.leaveFor(WARM_CODE)
    code.end()
    code.end()
    code.else()
    this.rowOf(frame.at, 1, hooks.map, hooks.rows, hooks.rowShift)
    code.mem(Mem.i32Load)
    code.get(frame.at)
    code.op(Op.i32Eq)
    code.if()
    this.leaveFor(FOUND_UNIT)
    code.end()
    code.get(scratch)
    code.i32(hooks.threshold)
    code.op(Op.i32Eq)
    code.if()
    code.get(counter)
    code.get(scratch)
    code.mem(Mem.i32Store16)
    this.leaveFor(HOT_CODE)
    code.end()
    code.get(scratch)
    code.i32(UNIT_HERE)
    code.op(Op.i32GtU)
    code.if()
    code.get(scratch)
    code.i32(FULL)
    code.op(Op.i32Eq)
    code.if()
    code.get(counter)
    code.i32(UNIT_HERE)
    code.mem(Mem.i32Store16)
    this.leaveFor(LOST_CODE)
    code.end()
    code.get(counter)
    code.get(scratch)
    code.mem(Mem.i32Store16)
    code.end()
    code.end()
    code.end()
  }

  /** The records of the frame, if there are some. */
  private findRecords(hooks: UnitHooks): void {
    const { code, frame, scratch, records, recordAt: counter } = this
    this.rowOf(frame.frame, 12, hooks.records, RECORD_ROWS, 3)
    code.tee(scratch)
    code.mem(Mem.i32Load)
    code.get(frame.frame)
    code.op(Op.i32Eq)
    code.if(Type.i32)
    code.get(scratch)
    code.mem(Mem.i32Load, 4)
    code.else()
    this.rowOf(frame.frame, 12, hooks.entries, PAGE_COUNTERS, 1)
    code.tee(counter)
    code.get(counter)
    code.mem(Mem.i32Load16U)
    code.i32(1)
    code.op(Op.i32Add)
    code.tee(scratch)
    code.mem(Mem.i32Store16)
    code.get(scratch)
    code.i32(hooks.warmEntries)
    code.op(Op.i32Eq)
    code.if()
    this.leaveFor(WARM_CODE)
    code.end()
    code.i32(hooks.noRecords)
    code.end()
    code.get(frame.frame)
    code.i32(RECORD_SCALE)
    code.op(Op.i32Shl)
    code.op(Op.i32Sub)
    code.set(records)
  }

  /** Pushes whether the page has records. */
  private keeps(hooks: UnitHooks): void {
    const { code, frame, records } = this
    code.get(frame.frame)
    code.i32(RECORD_SCALE)
    code.op(Op.i32Shl)
    code.get(records)
    code.op(Op.i32Add)
    code.i32(hooks.noRecords)
    code.op(Op.i32Ne)
  }

  /** A jump may have led out of the page. */
  private stayInPage(): void {
    const { code, frame } = this
    code.get(frame.at)
    code.get(frame.frame)
    code.op(Op.i32Sub)
    code.i32(0xffe)
    code.op(Op.i32GtU)
    code.if()
    this.currentPc()
    code.br(frame.enter)
    code.end()
  }

  /** Finds the frame of pc's page, unless it is the page at hand, and the place of the instruction. */
  private enterPage(slowAt: number, out: number): void {
    const { code, emitter, frame, scratch } = this
    const pushPage = (): void => {
      code.get(frame.pc)
      code.i64(-4096)
      code.op(Op.i64And)
    }
    pushPage()
    emitter.page()
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
    code.get(frame.base)
    pushPage()
    code.mem(Mem.i64Store, FETCH_PAGE)
    code.get(frame.base)
    pushPage()
    code.op(Op.i32WrapI64)
    code.get(scratch)
    code.mem(Mem.i32Load, FAST_EXECUTE + ROW_ADDEND)
    code.op(Op.i32Add)
    code.tee(frame.frame)
    code.mem(Mem.i32Store, FETCH_FRAME)
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
  private handlers(out: number, unexpanded: number): void {
    const { code, emitter, frame, scratch } = this
    const float = code.block()
    writeCases(code, planCases(), false, float, emitter, frame, () => {
      this.dispatch(out, unexpanded)
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
  private dispatch(out: number, unexpanded: number): void {
    const { code, frame, record, recordAt } = this
    if (this.hooks === null) {
      this.needRoom(() => this.spend(out, 'pc'))
      this.spend(out, 'at')
      this.fetch(unexpanded)
      return pushIndex(code, frame.word)
    }
    this.spend(out, 'at')
    code.get(frame.at)
    code.i32(RECORD_SCALE)
    code.op(Op.i32Shl)
    code.get(this.records)
    code.op(Op.i32Add)
    code.tee(recordAt)
    code.mem(Mem.i32Load, 4)
    code.tee(record)
    code.if()
    code.get(recordAt)
    code.mem(Mem.i32Load)
    code.set(frame.word)
    // As a branch, which is predicted: the next place shall not wait for the record.
    code.get(record)
    code.i32(0)
    code.op(Op.i32LtS)
    code.if()
    this.follow(2)
    code.else()
    this.follow(4)
    code.end()
    code.else()
    this.makeRecord(this.hooks, unexpanded)
    code.end()
    code.get(record)
    code.i32(RECORDED - 1)
    code.op(Op.i32And)
  }

  /** Fetches and decodes the instruction at `at`; the result is kept if its page has records. The budget is paid. */
  private makeRecord(hooks: UnitHooks, unexpanded: number): void {
    const { code, frame, record, recordAt } = this
    this.needRoom(() => {})
    this.fetch(unexpanded)
    pushIndex(code, frame.word)
    code.i32(RECORDED)
    code.op(Op.i32Or)
    code.get(frame.behind)
    code.get(frame.at)
    code.op(Op.i32Sub)
    code.i32(2)
    code.op(Op.i32Eq)
    code.i32(31)
    code.op(Op.i32Shl)
    code.op(Op.i32Or)
    code.set(record)
    this.keeps(hooks)
    code.if()
    code.get(recordAt)
    code.get(frame.word)
    code.mem(Mem.i32Store)
    code.get(recordAt)
    code.get(record)
    code.mem(Mem.i32Store, 4)
    code.end()
  }

  /** Goes elsewhere if `at` is behind the page, before it, or at its last two bytes with an instruction of four. */
  private needRoom(spend: () => void): void {
    const { code, frame, left, scratch } = this
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
    code.if()
    if (this.hooks !== null) {
      code.get(left)
      code.i32(1)
      code.op(Op.i32Add)
      code.set(left)
    }
    code.br(frame.enter)
    code.end()
    code.get(frame.at)
    code.mem(Mem.i32Load16U)
    this.isLong()
    code.if()
    spend()
    code.br(frame.slow)
    code.end()
    code.end()
  }

  /** The instruction has so many bytes. */
  private follow(length: 2 | 4): void {
    const { code, frame } = this
    code.get(frame.at)
    code.i32(length)
    code.op(Op.i32Add)
    code.set(frame.behind)
  }

  /** The 32-bit form of the instruction at `at`, and the place behind it. */
  private fetch(unexpanded: number): void {
    const { code, frame } = this
    code.get(frame.at)
    code.mem(Mem.i32Load)
    code.tee(frame.word)
    this.isLong()
    code.if()
    this.follow(4)
    code.else()
    this.expand(unexpanded)
    code.end()
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
  private expand(unexpanded: number): void {
    const { code, frame, scratch } = this
    this.follow(2)
    code.get(frame.word)
    code.i32(0xffff)
    code.op(Op.i32And)
    code.i32(2)
    code.op(Op.i32Shl)
    code.get(frame.base)
    code.mem(Mem.i32Load, EXPANSIONS)
    code.op(Op.i32Add)
    code.tee(scratch)
    code.mem(Mem.i32Load)
    code.tee(frame.word)
    code.op(Op.i32Eqz)
    code.brIf(unexpanded)
  }
}
