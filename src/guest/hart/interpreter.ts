/**
 * The reference interpreter: an emitter whose values are BigInts, so that calling a row's semantics executes it.
 *
 * Exactness first. Values are signed 64-bit BigInts; addresses and pc are pairs of 32-bit halves, which keeps BigInt out
 * of the fetch, load and branch paths.
 *
 * R1 The instruction word is read from memory each time; only its decoding is remembered (decode-cache.ts).
 * R2 The fetch page's translation is kept at most until the context, satp or a fence changes, or `run` returns.
 * R3 An instruction has no effect before all its translations succeeded, so it can always be tried again.
 * R4 Stores tell the reservation table, loads and stores the observer.
 */
import type { Gvn, Hpa } from '../../base/index.ts'
import type { AccessSize, AmoOperation, CsrOperation, Decoded, Emitter } from '../isa/index.ts'
import { Cause } from './cause.ts'
import { Effect } from './csr.ts'
import { DecodeCache } from './decode-cache.ts'
import type { Engine } from './engine.ts'
import { type AccessKind, Exit, type ExitReason } from './exit.ts'
import type { Hart } from './hart.ts'
import { type GuestBytes, type HartMemory, Miss } from './memory.ts'
import { Cell } from './state.ts'

/** How an instruction ended. */
const Flow = {
  /** Retired; goes on behind it. */
  NEXT: 0,
  /** Retired; pc is set. */
  JUMP: 1,
  /** As NEXT and JUMP, and interrupts or translations may have changed. */
  NEXT_SYNC: 2,
  JUMP_SYNC: 3,
  /** Did not retire; pc is set. */
  TRAP: 4,
  /** `exit` says why; pc is exact. */
  EXIT: 5,
  /** As NEXT, then EXIT. */
  NEXT_EXIT: 6,
} as const

const PC_LOW = Cell.pc * 2
const PC_HIGH = Cell.pc * 2 + 1
const PAGES_PER_HIGH = 0x10_0000
const TWO32 = 0x1_0000_0000
const LAST_PAGE = 2 ** 52 - 1

const signed = (value: bigint): bigint => BigInt.asIntN(64, value)
const unsigned = (value: bigint): bigint => BigInt.asUintN(64, value)

export class Interpreter implements Engine, Emitter<bigint, boolean> {
  readonly hart: Hart
  private readonly memory: HartMemory
  private readonly bytes: GuestBytes
  private readonly cells: BigInt64Array
  private readonly halves: Int32Array
  private readonly doubles: Float64Array
  private readonly cache: DecodeCache
  /** The instruction at hand, and how it ended. */
  private now: Decoded
  private flow: number = Flow.NEXT
  private exit: ExitReason = Exit.INTR
  /** The page that pc was last fetched from: its address in halves and its frame, -1 if none is known. */
  private fetchLow = 0
  private fetchHigh = 0
  private fetchBase = -1
  /** Page and offset of the last effective address. */
  private page = 0
  private offset = 0

  /** @param cache may be shared by the machine's harts */
  constructor(hart: Hart, cache: DecodeCache = new DecodeCache()) {
    this.hart = hart
    this.memory = hart.memory
    this.bytes = hart.memory.bytes
    this.cells = hart.state.cells
    this.halves = hart.state.halves
    this.doubles = hart.state.doubles
    this.cache = cache
    this.now = cache.short(0)
  }

  run(budget: number): ExitReason {
    const { halves, doubles, bytes, cache } = this
    this.synchronize()
    for (let left = budget; left > 0; left--) {
      const low = halves[PC_LOW] as number
      this.flow = Flow.NEXT
      if (this.fetchBase < 0 || ((low ^ this.fetchLow) & ~0xfff) !== 0 || halves[PC_HIGH] !== this.fetchHigh) {
        if (!this.enterFetchPage()) {
          if (this.flow === Flow.EXIT) return this.exit
          continue
        }
      }
      const at = (this.fetchBase + (low & 0xffe)) as Hpa
      const half = bytes.read16(at)
      let decoded: Decoded
      if ((half & 3) !== 3) {
        decoded = cache.short(half)
      } else if ((low & 0xffe) !== 0xffe) {
        decoded = cache.long(half | (bytes.read16((at + 2) as Hpa) << 16))
      } else {
        const upper = this.fetchNextPage()
        if (upper < 0) {
          if (this.flow === Flow.EXIT) return this.exit
          continue
        }
        decoded = cache.long(half | (upper << 16))
      }
      this.now = decoded
      decoded.semantics(this)
      const flow = this.flow
      if (flow <= Flow.JUMP_SYNC) {
        doubles[Cell.instret] = (doubles[Cell.instret] as number) + 1
        if ((flow & Flow.JUMP) === 0) this.advance(low, decoded.length)
        if (flow >= Flow.NEXT_SYNC) this.synchronize()
      } else if (flow === Flow.TRAP) {
        this.fetchBase = -1
      } else {
        if (flow === Flow.NEXT_EXIT) {
          doubles[Cell.instret] = (doubles[Cell.instret] as number) + 1
          this.advance(low, decoded.length)
        }
        return this.exit
      }
    }
    return Exit.INTR
  }

  /** Forgets translations and takes an interrupt if one is due. */
  private synchronize(): void {
    this.fetchBase = -1
    const interrupt = this.hart.takeableInterrupt()
    if (interrupt !== 0) this.hart.interrupt(interrupt)
  }

  private advance(low: number, length: number): void {
    const next = (low + length) | 0
    this.halves[PC_LOW] = next
    if (next >= 0 && low < 0) this.halves[PC_HIGH] = (this.halves[PC_HIGH] as number) + 1
  }

  // Fetch.

  private enterFetchPage(): boolean {
    const low = this.halves[PC_LOW] as number
    const high = this.halves[PC_HIGH] as number
    this.fetchBase = -1
    const base = this.memory.translateFetch(((high >>> 0) * PAGES_PER_HIGH + (low >>> 12)) as Gvn)
    if (base < 0) {
      this.miss('fetch', this.pc(), 2, 0)
      return false
    }
    this.fetchLow = low & ~0xfff
    this.fetchHigh = high
    this.fetchBase = base
    return true
  }

  /** The upper half of an instruction whose lower half ends its page; -1 if that page misses. */
  private fetchNextPage(): number {
    const low = this.halves[PC_LOW] as number
    const page = ((this.halves[PC_HIGH] as number) >>> 0) * PAGES_PER_HIGH + (low >>> 12)
    const base = this.memory.translateFetch(nextPage(page))
    if (base >= 0) return this.bytes.read16(base as Hpa)
    this.fetchBase = -1
    this.miss('fetch', this.pc(), 4, 2)
    return -1
  }

  /**
   * A translation failed: a trap for the guest, or an exit that names the access.
   * @param skipped bytes of the access that lie in the page before the one that missed
   */
  private miss(kind: AccessKind, start: bigint, size: number, skipped: number): void {
    const gva = unsigned(start + BigInt(skipped))
    if (this.memory.missKind === Miss.GUEST_FAULT) {
      this.raise(this.memory.missCause, gva)
      return
    }
    const { pending } = this.hart
    pending.kind = kind
    pending.gva = gva
    pending.start = unsigned(start)
    pending.size = size
    pending.value = kind === 'write' ? BigInt.asUintN(size * 8, this.rs2()) : 0n
    pending.rd = this.now.rd
    pending.signed = false
    pending.atomic = false
    pending.crossing = (pending.start & 0xfffn) + BigInt(size) > 4096n
    pending.length = kind === 'fetch' ? 0 : this.now.length
    this.flow = Flow.EXIT
    this.exit = Exit.MEMORY_FAULT
  }

  private raise(cause: number, value: bigint): void {
    this.hart.trap(cause, value)
    this.flow = Flow.TRAP
  }

  // Operands and operators.

  rs1(): bigint {
    return this.cells[this.now.rs1] as bigint
  }
  rs2(): bigint {
    return this.cells[this.now.rs2] as bigint
  }
  imm(): bigint {
    return this.now.immediate
  }
  uimm(): bigint {
    return BigInt(this.now.rs1)
  }
  pc(): bigint {
    return this.cells[Cell.pc] as bigint
  }
  nextPc(): bigint {
    return signed(this.pc() + BigInt(this.now.length))
  }
  constant(value: bigint): bigint {
    return value
  }

  add(a: bigint, b: bigint): bigint {
    return signed(a + b)
  }
  sub(a: bigint, b: bigint): bigint {
    return signed(a - b)
  }
  and(a: bigint, b: bigint): bigint {
    return a & b
  }
  or(a: bigint, b: bigint): bigint {
    return a | b
  }
  xor(a: bigint, b: bigint): bigint {
    return a ^ b
  }
  shiftLeft(a: bigint, amount: bigint): bigint {
    return signed(a << (amount & 63n))
  }
  shiftRight(a: bigint, amount: bigint): bigint {
    return signed(unsigned(a) >> (amount & 63n))
  }
  shiftRightSigned(a: bigint, amount: bigint): bigint {
    return a >> (amount & 63n)
  }
  mul(a: bigint, b: bigint): bigint {
    return signed(a * b)
  }
  mulHigh(a: bigint, b: bigint): bigint {
    return signed((a * b) >> 64n)
  }
  mulHighUnsigned(a: bigint, b: bigint): bigint {
    return signed((unsigned(a) * unsigned(b)) >> 64n)
  }
  mulHighSignedUnsigned(a: bigint, b: bigint): bigint {
    return signed((a * unsigned(b)) >> 64n)
  }
  div(a: bigint, b: bigint): bigint {
    return b === 0n ? -1n : signed(a / b)
  }
  divUnsigned(a: bigint, b: bigint): bigint {
    return b === 0n ? -1n : signed(unsigned(a) / unsigned(b))
  }
  rem(a: bigint, b: bigint): bigint {
    return b === 0n ? a : signed(a % b)
  }
  remUnsigned(a: bigint, b: bigint): bigint {
    return b === 0n ? a : signed(unsigned(a) % unsigned(b))
  }
  signExtend32(a: bigint): bigint {
    return BigInt.asIntN(32, a)
  }
  zeroExtend32(a: bigint): bigint {
    return BigInt.asUintN(32, a)
  }

  equal(a: bigint, b: bigint): boolean {
    return a === b
  }
  notEqual(a: bigint, b: bigint): boolean {
    return a !== b
  }
  less(a: bigint, b: bigint): boolean {
    return a < b
  }
  lessUnsigned(a: bigint, b: bigint): boolean {
    return unsigned(a) < unsigned(b)
  }
  greaterEqual(a: bigint, b: bigint): boolean {
    return a >= b
  }
  greaterEqualUnsigned(a: bigint, b: bigint): boolean {
    return unsigned(a) >= unsigned(b)
  }
  truth(condition: boolean): bigint {
    return condition ? 1n : 0n
  }

  // Effects.

  rd(value: bigint): void {
    const { rd } = this.now
    if (rd !== 0) this.cells[rd] = value
  }

  branch(condition: boolean): void {
    if (!condition) return
    const sum = ((this.halves[PC_LOW] as number) >>> 0) + this.now.imm
    this.halves[PC_LOW] = sum | 0
    if (sum >= TWO32) this.halves[PC_HIGH] = (this.halves[PC_HIGH] as number) + 1
    else if (sum < 0) this.halves[PC_HIGH] = (this.halves[PC_HIGH] as number) - 1
    this.flow = Flow.JUMP
  }

  jump(target: bigint): void {
    this.cells[Cell.pc] = target
    this.flow = Flow.JUMP
  }

  /** Splits rs1 + imm into `page` and `offset`. */
  private locate(): void {
    const base = this.now.rs1 * 2
    const sum = ((this.halves[base] as number) >>> 0) + this.now.imm
    let high = this.halves[base + 1] as number
    if (sum >= TWO32) high++
    else if (sum < 0) high--
    this.page = (high >>> 0) * PAGES_PER_HIGH + ((sum | 0) >>> 12)
    this.offset = sum & 0xfff
  }

  private address(): bigint {
    return unsigned(this.rs1() + this.imm())
  }

  load(size: AccessSize, signed: boolean): void {
    this.locate()
    const { offset, bytes } = this
    if ((offset & (size - 1)) !== 0) return this.loadMisaligned(size, signed)
    const base = this.memory.translateRead(this.page as Gvn)
    if (base < 0) return this.missLoad(size, signed, 0)
    const at = (base + offset) as Hpa
    if (size === 8) {
      this.rd(bytes.read64(at))
    } else {
      let value: number
      if (size === 1) {
        value = bytes.read8(at)
        if (signed) value = (value << 24) >> 24
      } else if (size === 2) {
        value = bytes.read16(at)
        if (signed) value = (value << 16) >> 16
      } else {
        value = bytes.read32(at) | 0
      }
      this.setHalves(value, signed ? value >> 31 : 0)
    }
    if (this.hart.observer !== undefined) this.hart.observer.load(this.address(), at, size, this.peek(at, size))
  }

  private setHalves(low: number, high: number): void {
    const { rd } = this.now
    if (rd === 0) return
    this.halves[rd * 2] = low
    this.halves[rd * 2 + 1] = high
  }

  private missLoad(size: AccessSize, signed: boolean, skipped: number): void {
    this.miss('read', this.address(), size, skipped)
    if (this.flow === Flow.EXIT) this.hart.pending.signed = signed
  }

  /** Byte by byte, after both pages it may touch were translated. */
  private loadMisaligned(size: AccessSize, signed: boolean): void {
    const { page, offset, bytes } = this
    const first = this.memory.translateRead(page as Gvn)
    if (first < 0) return this.missLoad(size, signed, 0)
    let second = first
    if (offset + size > 4096) {
      second = this.memory.translateRead(nextPage(page))
      if (second < 0) return this.missLoad(size, signed, 4096 - offset)
    }
    const start = this.address()
    let low = 0
    let high = 0
    for (let i = 0; i < size; i++) {
      const at = (offset + i < 4096 ? first + offset + i : second + offset + i - 4096) as Hpa
      const byte = bytes.read8(at)
      if (i < 4) low |= byte << (8 * i)
      else high |= byte << (8 * (i - 4))
      this.hart.observer?.load(unsigned(start + BigInt(i)), at, 1, BigInt(byte))
    }
    if (size === 2 && signed) low = (low << 16) >> 16
    if (size < 8) high = signed ? low >> 31 : 0
    this.setHalves(low, high)
  }

  store(size: AccessSize): void {
    this.locate()
    const { offset } = this
    if ((offset & (size - 1)) !== 0) return this.storeMisaligned(size)
    const base = this.memory.translateWrite(this.page as Gvn)
    if (base < 0) return this.miss('write', this.address(), size, 0)
    const at = (base + offset) as Hpa
    const source = this.now.rs2
    if (size === 8) this.bytes.write64(at, this.cells[source] as bigint)
    else if (size === 4) this.bytes.write32(at, (this.halves[source * 2] as number) >>> 0)
    else if (size === 2) this.bytes.write16(at, (this.halves[source * 2] as number) & 0xffff)
    else this.bytes.write8(at, (this.halves[source * 2] as number) & 0xff)
    this.stored(at, size)
  }

  /** Everyone who must know of a store. */
  private stored(at: Hpa, size: AccessSize): void {
    const { reservations, observer } = this.hart
    if (reservations.live !== 0) reservations.store(this.hart.id, at, size)
    if (observer !== undefined) observer.store(this.address(), at, size, this.peek(at, size))
  }

  private storeMisaligned(size: AccessSize): void {
    const { page, offset, bytes } = this
    const { reservations, observer, id } = this.hart
    const start = this.address()
    const first = this.memory.translateWrite(page as Gvn)
    if (first < 0) return this.miss('write', start, size, 0)
    let second = first
    if (offset + size > 4096) {
      second = this.memory.translateWrite(nextPage(page))
      if (second < 0) return this.miss('write', start, size, 4096 - offset)
    }
    const source = this.now.rs2 * 2
    for (let i = 0; i < size; i++) {
      const at = (offset + i < 4096 ? first + offset + i : second + offset + i - 4096) as Hpa
      const byte = ((this.halves[source + (i >>> 2)] as number) >>> (8 * (i & 3))) & 0xff
      bytes.write8(at, byte)
      if (reservations.live !== 0) reservations.store(id, at, 1)
      if (observer !== undefined) observer.store(unsigned(start + BigInt(i)), at, 1, BigInt(byte))
    }
  }

  /** Memory as the observer is told it. */
  private peek(at: Hpa, size: AccessSize): bigint {
    if (size === 8) return unsigned(this.bytes.read64(at))
    return BigInt(size === 4 ? this.bytes.read32(at) : size === 2 ? this.bytes.read16(at) : this.bytes.read8(at))
  }

  /** The host address of an atomic's operand, or -1 after a trap or an exit. */
  private locateAtomic(size: 4 | 8, write: boolean): number {
    this.locate()
    if ((this.offset & (size - 1)) !== 0) {
      this.raise(write ? Cause.STORE_ADDRESS_MISALIGNED : Cause.LOAD_ADDRESS_MISALIGNED, this.address())
      return -1
    }
    const page = this.page as Gvn
    const base = write ? this.memory.translateWrite(page) : this.memory.translateRead(page)
    if (base >= 0) return base + this.offset
    this.miss(write ? 'write' : 'read', this.address(), size, 0)
    if (this.flow === Flow.EXIT) this.hart.pending.atomic = true
    return -1
  }

  private readSigned(at: Hpa, size: 4 | 8): bigint {
    return size === 8 ? signed(this.bytes.read64(at)) : BigInt(this.bytes.read32(at) | 0)
  }

  private writeAtomic(at: Hpa, size: 4 | 8, value: bigint): void {
    if (size === 8) this.bytes.write64(at, value)
    else this.bytes.write32(at, Number(BigInt.asUintN(32, value)))
    this.stored(at, size)
  }

  loadReserved(size: 4 | 8): void {
    const at = this.locateAtomic(size, false) as Hpa
    if (at < 0) return
    this.hart.reservations.reserve(this.hart.id, at, size)
    if (this.hart.observer !== undefined) this.hart.observer.load(this.address(), at, size, this.peek(at, size))
    this.rd(this.readSigned(at, size))
  }

  storeConditional(size: 4 | 8): void {
    const at = this.locateAtomic(size, true) as Hpa
    if (at < 0) return
    const held = this.hart.reservations.consume(this.hart.id, at, size)
    if (held) this.writeAtomic(at, size, this.rs2())
    this.rd(held ? 0n : 1n)
  }

  amo(size: 4 | 8, operation: AmoOperation): void {
    const at = this.locateAtomic(size, true) as Hpa
    if (at < 0) return
    const old = this.readSigned(at, size)
    const operand = size === 8 ? this.rs2() : BigInt.asIntN(32, this.rs2())
    if (this.hart.observer !== undefined) this.hart.observer.load(this.address(), at, size, this.peek(at, size))
    this.writeAtomic(at, size, COMBINE[operation](old, operand))
    this.rd(old)
  }

  csr(operation: CsrOperation, source: bigint): void {
    const write = operation === 'write' || this.now.rs1 !== 0
    const old = this.hart.accessCsr(this.now.imm, operation, source, write)
    if (old === undefined) return this.illegal()
    this.rd(old)
    if (this.hart.csrEffect !== Effect.NONE) this.flow = Flow.NEXT_SYNC
  }

  fence(): void {}

  /** Nothing to do: the word is fetched anew each time. */
  fenceI(): void {
    this.fetchBase = -1
  }

  sfenceVma(): void {
    if (!this.hart.supervisor) return this.illegal()
    this.hart.fenceVma(this.now.rs1, this.now.rs2)
    this.flow = Flow.NEXT_SYNC
  }

  ecall(): void {
    if (!this.hart.supervisor) return this.raise(Cause.ECALL_FROM_U, 0n)
    this.flow = Flow.EXIT
    this.exit = Exit.RISCV_SBI
  }

  ebreak(): void {
    this.raise(Cause.BREAKPOINT, 0n)
  }

  wfi(): void {
    if (!this.hart.supervisor) return this.illegal()
    if (this.hart.wakes()) return
    this.flow = Flow.NEXT_EXIT
    this.exit = Exit.HLT
  }

  sret(): void {
    if (!this.hart.supervisor) return this.illegal()
    this.hart.sret()
    this.flow = Flow.JUMP_SYNC
  }

  illegal(): void {
    this.raise(Cause.ILLEGAL_INSTRUCTION, BigInt(this.now.word))
  }
}

const nextPage = (page: number): Gvn => (page === LAST_PAGE ? 0 : page + 1) as Gvn

/** The value that an atomic stores; both operands are sign-extended, which keeps unsigned order. */
const COMBINE: Readonly<Record<AmoOperation, (old: bigint, operand: bigint) => bigint>> = {
  swap: (_, operand) => operand,
  add: (old, operand) => signed(old + operand),
  xor: (old, operand) => old ^ operand,
  and: (old, operand) => old & operand,
  or: (old, operand) => old | operand,
  min: (old, operand) => (old < operand ? old : operand),
  max: (old, operand) => (old > operand ? old : operand),
  minu: (old, operand) => (unsigned(old) < unsigned(operand) ? old : operand),
  maxu: (old, operand) => (unsigned(old) > unsigned(operand) ? old : operand),
}
