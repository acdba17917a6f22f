/**
 * Random floating-point programs as whole machines: loops, so that they get hot, over registers that hold ordinary numbers
 * for the most part, with everything between them that makes an engine take another way.
 */
import { Random } from '../../../src/base/index.ts'
import { Assembler, CSR_ADDRESS, encode, FLOAT_OPERATIONS, type Row, ROWS } from '../../../src/guest/index.ts'
import { floatValue } from '../hart/differential/floats.ts'
import { bitsOf } from '../float/operands.ts'
import { kindOf } from '../hart/differential/kinds.ts'
import { BASE, elf, keepOnly } from './random-guest.ts'

const HANDLER = 0x200
const CODE = 0x1000
const CODE_BYTES = 8192
const DATA = 0x8000
const LOG = 0x20000
/** One of its kind for each register, twice, and special ones. */
const VALUES = 64
const SPECIALS = 24
/** Integer registers with a purpose: where the values are, the log's end, data, the rounds of a loop, FS bits, the handler's. */
const TABLE = 18
const LOGGED = 19
const POINTERS = [8, 9, 10]
const COUNTER = 28
const FS_ON = 29
const FS_ALL = 30
const SCRATCH = [26, 31] as const
const SOURCES = [5, 6, 7, 11, 12, 13, 14, 15]
const TARGETS = [0, 5, 6, 7, 11, 12, 13, 14, 15, 16, 17]
/** f0 to f15 hold doubles, those above singles, as a rule. */
const DOUBLES = 16

const FLOAT_ROWS: readonly Row[] = ROWS.filter((row) => kindOf(row).float !== undefined)
/** Those that need no rounding mode, or only a legal one. */
const EXACT_ROWS: readonly Row[] = FLOAT_ROWS.filter(
  (row) => !FLOAT_OPERATIONS[kindOf(row).float!].rounds || /^fcvt\.d\.(?:s|wu?)$/.test(row.name),
)
/** Those that care about NaNs and boxes. */
const WARY_ROWS: readonly Row[] = FLOAT_ROWS.filter((row) =>
  /^f(?:min|max|eq|lt|le|class|sgnj|cvt\.[ds]\.[ds]|add)/.test(row.name),
)
const named = (name: string): Row => ROWS.find((row) => row.name === name)!
const SUMS = { s: [named('fadd.s'), named('fsub.s')], d: [named('fadd.d'), named('fsub.d')] } as const
/** Where operands come from. */
function sourceFormat(row: Row): 's' | 'd' {
  const format = row.extension === 'F' ? 's' : 'd'
  return kindOf(row).float === 'convert' ? (format === 's' ? 'd' : 's') : format
}
const FLOAT_ACCESSES: readonly Row[] = ROWS.filter((row) => /^(?:c\.)?f[ls][wd]$/.test(row.name))
const PLAIN: readonly Row[] = ['addi', 'add', 'xor', 'slli', 'mul', 'ld', 'sd', 'lw', 'sw'].map((name) =>
  ROWS.find((row) => row.name === name)!,
)

export function randomFloatProgram(seed: number): Uint8Array {
  const random = new Random(seed)
  const asm = new Assembler()
  const image = new Uint8Array(0x10000)
  const view = new DataView(image.buffer)
  let at = 0
  const put = (word: number, length = 4): void => {
    if (length === 4) view.setUint32(at, word >>> 0, true)
    else view.setUint16(at, word, true)
    at += length
  }
  const csr = (name: 'csrrs' | 'csrrc' | 'csrrw', address: number, rs1: number, rd = 0): void =>
    put(asm.word(name, { rd, rs1, imm: address }))
  const csrImmediate = (address: number, value: number): void =>
    put(asm.word('csrrwi', { rd: random.oneIn(2) ? 0 : 5, rs1: value, imm: address }))

  const prologue = (): void => {
    put(asm.word('auipc', { rd: 31, imm: 0 }))
    put(asm.word('addi', { rd: 31, rs1: 31, imm: HANDLER }))
    csr('csrrw', CSR_ADDRESS.stvec, 31)
    put(asm.word('auipc', { rd: TABLE, imm: DATA }))
    put(asm.word('addi', { rd: TABLE, rs1: TABLE, imm: -(at - 4) }))
    put(asm.word('auipc', { rd: LOGGED, imm: LOG }))
    for (const register of POINTERS)
      put(asm.word('addi', { rd: register, rs1: TABLE, imm: 1024 + 8 * random.below(64) + (random.oneIn(8) ? 2 : 0) }))
    put(asm.word('lui', { rd: FS_ALL, imm: 0x6000 }))
    put(asm.word('lui', { rd: FS_ON, imm: random.pick([0x2000, 0x4000, 0x6000]) }))
    csr('csrrs', CSR_ADDRESS.sstatus, FS_ON)
    for (let n = 0; n < 32; n++) put(asm.word('fld', { rd: n, rs1: TABLE, imm: 8 * n }))
    for (const register of SOURCES) put(asm.word('ld', { rd: register, rs1: TABLE, imm: 8 * random.below(VALUES) }))
    put(asm.word('auipc', { rd: 31, imm: CODE }))
    put(asm.word('jalr', { rd: 0, rs1: 31, imm: -at + 4 }))
  }

  /** Goes on behind the instruction, whose length it reads. */
  const handler = (): void => {
    const [a, b] = SCRATCH
    at = HANDLER
    csr('csrrs', CSR_ADDRESS.sepc, 0, a)
    put(asm.word('lhu', { rd: b, rs1: a }))
    put(asm.word('andi', { rd: b, rs1: b, imm: 3 }))
    put(asm.word('sltiu', { rd: b, rs1: b, imm: 3 }))
    put(asm.word('slli', { rd: b, rs1: b, imm: 1 }))
    put(asm.word('sub', { rd: a, rs1: a, rs2: b }))
    put(asm.word('addi', { rd: a, rs1: a, imm: 4 }))
    csr('csrrw', CSR_ADDRESS.sepc, a)
    put(asm.word('sret'))
  }

  /** A register of a format, of the other one now and then. */
  const floatRegister = (format: 's' | 'd'): number =>
    random.oneIn(24) ? random.below(32) : random.below(DOUBLES) + (format === 's' ? DOUBLES : 0)

  /** @param fixed a register: of the result, or of the first source */
  const float = (rows: readonly Row[] = FLOAT_ROWS, fixed: { rd?: number; rs1?: number } = {}): void => {
    const row = random.pick(rows)
    const operation = kindOf(row).float!
    const { toInteger, sources } = FLOAT_OPERATIONS[operation]
    const format = row.extension === 'F' ? 's' : 'd'
    const source = sourceFormat(row)
    const truncates = operation.startsWith('to') && random.oneIn(2)
    const own = floatRegister(source)
    const operands = {
      rd: toInteger ? random.pick(TARGETS) : floatRegister(format),
      rs1: sources === 0 ? random.pick(SOURCES) : own,
      rs2: operation.startsWith('sgn') && random.oneIn(4) ? own : floatRegister(format),
      rs3: floatRegister(format),
      rm: truncates ? 1 : random.pick([0, 0, 0, 7, 7, 7, 1, 2, 3, 4]),
      ...(toInteger ? {} : fixed),
      ...(sources > 0 && fixed.rs1 !== undefined ? fixed : {}),
    }
    // Results that feed on themselves are soon infinite.
    if (sources > 0 && fixed.rs1 === undefined && random.oneIn(2)) refresh(operands.rs1)
    if (sources > 1 && random.oneIn(2)) refresh(operands.rs2)
    put(encode(row, keepOnly(row, operands)))
  }

  /** A number from the table, of the kind that the register holds. */
  const refresh = (rd = random.below(32)): void => {
    const imm = 8 * (random.oneIn(16) ? random.below(VALUES) : rd + 32 * random.below(2))
    put(asm.word('fld', { rd, rs1: TABLE, imm }))
  }

  /** A register is known to hold a number, and then it does not, or on one way only. */
  const turn = (): void => {
    const rd = random.below(32)
    const reads = rd < DOUBLES ? 'd' : 's'
    const wary = WARY_ROWS.filter((row) => sourceFormat(row) === reads)
    const watched = random.oneIn(2)
    if (watched) csrImmediate(CSR_ADDRESS.fflags, 1)
    refresh(rd)
    float(SUMS[reads], random.oneIn(3) ? { rs1: rd } : { rd })
    if (random.oneIn(3)) put(asm.word('beq', { rs1: random.pick(SOURCES), rs2: random.pick(SOURCES), imm: 8 }))
    put(asm.word('fld', { rd, rs1: TABLE, imm: 8 * (VALUES + random.below(SPECIALS)) }))
    if (random.oneIn(3)) {
      put(asm.word('beq', { rs1: random.pick(SOURCES), rs2: random.pick(SOURCES), imm: 8 }))
      put(asm.word('fld', { rd, rs1: TABLE, imm: 8 * rd }))
    }
    float(wary, { rs1: rd })
    if (!watched) return
    csr('csrrs', CSR_ADDRESS.fflags, 0, SCRATCH[0])
    append('sd', SCRATCH[0])
  }

  const access = (row: Row): void => {
    const short = row.length === 2
    const [base, other] = [random.pick(POINTERS), random.pick(short ? [11, 12, 13, 14] : SOURCES)]
    const float = row.name.includes('f')
    const register = float && !short ? random.below(32) : other
    const operands = { rd: register, rs1: base, rs2: register, imm: 8 * random.below(short ? 32 : 64) }
    put(encode(row, keepOnly(row, operands)), row.length)
  }

  const plain = (): void => {
    const row = random.pick(PLAIN)
    if (kindOf(row).size > 0) return access(row)
    const operands = {
      rd: random.pick(SOURCES),
      rs1: random.pick(SOURCES),
      rs2: random.pick(SOURCES),
      imm: random.below(50),
    }
    put(encode(row, keepOnly(row, operands)))
  }

  /** Another rounding mode, a reserved one too; other flags, or what they are; the unit off for a while. */
  const control = (): void => {
    const choice = random.below(8)
    if (choice < 2) csrImmediate(CSR_ADDRESS.frm, random.pick([0, 0, 0, 1, 2, 3, 4, 5, 7]))
    else if (choice < 4) csrImmediate(CSR_ADDRESS.fflags, random.pick([0, 1, 1, 16, 31]))
    else if (choice < 6) csr('csrrs', random.pick([CSR_ADDRESS.fcsr, CSR_ADDRESS.fflags]), 0, random.pick(TARGETS))
    else if (choice === 6) {
      // Clean or Initial again: the next write of a register must show.
      csr('csrrc', CSR_ADDRESS.sstatus, FS_ALL)
      csr('csrrs', CSR_ADDRESS.sstatus, FS_ON)
      if (random.oneIn(2)) csr('csrrs', CSR_ADDRESS.sstatus, 0, random.pick(TARGETS))
    } else {
      csr('csrrc', CSR_ADDRESS.sstatus, FS_ALL)
      for (let n = random.between(1, 3); n > 0; n--) float()
      csr('csrrs', CSR_ADDRESS.sstatus, FS_ON)
    }
  }

  /** Appends some of what may have changed. */
  const log = (): void => {
    for (const address of [CSR_ADDRESS.fcsr, CSR_ADDRESS.sstatus]) {
      csr('csrrs', address, 0, SCRATCH[0])
      append('sd', SCRATCH[0])
    }
    for (let n = 0; n < 4; n++) append('fsd', random.below(32))
    for (let n = 0; n < 2; n++) append('sd', random.pick(SOURCES))
  }

  const append = (store: 'sd' | 'fsd', rs2: number): void => {
    put(asm.word(store, { rs1: LOGGED, rs2, imm: 0 }))
    put(asm.word('addi', { rd: LOGGED, rs1: LOGGED, imm: 8 }))
  }

  const skip = (): void =>
    put(
      asm.word(random.pick(['beq', 'bne', 'blt']), {
        rs1: random.pick(SOURCES),
        rs2: random.pick(SOURCES),
        imm: 4 * random.between(2, 4),
      }),
    )

  const loop = (): void => {
    csrImmediate(CSR_ADDRESS.fcsr, random.pick([1, 1, 1, 0, 0, 17, 31]))
    const rows = random.oneIn(4) ? EXACT_ROWS : FLOAT_ROWS
    if (random.oneIn(rows === EXACT_ROWS ? 2 : 4)) {
      csrImmediate(CSR_ADDRESS.frm, random.pick(rows === EXACT_ROWS ? [0, 1, 4, 5, 7] : [1, 2, 3, 4, 5]))
    }
    csr('csrrc', CSR_ADDRESS.sstatus, FS_ALL)
    if (!random.oneIn(12)) csr('csrrs', CSR_ADDRESS.sstatus, random.pick([FS_ON, FS_ALL]))
    put(asm.word('addi', { rd: COUNTER, rs1: 0, imm: random.between(3, 16) }))
    const start = at
    // Some have nothing in them that an engine may have to leave a loop for.
    const calm = random.oneIn(2)
    for (let n = random.between(6, 32); n > 0; n--) {
      const choice = random.below(20)
      if (choice < 10) float(rows)
      else if (choice < 12) turn()
      else if (choice < 13) refresh()
      else if (choice < 15) access(random.pick(FLOAT_ACCESSES))
      else if (choice < 16) plain()
      else if (choice < 19) skip()
      else if (!calm) control()
    }
    // What is skipped is no more than this.
    for (let n = 0; n < 4; n++) refresh()
    if (!calm) log()
    put(asm.word('addi', { rd: COUNTER, rs1: COUNTER, imm: -1 }))
    put(asm.word('bne', { rs1: COUNTER, rs2: 0, imm: start - at }))
    log()
    if (random.oneIn(6)) return
    // No unit goes on here.
    put(asm.word('auipc', { rd: 31, imm: 0 }))
    put(asm.word('jalr', { rd: 0, rs1: 31, imm: 8 }))
  }

  prologue()
  handler()
  at = CODE
  while (at < CODE + CODE_BYTES - 400) loop()
  put(asm.word('jal', { rd: 0, imm: CODE - at }))
  for (let n = 0; n < VALUES; n++) view.setBigUint64(DATA + 8 * n, tableValue(random, n % 32), true)
  for (let n = 0; n < SPECIALS; n++) view.setBigUint64(DATA + 8 * (VALUES + n), specialValue(random), true)
  for (let i = DATA + 8 * (VALUES + SPECIALS); i < image.length; i++) image[i] = random.below(256)
  return elf(image, BASE, BASE)
}

const SPECIAL = {
  s: [0n, 1n << 31n, 0x7f80_0000n, 0xff80_0000n, 0x7fc0_0000n, 0x7f80_0001n, 0xffc0_1234n, 1n, 0x3f80_0000n],
  d: [
    0n,
    1n << 63n,
    0x7ff0n << 48n,
    0xfff0n << 48n,
    0x7ff8n << 48n,
    (0x7ff0n << 48n) | 1n,
    (0xfff8n << 48n) | 77n,
    1n,
    0x3ff0n << 48n,
  ],
} as const

/** NaNs of both kinds and formats for the most part; some are boxed, some are not. */
function specialValue(random: Random): bigint {
  const format = random.oneIn(2) ? 's' : 'd'
  const bits = random.pick(SPECIAL[format])
  return format === 'd' || random.oneIn(4) ? bits : bits | (0xffff_ffffn << 32n)
}

/** Mostly ordinary, so that a chain of operations stays so; some so large or small that a product is not; some special. */
function tableValue(random: Random, register: number): bigint {
  const choice = random.below(16)
  if (choice === 0) return floatValue(random)
  const format = register < DOUBLES ? 'd' : 's'
  const box = format === 'd' ? 0n : 0xffff_ffffn << 32n
  if (choice < 2) return random.pick(SPECIAL[format]) | box
  const range = format === 'd' ? 500 : 60
  const scale = choice > 6 ? random.between(-4, 34) : random.between(-4, 4) + random.pick([-range, range, 32, 52])
  const integer = choice === 6 ? 2 ** 31 + random.below(2 ** 31) : 0
  const number = integer + (random.below(2 ** 20) / 2 ** 20) * (random.oneIn(2) ? 1 : Math.PI) * 2 ** scale
  return bitsOf(random.oneIn(2) ? number : -number, format) | box
}
