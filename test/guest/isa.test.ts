/** The instruction table: unambiguous, invertible, printed as binutils prints it, and usable by any emitter. */
import test from 'ava'
import fc from 'fast-check'
import { Random } from '../../src/base/index.ts'
import {
  Assembler,
  CSR_ADDRESS,
  Decoder,
  Disassembler,
  encode,
  extract,
  isShort,
  type OperandName,
  type Row,
  ROWS,
} from '../../src/guest/index.ts'
import { matches } from '../../src/guest/isa/decode.ts'
import { findObjdump, objdump } from './isa/objdump.ts'
import { stackFault } from './isa/stack-order.ts'

const OPERANDS: readonly OperandName[] = ['rd', 'rs1', 'rs2', 'rs3', 'rm', 'imm']
const SHORT = ROWS.filter((row) => row.length === 2)
const LONG = ROWS.filter((row) => row.length === 4)
const decoder = new Decoder()
const disassembler = new Disassembler()
const program = findObjdump()
const oracle = program === undefined ? test.skip : test
if (program === undefined) console.log('disassembly tests skipped: no RISC-V objdump is installed')

test('row names are unique, and a row sets no bit outside its mask', (t) => {
  t.is(new Set(ROWS.map((row) => row.name)).size, ROWS.length)
  t.deepEqual(
    ROWS.filter((row) => (row.match & ~row.mask) !== 0),
    [],
  )
})

test('no two 32-bit rows match the same word', (t) => {
  const clashes: string[] = []
  LONG.forEach((a, n) => {
    for (const b of LONG.slice(n + 1)) {
      if (((a.match ^ b.match) & a.mask & b.mask) === 0) clashes.push(`${a.name} and ${b.name}`)
    }
  })
  t.deepEqual(clashes, [])
})

test('each of the 49152 short words has at most one row, and the decoder finds it', (t) => {
  for (let word = 0; word < 65536; word++) {
    if (!isShort(word)) continue
    const found = SHORT.filter((row) => matches(row, word))
    const expected = found.length === 0 ? 'illegal' : found.map((row) => row.name).join()
    if (decoder.decode(word).row.name !== expected) t.fail(`${word.toString(16)}: ${expected}`)
  }
  t.pass()
})

test('operand bits and opcode bits of a row do not overlap', (t) => {
  for (const row of ROWS) {
    let operands = 0
    for (const name of OPERANDS) {
      for (const { low, width } of row.format[name]?.slices ?? []) operands |= ((2 ** width - 1) << low) >>> 0
    }
    if ((operands & row.mask) !== 0) t.fail(`${row.name}: ${((operands & row.mask) >>> 0).toString(16)}`)
  }
  t.pass()
})

test('a word decodes to a row and operands that encode to the same word', (t) => {
  const word = fc
    .constantFrom(...ROWS)
    .chain((row) =>
      fc
        .integer()
        .map((bits) => ({ row, word: (row.match | (bits & ~row.mask & (row.length === 2 ? 0xffff : -1))) >>> 0 })),
    )
  fc.assert(
    fc.property(word, ({ row, word: bits }) => {
      const d = decoder.decode(bits)
      if (d.row !== row) return matches(d.row, bits) && !matches(row, bits)
      const operands: Partial<Record<OperandName, number>> = {}
      for (const name of OPERANDS) if (row.format[name] !== undefined) operands[name] = d[name]
      // Bits that no operand holds (aq and rl, ignored fields) are not part of the round trip.
      const held = OPERANDS.flatMap((name) => row.format[name]?.slices ?? [])
      const mask = held.reduce((m, { low, width }) => m | ((2 ** width - 1) << low), row.mask)
      return ((encode(row, operands) ^ bits) & mask) === 0
    }),
    { numRuns: 5000 },
  )
  t.pass()
})

test('the assembler refuses what cannot be encoded', (t) => {
  const asm = new Assembler()
  const refused = (name: string, operands: Parameters<Assembler['word']>[1]): void => {
    t.throws(() => asm.word(name, operands), { code: 'EINVAL' }, `${name} ${JSON.stringify(operands)}`)
  }
  refused('addi', { rd: 1, rs1: 1, imm: 2048 })
  refused('addi', { rd: 32 })
  refused('beq', { imm: 3 })
  refused('c.lw', { rd: 7, rs1: 8 })
  refused('c.add', { rd: 5, rs1: 6, rs2: 7 })
  refused('c.addi4spn', { rd: 8, imm: 0 })
  refused('c.lui', { rd: 2, imm: 4096 })
  refused('lui', { rd: 1, rs2: 1 })
  refused('fadd.s', { rd: 1, rs1: 1, rs2: 1, rm: 5 })
  refused('no.such', {})
  t.is(asm.word('addi', { rd: 10, rs1: 0, imm: -1 }), 0xfff00513)
  t.is(asm.word('c.j', { imm: -2 }), 0xbffd)
})

const name = (word: number): string => decoder.decode(word).row.name

test('reserved encodings are illegal, hints are not', (t) => {
  const illegal = [0x0000, 0x2001, 0x2005, 0x6101, 0x6081, 0x4002, 0x6002, 0x8002, 0x9c41, 0x9c61, 0x8000]
  // mret, hfence.vvma, a 48-bit prefix, and an amo with an unused funct5.
  illegal.push(0x30200073, 0x22000073, 0x0000001f, 0x2800202f, 0xffffffff)
  for (const word of illegal) t.is(name(word), 'illegal', word.toString(16))
  const hints: readonly (readonly [number, string])[] = [
    [0x0005, 'c.nop'],
    [0x0081, 'c.addi'],
    [0x4005, 'c.li'],
    [0x6005, 'c.lui'],
    [0x0006, 'c.slli'],
    [0x0082, 'c.slli'],
    [0x8001, 'c.srli'],
    [0x8006, 'c.mv'],
    [0x9006, 'c.add'],
  ]
  for (const [word, expected] of hints) t.is(name(word), expected, word.toString(16))
})

test('semantics use values in stack order, once, and end with at most one effect', (t) => {
  const faults = ROWS.flatMap((row) => {
    const fault = stackFault(row)
    return fault === undefined ? [] : [`${row.name}: ${fault}`]
  })
  t.deepEqual(faults, [])
})

test('a compressed row means what the row it expands to means', (t) => {
  for (const row of SHORT) t.is(row.expandsTo?.semantics, row.semantics)
})

test('instructions print with ABI names, targets and ordering bits', (t) => {
  const asm = new Assembler()
  t.is(disassembler.print(asm.word('lw', { rd: 10, rs1: 8, imm: -4 })), 'lw a0,-4(s0)')
  t.is(disassembler.print(asm.word('c.bnez', { rs1: 9, imm: -6 }), 0x8000_0010n), 'c.bnez s1,0x8000000a')
  t.is(disassembler.print(asm.word('amoadd.d', { rd: 5, rs1: 6, rs2: 7 }) | (3 << 25)), 'amoadd.d.aqrl t0,t2,(t1)')
  t.is(disassembler.print(asm.word('csrrw', { rd: 0, rs1: 10, imm: CSR_ADDRESS.satp })), 'csrrw zero,satp,a0')
  t.is(disassembler.print(asm.word('fence', { imm: 0x33 })), 'fence rw,rw')
  t.is(disassembler.print(asm.word('fmadd.d', { rd: 10, rs1: 0, rs2: 8, rs3: 31, rm: 7 })), 'fmadd.d fa0,ft0,fs0,ft11')
  t.is(disassembler.print(asm.word('fadd.s', { rd: 10, rs1: 1, rs2: 2, rm: 1 })), 'fadd.s fa0,ft1,ft2,rtz')
  t.is(disassembler.print(asm.word('c.fldsp', { rd: 9, imm: 16 })), 'c.fldsp fs1,16(sp)')
  t.is(disassembler.print(0), '.2byte 0x0')
})

/** Our text for a word, in the spelling that objdump uses for hints. */
function likeObjdump(word: number, pc: bigint): string {
  const text = disassembler.print(word, pc)
  const shift = /^c\.(slli|srli|srai) (\w+),0x0$/.exec(text)
  if (shift !== null) return `c.${shift[1] ?? ''}64 ${shift[2] ?? ''}`
  return text.replace(/^c\.nop ?(-?\d*)$/, (_, imm: string) => `c.addi zero,${imm === '' ? '0' : imm}`)
}

/** Reserved words that objdump prints all the same: the rounding modes, and two short ones. */
const onlyThere = (text: string): boolean => /,unknown$|^c\.unimp$|^c\.addi16sp sp,0$/.test(text)
/** Binutils before 2.41 takes a rounding mode of an exact conversion for another instruction. */
const unknownThere = (text: string, theirs: string): boolean =>
  /^fcvt\.d\.(s|wu?) .*,(rtz|rdn|rup|rmm|dyn)$/.test(text) && theirs.startsWith('.4byte')
/** Binutils names every CSR, the disassembler those of a guest. */
const namedOnlyThere = (word: number): boolean => {
  const { row, imm } = decoder.decode(word)
  return row.extension === 'Zicsr' && !GUEST_CSRS.includes(imm)
}
const GUEST_CSRS: readonly number[] = Object.values(CSR_ADDRESS)

function compareWithObjdump(words: readonly number[]): string[] {
  const theirs = objdump(program as string, words)
  const differences: string[] = theirs.length === words.length ? [] : ['objdump lost its way']
  let pc = 0n
  words.forEach((word, n) => {
    const text = likeObjdump(word, pc)
    const other = theirs[n] as string
    const known = onlyThere(other) || unknownThere(text, other) || namedOnlyThere(word)
    if (text !== other && !known) differences.push(`${word.toString(16)}: ${text}, objdump ${other}`)
    pc += isShort(word) ? 2n : 4n
  })
  return differences
}

oracle('every row prints as objdump prints it', (t) => {
  const random = new Random(1)
  const words = ROWS.flatMap((row) =>
    Array.from({ length: 30 }, () => {
      const bits = random.next32() & ~row.mask & (row.length === 2 ? 0xffff : -1)
      const word = (row.match | bits) >>> 0
      // Reserved fields of the fences, which objdump does not print, are zero.
      if (row.name === 'fence') return (word & 0x0ff0707f) >>> 0
      if (row.name === 'fence.i') return row.match
      return row.extension === 'Zicsr' ? ((word & 0xfffff) | (random.pick(GUEST_CSRS) << 20)) >>> 0 : word
    }),
  )
  t.deepEqual(compareWithObjdump(words), [])
})

oracle('all 49152 short words are legal or not as in objdump', (t) => {
  t.deepEqual(compareWithObjdump(Array.from({ length: 65536 }, (_, word) => word).filter(isShort)), [])
})

oracle('random words are instructions or not as objdump says', (t) => {
  const random = new Random(3)
  const words: number[] = []
  while (words.length < 20_000) {
    const word = (random.next32() | 3) >>> 0
    const { row } = decoder.decode(word)
    // Fences print their reserved fields differently, or not at all.
    if (isShort(word) || (word & 0x1f) === 0x1f || row.name.startsWith('fence')) continue
    words.push(word)
  }
  t.deepEqual(compareWithObjdump(words), [])
})

test('extracting an immediate sign-extends it', (t) => {
  const jal = ROWS.find((row) => row.name === 'jal') as Row
  t.is(extract(jal.format.imm as never, 0xfffff06f), -2)
  t.is(extract(jal.format.imm as never, 0x7ffff06f), 0xfffff - 1)
})
