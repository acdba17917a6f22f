/**
 * Which handlers an instruction word leads to, and their code behind a jump table on ten of its bits.
 *
 * Floating point takes two thirds of all handlers' code and is rare in most guests. An engine's optimizing compiler takes
 * more than linear time for a function, so it has one of its own, `(area, word, index) -> done`.
 *
 * R1 That function answers 0, and nothing has happened, if the reference interpreter is to execute the instruction.
 */
import { NoteTaker, ROWS, type Row } from '../isa/index.ts'
import type { Code } from './code.ts'
import { type EmitterFunctions, type Frame, InterpreterEmitter } from './interpreter-emitter.ts'
import { Op } from './opcodes.ts'

/** Opcode and funct3, and two bits of funct7 that tell most instructions apart, as an index of ten bits. */
const INDEX_BITS = 0x4200_707f
/** The bits of an instruction that an index stands for. */
const wordOf = (index: number): number =>
  3 | ((index & 31) << 2) | ((index & 0xe0) << 7) | ((index & 0x100) << 22) | ((index & 0x200) << 16)

/** Rows that an index may mean. */
interface Case {
  readonly rows: readonly Row[]
  readonly float: boolean
  label: number
}

/** Rows by index: each set of rows that some index may mean is one case. */
export interface CasePlan {
  readonly cases: readonly Case[]
  readonly table: readonly (Case | undefined)[]
}

class FloatNote extends NoteTaker {
  found = false

  override float(): void {
    this.found = true
  }
}

function isFloat(row: Row): boolean {
  const note = new FloatNote()
  row.semantics<void, void>(note)
  return note.found
}

export function planCases(): CasePlan {
  const rows = ROWS.filter((row) => row.expandsTo === undefined)
  const byOpcode = Array.from({ length: 32 }, (_, opcode) =>
    rows.filter((row) => ((wordOf(opcode) ^ row.match) & row.mask & 0x7f) === 0),
  )
  const byRows = new Map<string, Case>()
  const table: (Case | undefined)[] = []
  for (let index = 0; index < 1024; index++) {
    const found = byOpcode[index & 31]!.filter((row) => ((wordOf(index) ^ row.match) & row.mask & INDEX_BITS) === 0)
    const key = found.map((row) => row.name).join()
    if (found.length > 0 && !byRows.has(key)) byRows.set(key, { rows: found, float: found.every(isFloat), label: 0 })
    table.push(byRows.get(key))
  }
  return { cases: [...byRows.values()], table }
}

/** Pushes the index of `word`. */
export function pushIndex(code: Code, word: number): void {
  const bits = (right: number, mask: number): void => {
    code.get(word)
    code.i32(right)
    code.op(Op.i32ShrU)
    code.i32(mask)
    code.op(Op.i32And)
  }
  bits(2, 31)
  bits(7, 0xe0)
  code.op(Op.i32Or)
  bits(22, 0x100)
  code.op(Op.i32Or)
  bits(16, 0x200)
  code.op(Op.i32Or)
}

/**
 * Writes the cases that are wanted. An index is on the stack.
 * @param other label for the indexes of other cases
 */
export function writeCases(
  code: Code,
  { cases, table }: CasePlan,
  float: boolean,
  other: number,
  emitter: InterpreterEmitter,
  frame: Frame,
  index: () => void,
): void {
  const wanted = cases.filter((one) => one.float === float)
  for (let n = wanted.length - 1; n >= 0; n--) wanted[n]!.label = code.block()
  index()
  code.brTable(
    table.map((entry) => (entry === undefined ? frame.slow : entry.float === float ? entry.label : other)),
    frame.slow,
  )
  for (const { rows } of wanted) {
    code.end()
    for (const row of rows) {
      const unseen = row.mask & ~INDEX_BITS
      if (unseen !== 0) {
        code.get(frame.word)
        code.i32(unseen)
        code.op(Op.i32And)
        code.i32(row.match & unseen)
        code.op(Op.i32Eq)
        code.if()
      }
      if (!emitter.handler(row)) code.br(frame.slow)
      if (unseen === 0) break
      code.end()
    }
    code.br(frame.slow)
  }
}

const NONE = -1

/** The body of the function for floating point. */
export function floatBody(code: Code, functions: EmitterFunctions): void {
  const [base, word, index] = [0, 1, 2]
  const slow = code.block()
  const advance = code.block()
  const place = { base, word, at: NONE, behind: NONE, frame: NONE, pc: NONE, address: NONE, missing: NONE }
  const frame: Frame = { ...place, next: NONE, taken: NONE, enter: NONE, advance, slow, miss: NONE }
  const emitter = new InterpreterEmitter(code, frame, functions)
  writeCases(code, planCases(), true, slow, emitter, frame, () => code.get(index))
  code.end()
  code.i32(1)
  code.return()
  code.end()
  code.i32(0)
}
