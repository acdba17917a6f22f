/**
 * What is known of the widths of registers in a unit, so that 32-bit instructions need not extend what is extended already.
 *
 * A width says that a value fits into so many bits as a signed number, and that it is not negative and below a power of two.
 * Every block starts with what holds on all edges to it. Where a unit is entered nothing is known - except at the heads of
 * loops: there the extension to 32 bits is taken for granted if the edges in the unit have it, and tested at the entry.
 *
 * R1 An entry from outside is checked for all that is taken for granted there (`guards`).
 */
import type { AccessSize, Decoded, Emitter } from '../isa/index.ts'
import type { Block, Unit } from './unit.ts'

/** Signed bits (1-64), and 256 times the unsigned bits (0-63; 64: may be negative). */
type Width = number
const UNKNOWN: Width = 64 | (64 << 8)
const WORD: Width = 32 | (64 << 8)
/** Of a register that nothing has reached yet. */
const UNREACHED: Width = 0
const ZERO: Width = 1
/** 0 to 64. */
const COUNT: Width = 8 | (7 << 8)
const signed = (width: Width): number => width & 0xff
const unsigned = (width: Width): number => width >> 8

function widthOf(signedBits: number, unsignedBits: number): Width {
  if (unsignedBits > 63) return Math.min(signedBits, 64) | (64 << 8)
  return Math.min(signedBits, unsignedBits + 1) | (unsignedBits << 8)
}

/** What holds for both. */
function either(a: Width, b: Width): Width {
  return Math.max(signed(a), signed(b)) | (Math.max(unsigned(a), unsigned(b)) << 8)
}

/** For both, coarsely: a loop that widens a register a bit a turn is through at once. */
function widened(a: Width, b: Width): Width {
  const both = either(a, b)
  if (both === a || a === UNREACHED) return both
  const bits = unsigned(both)
  return widthOf(signed(both) > 32 ? 64 : 32, bits <= 31 ? 31 : bits <= 32 ? 32 : 64)
}

function constantWidth(value: number): Width {
  if (!Number.isSafeInteger(value)) return UNKNOWN
  let bits = 0
  for (let rest = value < 0 ? -1 - value : value; rest >= 1; rest /= 2) bits++
  return widthOf(bits + 1, value < 0 ? 64 : bits)
}

/** Executes instructions on widths. */
class WidthEmitter implements Emitter<Width, void> {
  now!: Decoded
  readonly registers: Int32Array = new Int32Array(32)
  /** Bit n: the n-th extension of the instruction changes nothing. */
  needless = 0
  private extensions = 0
  /** The constant that was made last, if nothing came after it. */
  private last: number | null = null

  execute(decoded: Decoded): void {
    this.now = decoded
    this.needless = 0
    this.extensions = 0
    decoded.semantics(this)
    this.registers[0] = ZERO
  }

  private value(width: Width): Width {
    this.last = null
    return width
  }
  rs1(): Width {
    return this.value(this.registers[this.now.rs1] as number)
  }
  rs2(): Width {
    return this.value(this.registers[this.now.rs2] as number)
  }
  imm(): Width {
    this.last = this.now.imm
    return constantWidth(this.now.imm)
  }
  uimm(): Width {
    return this.value(widthOf(6, 5))
  }
  pc(): Width {
    return this.value(UNKNOWN)
  }
  nextPc(): Width {
    return this.value(UNKNOWN)
  }
  constant(value: bigint): Width {
    this.last = Number(value)
    return constantWidth(this.last)
  }
  add(a: Width, b: Width): Width {
    // A move, or sext.w.
    if (this.last === 0) return this.value(a)
    return this.value(widthOf(Math.max(signed(a), signed(b)) + 1, Math.max(unsigned(a), unsigned(b)) + 1))
  }
  sub(a: Width, b: Width): Width {
    return this.value(widthOf(Math.max(signed(a), signed(b)) + 1, 64))
  }
  and(a: Width, b: Width): Width {
    return this.value(widthOf(Math.max(signed(a), signed(b)), Math.min(unsigned(a), unsigned(b))))
  }
  or(a: Width, b: Width): Width {
    return this.value(either(a, b))
  }
  xor(a: Width, b: Width): Width {
    return this.value(either(a, b))
  }
  shiftLeft(a: Width, _amount: Width): Width {
    if (this.last === null) return UNKNOWN
    const amount = this.last & 63
    return this.value(widthOf(signed(a) + amount, unsigned(a) + amount))
  }
  shiftRight(a: Width, _amount: Width): Width {
    const amount = this.last === null ? 0 : this.last & 63
    if (unsigned(a) > 63 && amount === 0) return this.value(this.last === null ? UNKNOWN : a)
    return this.value(widthOf(64, Math.max(0, unsigned(a) - amount)))
  }
  shiftRightSigned(a: Width, _amount: Width): Width {
    const amount = this.last === null ? 0 : this.last & 63
    const bits = unsigned(a) > 63 ? 64 : Math.max(0, unsigned(a) - amount)
    return this.value(widthOf(Math.max(1, signed(a) - amount), bits))
  }
  mul(a: Width, b: Width): Width {
    return this.value(widthOf(signed(a) + signed(b), unsigned(a) + unsigned(b)))
  }
  mulHigh(): Width {
    return this.value(UNKNOWN)
  }
  mulHighUnsigned(): Width {
    return this.value(UNKNOWN)
  }
  mulHighSignedUnsigned(): Width {
    return this.value(UNKNOWN)
  }
  div(): Width {
    return this.value(UNKNOWN)
  }
  divUnsigned(): Width {
    return this.value(UNKNOWN)
  }
  /** Not larger than the dividend, and of its sign. */
  rem(a: Width): Width {
    return this.value(a)
  }
  remUnsigned(a: Width): Width {
    return this.value(unsigned(a) > 63 ? UNKNOWN : a)
  }
  rotateLeft(): Width {
    return this.value(UNKNOWN)
  }
  rotateRight(): Width {
    return this.value(UNKNOWN)
  }
  countLeadingZeros(): Width {
    return this.value(COUNT)
  }
  countTrailingZeros(): Width {
    return this.value(COUNT)
  }
  countOnes(): Width {
    return this.value(COUNT)
  }
  reverseBytes(): Width {
    return this.value(UNKNOWN)
  }
  signExtend32(a: Width): Width {
    this.note(signed(a) <= 32)
    return this.value(signed(a) <= 32 ? a : WORD)
  }
  zeroExtend32(a: Width): Width {
    this.note(unsigned(a) <= 32)
    return this.value(unsigned(a) <= 32 ? a : widthOf(33, 32))
  }
  private note(isNeedless: boolean): void {
    if (isNeedless) this.needless |= 1 << this.extensions
    this.extensions++
  }
  equal(): void {}
  notEqual(): void {}
  less(): void {}
  lessUnsigned(): void {}
  greaterEqual(): void {}
  greaterEqualUnsigned(): void {}
  truth(): Width {
    return this.value(widthOf(2, 1))
  }
  choose(a: Width, b: Width): Width {
    return this.value(either(a, b))
  }
  rd(width: Width): void {
    this.registers[this.now.rd] = width
  }
  branch(): void {}
  jump(): void {}
  load(size: AccessSize, isSigned: boolean): void {
    this.rd(isSigned ? widthOf(size * 8, 64) : widthOf(64, size * 8))
  }
  store(): void {}
  amo(size: 4 | 8): void {
    this.rd(widthOf(size * 8, 64))
  }
  fence(): void {}

  // Whatever else may write a register.

  loadReserved(): void {
    this.rd(UNKNOWN)
  }
  storeConditional(): void {
    this.rd(UNKNOWN)
  }
  csr(): void {
    this.rd(UNKNOWN)
  }
  floatLoad(): void {}
  floatStore(): void {}
  float(): void {
    this.rd(UNKNOWN)
  }
  fenceI(): void {}
  sfenceVma(): void {}
  ecall(): void {}
  ebreak(): void {}
  wfi(): void {}
  sret(): void {}
  illegal(): void {}
}

export class Widths {
  private readonly unit: Unit
  private readonly emitter = new WidthEmitter()
  /** Of the registers at the start of each block, 32 a block. */
  private readonly starts: Int32Array
  /** What the entries give, 32 a block. */
  private readonly given: Int32Array
  /** Of each instruction of each block: bits of extensions that are needless. */
  private readonly needless: Uint8Array[]

  constructor(unit: Unit) {
    this.unit = unit
    const { blocks, entries, loops } = unit
    this.starts = new Int32Array(blocks.length * 32).fill(UNREACHED)
    this.given = new Int32Array(blocks.length * 32).fill(UNREACHED)
    this.needless = blocks.map(({ instructions }) => new Uint8Array(instructions.length))
    for (const entry of entries) if (!loops.includes(entry)) this.given.fill(UNKNOWN, entry * 32, entry * 32 + 32)
    this.solve()
    for (const entry of loops) {
      for (let at = entry * 32; at < entry * 32 + 32; at++) {
        const width = this.starts[at] as number
        this.given[at] = width !== UNREACHED && signed(width) <= 32 ? WORD : UNKNOWN
      }
    }
    this.solve()
    for (const [index, block] of blocks.entries()) {
      this.execute(block, index, (place) => ((this.needless[index] as Uint8Array)[place] = this.emitter.needless))
    }
  }

  /** Whether the n-th extension of an instruction of a block changes nothing. */
  isNeedless(block: number, place: number, n: number): boolean {
    return (((this.needless[block] as Uint8Array)[place] as number) & (1 << n)) !== 0
  }

  /** Registers that have to be extended from 32 bits where a block is entered from outside. */
  guards(block: number): readonly number[] {
    if (!this.unit.loops.includes(block)) return []
    const registers: number[] = []
    for (let n = 1; n < 32; n++) if (signed(this.starts[block * 32 + n] as number) <= 32) registers.push(n)
    return registers
  }

  /** Lowers the starts of all blocks until every edge agrees. */
  private solve(): void {
    const { blocks } = this.unit
    for (const [at, width] of this.given.entries()) this.starts[at] = either(this.starts[at] as number, width)
    const stale = new Uint8Array(blocks.length).fill(1)
    for (let index = 0; index >= 0; index = stale.indexOf(1)) {
      const block = blocks[index] as Block
      stale[index] = 0
      this.execute(block, index, () => {})
      for (const next of block.successors) if (this.flow(next)) stale[next] = 1
    }
  }

  private flow(next: number): boolean {
    const { registers } = this.emitter
    let changed = false
    for (let n = 1; n < 32; n++) {
      const before = this.starts[next * 32 + n] as number
      const after = widened(before, registers[n] as number)
      if (after === before) continue
      this.starts[next * 32 + n] = after
      changed = true
    }
    return changed
  }

  private execute(block: Block, index: number, each: (place: number) => void): void {
    const { emitter } = this
    emitter.registers.set(this.starts.subarray(index * 32, index * 32 + 32))
    emitter.registers[0] = ZERO
    for (const [place, { decoded }] of block.instructions.entries()) {
      emitter.execute(decoded)
      each(place)
    }
  }
}
