/**
 * Operands and memory accesses of the reference interpreter.
 *
 * Addresses are pairs of 32-bit halves, which keeps BigInt out of the common path.
 *
 * R1 An instruction has no effect before all its translations succeeded, so it can always be tried again.
 * R2 A misaligned access is carried out byte by byte; a misaligned atomic is an address-misaligned exception.
 * R3 Stores tell the reservation table, loads and stores the observer.
 */
import type { Gvn, Hpa } from '../../base/index.ts'
import type { AccessSize, AmoOperation, Decoded } from '../isa/index.ts'
import { Cause } from './cause.ts'
import { type AccessKind, Exit, type ExitReason } from './exit.ts'
import { Flow } from './flow.ts'
import type { Hart } from './hart.ts'
import { type GuestBytes, type HartMemory, Miss } from './memory.ts'
import { Operators } from './operators.ts'
import { Cell } from './state.ts'

/** Pages in 4 GiB: what the upper half of an address counts. */
export const PAGES_PER_HIGH = 0x10_0000
export const TWO32 = 0x1_0000_0000
const LAST_PAGE = 2 ** 52 - 1

const signed = (value: bigint): bigint => BigInt.asIntN(64, value)
const unsigned = (value: bigint): bigint => BigInt.asUintN(64, value)

/** What the upper half of a loaded value becomes; a boxed single has ones there. */
const ZERO = 0
const SIGN = 1
const BOX = 2
type Extension = typeof ZERO | typeof SIGN | typeof BOX

export class DataAccess extends Operators {
  readonly hart: Hart
  protected readonly memory: HartMemory
  protected readonly bytes: GuestBytes
  protected readonly cells: BigInt64Array
  protected readonly halves: Int32Array
  /** The instruction at hand, and how it ended. */
  protected now: Decoded
  protected flow: number = Flow.NEXT
  protected exit: ExitReason = Exit.INTR
  /** Page and offset of the last effective address. */
  private page = 0
  private offset = 0
  /** Cell that the load at hand writes, 0 for none, and what its upper half becomes; cell that the store reads. */
  private target = 0
  private extension: Extension = ZERO
  private source = 0

  constructor(hart: Hart, first: Decoded, memory: HartMemory = hart.memory) {
    super()
    this.hart = hart
    this.memory = memory
    this.bytes = memory.bytes
    this.cells = hart.state.cells
    this.halves = hart.state.halves
    this.now = first
  }

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
  rd(value: bigint): void {
    const { rd } = this.now
    if (rd !== 0) this.cells[rd] = value
  }

  /**
   * A translation failed: a trap for the guest, or an exit that names the access.
   * @param skipped bytes of the access that lie in the page before the one that missed
   */
  protected miss(kind: AccessKind, start: bigint, size: number, skipped: number): void {
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
    pending.value = kind === 'write' ? BigInt.asUintN(size * 8, this.cells[this.source] as bigint) : 0n
    pending.rd = this.now.rd
    pending.float = false
    pending.signed = false
    pending.atomic = false
    pending.crossing = (pending.start & 0xfffn) + BigInt(size) > 4096n
    pending.length = kind === 'fetch' ? 0 : this.now.length
    this.flow = Flow.EXIT
    this.exit = Exit.MEMORY_FAULT
  }

  illegal(): void {
    this.raise(Cause.ILLEGAL_INSTRUCTION, BigInt(this.now.word))
  }

  protected raise(cause: number, value: bigint): void {
    this.hart.trap(cause, value)
    this.flow = Flow.TRAP
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
    this.target = this.now.rd
    this.extension = signed ? SIGN : ZERO
    this.loadTarget(size)
  }

  floatLoad(size: 4 | 8): void {
    if (this.hart.floatOff) return this.illegal()
    this.target = Cell.f0 + this.now.rd
    this.extension = size === 4 ? BOX : ZERO
    this.loadTarget(size)
    if (this.flow === Flow.NEXT) this.hart.floatChanged()
  }

  private loadTarget(size: AccessSize): void {
    this.locate()
    const { offset, bytes } = this
    if ((offset & (size - 1)) !== 0) return this.loadMisaligned(size)
    const base = this.memory.translateRead(this.page as Gvn)
    if (base < 0) return this.missLoad(size, 0)
    const at = (base + offset) as Hpa
    if (size === 8) {
      if (this.target !== 0) this.cells[this.target] = bytes.read64(at)
    } else if (size === 4) {
      this.setTarget(bytes.read32(at) | 0)
    } else {
      const value = size === 1 ? bytes.read8(at) : bytes.read16(at)
      const unused = 32 - size * 8
      this.setTarget(this.extension === SIGN ? (value << unused) >> unused : value)
    }
    if (this.hart.observer !== undefined) this.hart.observer.load(this.address(), at, size, this.peek(at, size))
  }

  /** The value of a load of at most four bytes. */
  private setTarget(low: number): void {
    this.setHalves(low, this.extension === SIGN ? low >> 31 : this.extension === BOX ? -1 : 0)
  }

  private setHalves(low: number, high: number): void {
    const { target } = this
    if (target === 0) return
    this.halves[target * 2] = low
    this.halves[target * 2 + 1] = high
  }

  private missLoad(size: AccessSize, skipped: number): void {
    this.miss('read', this.address(), size, skipped)
    if (this.flow !== Flow.EXIT) return
    this.hart.pending.signed = this.extension === SIGN
    this.hart.pending.float = this.target >= Cell.f0
  }

  /** Byte by byte, after both pages it may touch were translated. */
  private loadMisaligned(size: AccessSize): void {
    const { page, offset, bytes } = this
    const first = this.memory.translateRead(page as Gvn)
    if (first < 0) return this.missLoad(size, 0)
    let second = first
    if (offset + size > 4096) {
      second = this.memory.translateRead(nextPage(page))
      if (second < 0) return this.missLoad(size, 4096 - offset)
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
    if (size === 8) return this.setHalves(low, high)
    this.setTarget(size === 2 && this.extension === SIGN ? (low << 16) >> 16 : low)
  }

  store(size: AccessSize): void {
    this.source = this.now.rs2
    this.storeSource(size)
  }

  floatStore(size: 4 | 8): void {
    if (this.hart.floatOff) return this.illegal()
    this.source = Cell.f0 + this.now.rs2
    this.storeSource(size)
  }

  private storeSource(size: AccessSize): void {
    this.locate()
    const { offset, source } = this
    if ((offset & (size - 1)) !== 0) return this.storeMisaligned(size)
    const base = this.memory.translateWrite(this.page as Gvn)
    if (base < 0) return this.miss('write', this.address(), size, 0)
    const at = (base + offset) as Hpa
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
    const source = this.source * 2
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
    this.source = this.now.rs2
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
}

/** The page behind a page; the address space is a ring. */
export const nextPage = (page: number): Gvn => (page === LAST_PAGE ? 0 : page + 1) as Gvn

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
