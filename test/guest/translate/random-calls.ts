/** Random programs of functions that call each other, loop on words, and jump through tables. */
import { Assembler } from '../../../src/guest/index.ts'
import { BASE, Dice, elf } from './random-guest.ts'

const MAIN = 0
const CODE = 0x1000 - 0x400
const DATA = 0x8000
const SP = 2
const RA = 1
const DEPTH = 17
const COUNT = 31
/** Sum of all values at many places: no difference is forgotten. */
const SUM = 28
const INDEX = 29
const TARGET = 30
/** What bodies compute with. */
const VALUES = [10, 11, 12, 13] as const
const BINARY = [
  'add',
  'sub',
  'xor',
  'and',
  'or',
  'mul',
  'addw',
  'subw',
  'mulw',
  'sllw',
  'srlw',
  'sraw',
  'divw',
  'remuw',
  'sh2add.uw',
  'add.uw',
  'sltu',
  'srl',
]
const WORDS = ['addw', 'subw', 'mulw', 'srlw', 'xor', 'and', 'or', 'add']
const SHIFTS = ['slli', 'srli', 'srai', 'slliw', 'srliw', 'sraiw', 'bexti']
const ATOMICS = ['amoadd.w', 'amoswap.d', 'amomin.w', 'amomaxu.d', 'amoxor.w', 'amoor.d']

/** Functions call those with higher numbers, and themselves as deep as `DEPTH` says; the main loop does not end. */
export function randomCalls(seed: number): Uint8Array {
  const dice = new Dice(seed)
  const asm = new Assembler()
  const image = new Uint8Array(0x20000)
  const view = new DataView(image.buffer)
  const functions = 2 + dice.roll(6)
  const starts: number[] = []
  const calls: { readonly at: number; readonly callee: number }[] = []
  let at = 0
  const put = (name: string, operands: Record<string, number>): void => {
    view.setUint32(at, asm.word(name, operands) >>> 0, true)
    at += 4
  }
  const value = (): number => dice.of(VALUES)

  function operation(): void {
    const [rd, rs1, rs2] = [value(), value(), value()]
    const kind = dice.roll(12)
    if (kind < 5) put(dice.of(WORDS), { rd, rs1, rs2 })
    else if (kind < 7) put(dice.of(BINARY), { rd, rs1, rs2 })
    else if (kind < 8) put(dice.of(['addi', 'addiw', 'andi', 'xori']), { rd, rs1, imm: dice.roll(4096) - 2048 })
    else if (kind < 9) put(dice.of(SHIFTS), { rd, rs1, imm: dice.roll(32) })
    else if (kind < 10) put('lui', { rd, imm: (dice.roll(2 ** 20) << 12) | 0 })
    else if (kind < 11) put(dice.of(['lw', 'ld', 'lbu', 'lhu', 'lwu']), { rd, rs1: 9, imm: 8 * dice.roll(8) })
    else if (dice.roll(2) === 0) put(dice.of(['sw', 'sd', 'sb']), { rs1: 9, rs2, imm: 8 * dice.roll(8) })
    else put(dice.of(ATOMICS), { rd, rs1: 9, rs2 })
  }
  function call(callee: number): void {
    calls.push({ at, callee })
    at += 4
    // Where some return to, and where others do.
    operation()
    operation()
  }
  function loop(): void {
    put('addi', { rd: INDEX, rs1: 0, imm: 1 + dice.roll(9) })
    const [wide, other] = [value(), value()]
    if (dice.roll(2) === 0) {
      // The head is reached from outside by a computed jump alone, with a value that is no word.
      put('auipc', { rd: TARGET, imm: 0 })
      put('slli', { rd: wide, rs1: wide, imm: 7 })
      put('jalr', { rd: 0, rs1: TARGET, imm: 12 })
    }
    const head = at
    put('addiw', { rd: other, rs1: wide, imm: 0 })
    for (let n = 2 + dice.roll(9); n >= 0; n--) operation()
    for (const register of VALUES) put('add', { rd: SUM, rs1: SUM, rs2: register })
    put('addw', { rd: wide, rs1: wide, rs2: other })
    put('addiw', { rd: INDEX, rs1: INDEX, imm: -1 })
    put('bne', { rs1: INDEX, rs2: 0, imm: head - at })
  }
  function table(): void {
    put('andi', { rd: TARGET, rs1: value(), imm: 3 })
    put('slli', { rd: TARGET, rs1: TARGET, imm: 3 })
    put('auipc', { rd: INDEX, imm: 0 })
    put('add', { rd: TARGET, rs1: TARGET, rs2: INDEX })
    put('jalr', { rd: 0, rs1: TARGET, imm: 12 })
    for (let n = 0; n < 4; n++) {
      operation()
      if (n < 3) put('jal', { rd: 0, imm: 8 * (3 - n) })
    }
  }
  function body(self: number): void {
    starts.push(at)
    put('addi', { rd: SP, rs1: SP, imm: -16 })
    put('sd', { rs1: SP, rs2: RA, imm: 8 })
    for (let n = 2 + dice.roll(4); n > 0; n--) {
      const kind = dice.roll(7)
      if (kind < 2) loop()
      else if (kind === 2) table()
      else if (kind === 3 && self + 1 < functions) call(self + 1 + dice.roll(functions - self - 1))
      else operation()
    }
    if (dice.roll(3) === 0) {
      put('addi', { rd: DEPTH, rs1: DEPTH, imm: -1 })
      put('bge', { rs1: 0, rs2: DEPTH, imm: 16 })
      call(self)
    }
    for (const register of VALUES) put('add', { rd: SUM, rs1: SUM, rs2: register })
    put('ld', { rd: RA, rs1: SP, imm: 8 })
    put('addi', { rd: SP, rs1: SP, imm: 16 })
    if (dice.roll(3) === 0) {
      // Not always to where the call was.
      put('andi', { rd: TARGET, rs1: value(), imm: 1 })
      put('slli', { rd: TARGET, rs1: TARGET, imm: 2 })
      put('add', { rd: RA, rs1: RA, rs2: TARGET })
    }
    put('jalr', { rd: 0, rs1: RA, imm: 0 })
  }

  at = MAIN
  put('auipc', { rd: SP, imm: DATA + 0x2000 })
  put('auipc', { rd: 9, imm: DATA })
  put('andi', { rd: 9, rs1: 9, imm: -16 })
  for (const register of VALUES) {
    put('lui', { rd: register, imm: (dice.roll(2 ** 20) << 12) | 0 })
    put('mul', { rd: register, rs1: register, rs2: dice.of(VALUES) })
  }
  put('addi', { rd: COUNT, rs1: 0, imm: 0 })
  put('jal', { rd: 0, imm: CODE - at })
  at = CODE + 0x400 * dice.roll(2)
  const first = at
  put('addi', { rd: DEPTH, rs1: 0, imm: dice.roll(6) })
  for (let n = 1 + dice.roll(3); n > 0; n--) call(dice.roll(functions))
  put('addi', { rd: COUNT, rs1: COUNT, imm: 1 })
  put('jal', { rd: 0, imm: first - at })
  for (let n = 0; n < functions; n++) body(n)
  for (const { at: from, callee } of calls)
    view.setUint32(from, asm.word('jal', { rd: RA, imm: starts[callee]! - from }) >>> 0, true)
  view.setUint32(
    CODE,
    view.getUint32(CODE, true) === 0 ? asm.word('jal', { rd: 0, imm: first - CODE }) >>> 0 : view.getUint32(CODE, true),
    true,
  )
  for (let i = DATA; i < DATA + 0x1000; i++) image[i] = dice.roll(256)
  return elf(image, BASE, BASE)
}
