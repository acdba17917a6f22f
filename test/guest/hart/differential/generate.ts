/**
 * Random programs over every row of the table, with operands that make something happen: bases that point into the data
 * pages and over their edges, branches to instructions ahead, CSR values that keep the trap handler alive.
 */
import { Random } from '../../../../src/base/index.ts'
import {
  CSR_ADDRESS,
  Decoder,
  encode,
  extract,
  type Field,
  FLOAT_OPERATIONS,
  isShort,
  type OperandName,
  type Operands,
  type Row,
  ROWS,
} from '../../../../src/guest/index.ts'
import {
  address,
  ALIAS,
  ALIASES,
  FUSE,
  HANDLER_SCRATCH,
  Page,
  RESUME,
  RESUME_BYTES,
  SATP_SV39,
  SATP_SV48,
} from './arena.ts'
import { type Case, CASE_STATUS } from './case.ts'
import { floatValue } from './floats.ts'
import { type Kind, kindOf } from './kinds.ts'

/** Registers that programs use as bases: some of x8-x15 for compressed instructions, and sp. */
const POINTERS = [2, 8, 9, 10, 11, 12, 16, 20]
/** Never written: values for satp and stvec, and the address of a later instruction. */
const SATP_VALUE = 26
const STVEC_VALUE = 27
const TARGET_VALUE = 25
/** An aligned address that can always be stored to. */
const SAFE_POINTER = 24
/** For sstatus: without VS and UXL, which QEMU 7.2 lets be written. */
const STATUS_VALUE = 23
/** In a page, and so far from its start that no offset leads before it: PMP refuses what crosses from one of its areas. */
const MIDDLE = 2200
const FS = 0x6000n
/** Counts the rounds of a loop. */
const ROUNDS = 19
export const RESERVED: readonly number[] = [
  ROUNDS,
  FUSE,
  ...HANDLER_SCRATCH,
  STATUS_VALUE,
  SAFE_POINTER,
  SATP_VALUE,
  STVEC_VALUE,
  TARGET_VALUE,
]
const EDGES = [0n, 1n, -1n, 1n << 63n, (1n << 63n) - 1n, 1n << 31n, (1n << 31n) - 1n, -(1n << 31n), 1n << 32n, 2n]

/** CSR numbers: ours, some that do not exist, and some of M-mode and H-mode. */
const WRITABLE = [
  'sscratch',
  'sepc',
  'scause',
  'stval',
  'sstatus',
  'sie',
  'sip',
  'stvec',
  'satp',
  'scounteren',
  'fcsr',
  'fflags',
  'frm',
] as const
const READABLE = WRITABLE.map((name) => CSR_ADDRESS[name])
const ABSENT = [0x300, 0x305, 0x340, 0x3a0, 0xf14, 0x200, 0x600, 0x680, 0x5c0, 0x7c0, 0xcc0, 0x14d, 0x008, 0x015, 0x9c0]

interface Item {
  readonly row: Row
  readonly operands: Partial<Record<OperandName, number>>
  /** Item that a branch or jump goes to. */
  readonly target: number
  /** Nothing may jump here past the items before it: the lr of this sc, the enabling of this wfi. */
  readonly bound?: true
}

/** Of words that are no instruction. */
const NO_KIND: Kind = {
  size: 0,
  atomic: undefined,
  transfer: undefined,
  csr: undefined,
  float: undefined,
  system: undefined,
}

/** A stream of cases; the same seed gives the same cases. */
export class Generator {
  private readonly random: Random
  private readonly kinds = new Map<Row, Kind>(ROWS.map((row) => [row, kindOf(row)]))
  private readonly decoder = new Decoder()
  /** Interrupts of the next case: none in seven of eight. External never comes with software: QEMU 7.2 has their order wrong. */
  private pending = 0
  /** The handler of the next case goes on behind traps. */
  private resuming = false
  /**
   * FS may be Initial or Clean in the next case. Then nothing raises flags without writing a register: QEMU 7.2 forgets
   * to make FS Dirty there.
   */
  private anyFs = false
  /** Rows by how their programs must be made. */
  private readonly plain: readonly Row[]

  constructor(seed: number) {
    this.random = new Random(seed)
    this.plain = ROWS.filter((row) => this.kind(row).atomic !== 'lr' && this.kind(row).atomic !== 'sc')
  }

  private kind(row: Row): Kind {
    return this.kinds.get(row) ?? NO_KIND
  }

  /** The next case. @param focus a row that must occur in it */
  next(focus: Row): Case {
    const { random } = this
    const supervisor = random.oneIn(2)
    this.pending = random.oneIn(8) ? random.pick([2, 0x20, 0x22, 0x200]) : 0
    // Not with sret, which would go back to where the last trap went on, for ever.
    this.resuming = this.kind(focus).system !== 'sret' && random.oneIn(2)
    this.anyFs = !this.raisesOnly(focus) && random.oneIn(3)
    const satp = random.pick([0n, SATP_SV39, SATP_SV48])
    const length = random.between(3, 24)
    const at = random.below(length)
    const items: Item[] = []
    let focused = false
    while (items.length < length || !focused) {
      if (items.length >= at && !focused) {
        focused = true
        items.push(...this.items(focus, items.length, length))
      } else if (random.oneIn(40)) items.push(...this.nearMiss())
      else if (random.oneIn(12)) items.push(...this.reservedPair())
      else items.push(...this.items(this.anyRow(), items.length, length))
    }
    if (random.oneIn(3)) this.addLoop(items)
    const entry = this.entry(supervisor)
    const { program, offsets } = layOut(items)
    // What jumps through a register, or returns by sret, goes to an instruction behind all of these: no program loops.
    const last = items.findLastIndex(
      ({ row }) => this.kind(row).transfer === 'indirect' || this.kind(row).system === 'sret',
    )
    const target = entry + (offsets[free(items, random.between(last + 1, items.length))] as number)
    return {
      registers: this.registers(satp !== 0n, supervisor, target),
      floats: Array.from({ length: 32 }, () => floatValue(random)),
      csrs: this.csrs(satp, target),
      supervisor,
      entry,
      program,
    }
  }

  /** A comparison, or a conversion to an integer. */
  private raisesOnly(row: Row): boolean {
    const { float } = this.kind(row)
    return float !== undefined && FLOAT_OPERATIONS[float].toInteger && FLOAT_OPERATIONS[float].flags
  }

  private anyRow(): Row {
    const row = this.random.pick(this.plain)
    const forbidden = (this.resuming && this.kind(row).system === 'sret') || (this.anyFs && this.raisesOnly(row))
    return forbidden ? this.anyRow() : row
  }

  /** Goes back from one place to an earlier one, a few times; branches may leave the loop or skip its end. */
  private addLoop(items: Item[]): void {
    const { random } = this
    const from = free(items, random.below(items.length))
    const to = free(items, random.between(from, items.length))
    const count = ROWS.find((row) => row.name === 'addi') as Row
    const back = ROWS.find((row) => row.name === 'bne') as Row
    const moved = (n: number): number => (n > to ? n + 2 : n)
    items.forEach((item, n) => (items[n] = { ...item, target: moved(item.target) }))
    items.splice(
      to,
      0,
      { row: count, operands: { rd: ROUNDS, rs1: ROUNDS, imm: -1 }, target: 0 },
      { row: back, operands: { rs1: ROUNDS, rs2: 0 }, target: from, bound: true },
    )
  }

  /** Mostly the start of a code page, sometimes so near the end that the program runs into the next page. */
  private entry(supervisor: boolean): number {
    const { random } = this
    const page = random.below(2)
    const start = address((supervisor ? Page.CODE_S : Page.CODE_U) + page)
    // S-mode stays out of the U-mode code: after an sret SAFE_POINTER would not be safe there for a lone sc, and with SUM
    // QEMU 7.2 lets S-mode fetch from a U page that it has read.
    if ((supervisor && page === 1) || !random.oneIn(3)) return start + 8 * random.below(64)
    return start + 4096 - 2 * random.below(40)
  }

  /** sstatus bits. FS is on more often than not. */
  private status(): bigint {
    const { random } = this
    const status = BigInt(random.next32() >>> 0) & CASE_STATUS
    if (this.anyFs) return status
    return random.oneIn(6) ? status & ~FS : status | FS
  }

  private csrs(satp: bigint, target: number): Case['csrs'] {
    const { random } = this
    const ending = BigInt(address(Page.HANDLER) + 4 * random.below(64)) | BigInt(random.below(2))
    const stvec = this.resuming ? BigInt(RESUME + RESUME_BYTES * random.below(2)) : ending
    const pending = BigInt(this.pending)
    return {
      sstatus: this.status() & (pending === 0n || random.oneIn(2) ? ~0n : ~2n),
      sie: BigInt(random.pick([0, 0, 2, 0x20, 0x200, 0x222])),
      sip: pending,
      stvec,
      scounteren: BigInt(random.below(8)),
      sscratch: random.next64(),
      sepc: BigInt(target),
      scause: 0n,
      stval: 0n,
      satp,
      // Now and then a reserved rounding mode.
      fcsr: BigInt((random.below(random.oneIn(8) ? 8 : 5) << 5) | (random.oneIn(2) ? 0 : random.below(32))),
    }
  }

  private registers(paged: boolean, supervisor: boolean, target: number): bigint[] {
    const { random } = this
    const registers = Array.from({ length: 32 }, () =>
      random.oneIn(3) ? random.pick(EDGES) : random.oneIn(3) ? BigInt(random.between(-40, 40)) : random.next64(),
    )
    for (const n of POINTERS) registers[n] = this.pointer(paged, supervisor)
    registers[0] = 0n
    registers[FUSE] = BigInt(random.between(2, 12))
    registers[ROUNDS] = BigInt(random.between(1, 4))
    registers[SAFE_POINTER] = BigInt(address(supervisor ? Page.DATA_S : Page.DATA_U) + 8 * random.below(512))
    registers[STATUS_VALUE] = (random.next64() & ~(CASE_STATUS | 0x3_0000_0600n)) | this.status()
    registers[SATP_VALUE] = random.pick([0n, SATP_SV39, SATP_SV48, SATP_SV39 | (5n << 44n), (5n << 60n) | 77n, -1n])
    registers[STVEC_VALUE] = BigInt(address(Page.HANDLER) + 4 * random.below(64) + random.below(4))
    registers[TARGET_VALUE] = BigInt(target)
    return registers.map((value) => BigInt.asUintN(64, value))
  }

  private pointer(paged: boolean, supervisor: boolean): bigint {
    const { random } = this
    const choice = random.below(20)
    const data = supervisor ? Page.DATA_S : Page.DATA_U
    const align = random.pick([8, 8, 8, 4, 2, 1])
    const near = align * Math.trunc(random.between(-24, 24) / align)
    if (choice < 10 || !paged) {
      const page = choice === 0 ? random.pick([Page.DATA_S, Page.DATA_U]) : data
      const middle = random.oneIn(3) ? 4096 : MIDDLE
      const outside =
        !paged && choice > 15 ? MIDDLE + random.pick([address(Page.TABLES), address(Page.END), 0x3000_0000]) : 0
      return BigInt((outside === 0 ? address(page) + middle + 4096 * random.below(2) : outside) + near)
    }
    if (choice < 18) return BigInt(ALIAS + 4096 * random.below(ALIASES.length) + (random.oneIn(2) ? 2048 : 0) + near)
    const giga = 1n << 30n
    const wrong = [3n * giga, 4n * giga, 5n * giga, 6n * giga, 7n * giga, 1n << 38n, 1n << 47n, -(1n << 38n) - 4096n]
    const high = [-2n * giga + (BigInt(address(data + 1)) % giga), 2n * giga + (1n << 21n), 2n * giga + (2n << 21n), 0n]
    return random.pick([...wrong, ...high]) + BigInt(near)
  }

  /** A row with operands, and what must come before it. */
  private items(row: Row, index: number, length: number): Item[] {
    const { random } = this
    const kind = this.kind(row)
    if (kind.atomic === 'sc') return this.reservedPair(row)
    if (kind.csr !== undefined) return [this.csrItem(row, kind)]
    if (kind.system === 'wfi') return this.wokenWait(row)
    if (row.name === 'ctzw') return this.narrowed(row)
    const item = { row, operands: this.operands(row, kind), target: Math.min(index + random.between(1, 6), length) }
    // Equal operands, or branches would hardly ever see any.
    const { rs1, rs2 } = item.operands
    if (kind.transfer === 'branch' && rs1 !== undefined && rs2 !== undefined && random.oneIn(4)) item.operands.rs2 = rs1
    if (kind.transfer !== 'indirect') return [item]
    // Jump to a later instruction, through the register that holds its address; now and then to nowhere.
    return [random.oneIn(4) ? this.wildJump(row) : this.aimedJump(row)]
  }

  /** With the upper half of its operand a sign: where the lower one is zero, QEMU 7.2 counts on in it. */
  private narrowed(row: Row): Item[] {
    const { random } = this
    const narrow = ROWS.find((one) => one.name === 'addiw') as Row
    const rs1 = random.pick([5, 6, 7])
    const word = { rd: rs1, rs1: random.oneIn(2) ? rs1 : random.below(32), imm: random.pick([0, 0, 1, -1]) }
    return [
      { row: narrow, operands: word, target: 0 },
      { row, operands: { ...this.operands(row, this.kind(row)), rs1 }, target: 0, bound: true },
    ]
  }

  /** wfi with an interrupt pending and enabled, so that it does not wait. */
  private wokenWait(wfi: Row): Item[] {
    const set = ROWS.find((row) => this.kind(row).csr === 'set' && row.format.syntax.includes('zimm')) as Row
    const sie = { row: set, operands: { rd: 0, rs1: 2, imm: CSR_ADDRESS.sie }, target: 0 }
    const sip = { row: set, operands: { rd: 0, rs1: 2, imm: CSR_ADDRESS.sip }, target: 0 }
    if (this.pending === 0x200) return [sie]
    return [sie, { ...sip, bound: true }, { row: wfi, operands: {}, target: 0, bound: true }]
  }

  private aimedJump(row: Row): Item {
    const operands = this.operands(row, this.kind(row))
    operands.rs1 = TARGET_VALUE
    if (row.format.imm !== undefined) operands.imm = this.random.below(2)
    return { row, operands, target: 0 }
  }

  private wildJump(row: Row): Item {
    const operands = this.operands(row, this.kind(row))
    operands.rs1 = this.random.pick([SATP_VALUE, 0, 3, 4])
    if (operands.rs1 === 0 && row.format.imm === undefined) operands.rs1 = SATP_VALUE
    return { row, operands, target: 0 }
  }

  /** lr and sc of one address, with a little register arithmetic between: the constrained loop's shape. */
  private reservedPair(focus?: Row): Item[] {
    const { random } = this
    const atomics = ROWS.filter((row) => this.kind(row).atomic === 'sc')
    const sc = focus ?? random.pick(atomics)
    const lr = ROWS.find((row) => this.kind(row).atomic === 'lr' && this.kind(row).size === this.kind(sc).size) as Row
    const between = ROWS.filter((row) => row.name === 'addi' || row.name === 'xor' || row.name === 'c.li')
    const items: Item[] = []
    // QEMU translates the address of an sc only if its lr was of the same one, and succeeded; so an sc that may come to be
    // without its lr gets an address without faults.
    const alone = random.oneIn(5)
    const base = alone || this.resuming ? SAFE_POINTER : random.pick(POINTERS)
    const first = { ...this.operands(lr, this.kind(lr)), rs1: base, rd: random.pick([5, 6, 7]) }
    if (!alone) items.push({ row: lr, operands: first, target: 0 })
    for (let n = random.below(3); n > 0; n--) {
      const row = random.pick(between)
      items.push({ row, operands: { ...this.operands(row, this.kind(row)), rd: random.pick([5, 6, 7]) }, target: 0 })
    }
    items.push({ row: sc, operands: { ...this.operands(sc, this.kind(sc)), rs1: base }, target: 0 })
    return items.map((item, n) => (n === 0 ? item : { ...item, bound: true }))
  }

  /** A word one or two bits away from an instruction, if it is none itself: reserved encodings, other extensions. */
  private nearMiss(): Item[] {
    const { random } = this
    const row = random.pick(ROWS)
    let word = (row.match | (random.next32() & ~row.mask & (row.length === 2 ? 0xffff : -1))) >>> 0
    for (let flips = random.between(1, 2); flips > 0; flips--) word ^= 1 << random.below(row.length * 8)
    const { row: found } = this.decoder.decode(word)
    // QEMU reads 16 bits where the low bits say so; a word that changed its length would be another program.
    if (isShort(word) !== (row.length === 2) || ROWS.includes(found)) return []
    const only = { ...found, mask: row.length === 2 ? 0xffff : 0xffffffff, match: word >>> 0, format: { syntax: '' } }
    return [{ row: only, operands: {}, target: 0 }]
  }

  private csrItem(row: Row, kind: Kind): Item {
    const { random } = this
    const operands = this.operands(row, kind)
    const immediate = row.format.syntax.includes('zimm')
    const picked = random.pick(WRITABLE)
    const name = picked === 'sip' && this.pending === 0x200 ? 'sscratch' : picked
    operands.imm = CSR_ADDRESS[name]
    const choice = random.below(16)
    if (choice < 2) {
      operands.imm = random.pick(ABSENT)
    } else if (choice < 4) {
      // The counters: only whether they may be read.
      const rs1 = random.pick([0, TARGET_VALUE])
      return { row, operands: { rd: 0, rs1, imm: random.between(0xc00, 0xc02) }, target: 0 }
    } else if (choice < 6) {
      operands.imm = random.pick(READABLE)
      operands.rs1 = 0
      if (kind.csr === 'write') operands.imm = CSR_ADDRESS.sscratch
    } else if (name === 'satp' || name === 'stvec') {
      if (immediate || kind.csr !== 'write') operands.rs1 = 0
      else operands.rs1 = name === 'satp' ? SATP_VALUE : STVEC_VALUE
      if (kind.csr === 'write' && immediate) operands.imm = CSR_ADDRESS.sscratch
    } else if (name === 'scounteren') {
      // QEMU keeps every bit of it; ours has those of the three counters.
      operands.rs1 = immediate ? random.below(8) : 0
      if (kind.csr === 'write' && !immediate) operands.imm = CSR_ADDRESS.sscratch
    } else if (name === 'sstatus' && !immediate) {
      operands.rs1 = STATUS_VALUE
    } else if (name === 'sepc') {
      // Even: QEMU 7.2 keeps bit 0. An immediate moves the address by some instructions, and an sret would then lead behind
      // the lr of an sc. There a failing sc is free to fault or not ("may be treated like a store"): we do, QEMU does not.
      operands.rs1 = immediate ? 2 * random.below(16) : TARGET_VALUE
      if (immediate && !this.resuming) operands.rs1 = 0
    }
    return { row, operands, target: 0 }
  }

  /** Random operands that the row's format can hold. */
  private operands(row: Row, kind: Kind): Partial<Record<OperandName, number>> {
    const operands: Partial<Record<OperandName, number>> = {}
    for (let tries = 0; tries < 100; tries++) {
      for (const name of ['rd', 'rs1', 'rs2', 'rs3', 'rm', 'imm'] as const) {
        const field = row.format[name]
        if (field === undefined || field.slices.length === 0) continue
        operands[name] = this.operand(name, field, kind)
      }
      // Most compressed instructions have one field for both.
      if (operands.rd !== undefined && row.format.rs1 === row.format.rd) operands.rs1 = operands.rd
      const allowed = row.except.every(([name, value]) => operands[name] !== value)
      const spared = operands.rd === undefined || !RESERVED.includes(operands.rd)
      if (allowed && spared) break
    }
    return operands
  }

  private operand(name: OperandName, field: Field, kind: Kind): number {
    const { random } = this
    if (name === 'rs1' && kind.size > 0 && !random.oneIn(10)) return this.fitting(field, random.pick(POINTERS))
    const value = extract(field, random.next32())
    if (name === 'rd' && POINTERS.includes(value) && !random.oneIn(6)) return extract(field, random.next32())
    if (name !== 'imm' || kind.size === 0) return value
    // Short offsets keep accesses in the data pages; most are aligned.
    const short = random.oneIn(6) ? value : value % 64
    return this.fitting(field, random.oneIn(4) ? short : short - (short % kind.size))
  }

  /** The value itself if the field can hold it, else any that it can. */
  private fitting(field: Field, value: number): number {
    const word = 2 ** field.zeros
    const rounded = value - (value % word)
    const low = field.signed ? -(2 ** (field.width - 1)) : field.bias
    const high = field.signed ? 2 ** (field.width - 1) - 1 : 2 ** field.width - 1 + field.bias
    return rounded >= low && rounded <= high ? rounded : extract(field, this.random.next32())
  }
}

/** The next item that may be jumped to. */
function free(items: readonly Item[], target: number): number {
  let n = target
  while (items[n]?.bound === true) n++
  return n
}

/** Encodes the items; branches get their offsets. */
function layOut(items: readonly Item[]): { program: number[]; offsets: number[] } {
  const offsets: number[] = []
  let at = 0
  for (const { row } of items) {
    offsets.push(at)
    at += row.length
  }
  offsets.push(at)
  const program = items.map(({ row, operands, target }, n) => {
    const field = row.format.imm
    if (!row.format.syntax.includes('target') || field === undefined) return encode(row, legal(row, operands))
    return encode(
      row,
      legal(row, { ...operands, imm: (offsets[free(items, target)] as number) - (offsets[n] as number) }),
    )
  })
  return { program, offsets }
}

/** Where the random operands hit a reserved encoding after all, the nearest legal ones. */
function legal(row: Row, operands: Partial<Operands>): Partial<Operands> {
  const hit = row.except.filter(([name, value]) => (operands[name] ?? value) === value)
  return hit.reduce((o, [name]) => ({ ...o, [name]: name === 'imm' ? 16 : name === 'rm' ? 7 : 5 }), operands)
}
