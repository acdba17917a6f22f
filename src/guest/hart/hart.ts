/**
 * A hart: the architectural state of one RV64 processor as an SBI hypervisor's guest sees it (S-mode and U-mode),
 * and the rules by which CSRs, traps and interrupts change that state.
 * RISC-V privileged specification 20240411, chapter 10, as VS-mode under the hypervisor extension.
 *
 * A hart does not execute; an engine does, and calls what is here.
 *
 * R1 All state is in `state`, the reservation table and memory; nothing else outlives an instruction.
 * R2 Whatever changes privilege, SUM, MXR or satp tells the memory before the next translation.
 * R3 A trap does not retire; pc, sepc, scause and stval are exact.
 */
import { type Gvn, KernelBug } from '../../base/index.ts'
import { type AccessSize, A0, A1, CSR_ADDRESS, type CsrOperation } from '../isa/index.ts'
import {
  Cause,
  Interrupt,
  INTERRUPT_BIT,
  type InterruptNumber,
  SSTATUS_FS,
  SSTATUS_MXR,
  SSTATUS_SD,
  SSTATUS_SIE,
  SSTATUS_SPIE,
  SSTATUS_SPP,
  SSTATUS_SUM,
  SSTATUS_UXL,
} from './cause.ts'
import { type CsrRow, csrRows, Effect, type EffectKind, isReadOnlyCsr, type SatpOptions } from './csr.ts'
import { PendingAccess } from './exit.ts'
import { Context, type HartMemory } from './memory.ts'
import type { ReservationTable } from './reservation.ts'
import { Cell, HartState } from './state.ts'

/** Where guest time comes from. */
export interface HartClock {
  /** Value of the time CSR, in ticks. @param instret instructions that the hart has retired */
  time(instret: number): bigint
  /** stimecmp was written (Sstc): the timer interrupt is pending from that tick on. Without it there is no such CSR. */
  setCompare?(ticks: bigint): void
}

/** Sees every load and store of a hart, after it happened. Values are unsigned. */
export interface AccessObserver {
  load(gva: bigint, hpa: number, size: AccessSize, value: bigint): void
  store(gva: bigint, hpa: number, size: AccessSize, value: bigint): void
}

export interface HartOptions {
  /** Hart id, and its row in the reservation table. */
  readonly id: number
  readonly memory: HartMemory
  readonly reservations: ReservationTable
  /** By default time is instret. */
  readonly clock?: HartClock
  /** By default Bare, Sv39 and Sv48, with 16 ASID bits. */
  readonly satp?: SatpOptions
  readonly state?: HartState
}

export const PRIVILEGE_USER = 0n
export const PRIVILEGE_SUPERVISOR = 1n

/** Offsets in halves, and the bits there of sstatus. */
const STATUS_LOW = Cell.sstatus * 2
const STATUS_HIGH = STATUS_LOW + 1
const FS_LOW = Number(SSTATUS_FS)
const SD_HIGH = 1 << 31

const unsigned = (value: bigint): bigint => BigInt.asUintN(64, value)
const INSTRET_CLOCK: HartClock = { time: (instret) => BigInt(instret) }

export class Hart {
  /** Immutable. */
  readonly id: number
  readonly memory: HartMemory
  readonly reservations: ReservationTable
  readonly state: HartState
  /** The access behind the last MEMORY_FAULT exit. */
  readonly pending: PendingAccess = new PendingAccess()
  /** A debugger is attached: ebreak exits with DEBUG instead of trapping (KVM_GUESTDBG_USE_SW_BP). */
  debugged = false
  /** Undefined costs each access one test. */
  observer: AccessObserver | undefined = undefined
  /** What the last `accessCsr` set off. */
  csrEffect: EffectKind = Effect.NONE
  private readonly clock: HartClock
  private readonly csrs: ReadonlyMap<number, CsrRow>

  constructor(options: HartOptions) {
    this.id = options.id
    this.memory = options.memory
    this.reservations = options.reservations
    this.state = options.state ?? new HartState()
    this.clock = options.clock ?? INSTRET_CLOCK
    const sstc = this.clock.setCompare !== undefined
    this.csrs = csrRows(options.satp ?? { modes: [0, 8, 9], asidBits: 16 }, sstc)
    this.reset(0n, 0n)
  }

  /**
   * The state in which SBI starts a hart (SBI 2.0, section 9.1): S-mode, satp 0, interrupts off, a0 the hart id.
   * @param entry first pc; @param argument a1: the device tree's address, or the opaque value of hart_start
   */
  reset(entry: bigint, argument: bigint): void {
    const { cells } = this.state
    cells.fill(0n)
    cells[Cell.pc] = entry
    cells[A0] = BigInt(this.id)
    cells[A1] = argument
    cells[Cell.sstatus] = SSTATUS_UXL
    // Never: all bits set.
    cells[Cell.stimecmp] = -1n
    cells[Cell.privilege] = PRIVILEGE_SUPERVISOR
    this.reservations.clear(this.id)
    this.memory.setSatp(0n)
    this.tellContext()
  }

  /** An integer register, unsigned. */
  register(n: number): bigint {
    return unsigned(this.cell(n))
  }

  /** Writes of x0 are ignored. */
  setRegister(n: number, value: bigint): void {
    if (n !== 0) this.state.cells[n] = value
  }

  /** A floating-point register, all 64 bits, unsigned. */
  floatRegister(n: number): bigint {
    return unsigned(this.cell(Cell.f0 + n))
  }

  setFloatRegister(n: number, value: bigint): void {
    this.state.cells[Cell.f0 + n] = value
  }

  /** True if sstatus.FS is Off: every floating-point instruction and CSR is illegal. */
  get floatOff(): boolean {
    return ((this.state.halves[STATUS_LOW] as number) & FS_LOW) === 0
  }

  /** A floating-point register or fcsr changed: FS is Dirty, and SD follows. */
  floatChanged(): void {
    const { halves } = this.state
    halves[STATUS_LOW] = (halves[STATUS_LOW] as number) | FS_LOW
    halves[STATUS_HIGH] = (halves[STATUS_HIGH] as number) | SD_HIGH
  }

  get pc(): bigint {
    return unsigned(this.cell(Cell.pc))
  }

  set pc(value: bigint) {
    this.state.cells[Cell.pc] = value
  }

  /** Retired instructions. */
  get instret(): number {
    return this.state.doubles[Cell.instret] as number
  }

  get supervisor(): boolean {
    return this.cell(Cell.privilege) === PRIVILEGE_SUPERVISOR
  }

  /**
   * A CSR by address, as software of any privilege would read it, unsigned.
   * @returns undefined if there is no such CSR
   */
  readCsr(address: number): bigint | undefined {
    const row = this.csrs.get(address)
    return row === undefined ? undefined : this.readRow(row)
  }

  /** A CSR write with all its consequences. @returns what it set off, or undefined if there is no such CSR */
  writeCsr(address: number, value: bigint): EffectKind | undefined {
    const row = this.csrs.get(address)
    return row === undefined ? undefined : this.writeRow(row, unsigned(value))
  }

  /**
   * Executes a CSR instruction except for rd.
   * @param write false if it does not write (set or clear with rs1 = x0)
   * @returns the old value, or undefined if the instruction is illegal here; the effect is in `csrEffect`
   */
  accessCsr(address: number, operation: CsrOperation, source: bigint, write: boolean): bigint | undefined {
    const row = this.csrs.get(address)
    if (row === undefined || !this.mayAccess(address, write)) return undefined
    if (row.float && this.floatOff) return undefined
    const old = this.readRow(row)
    this.csrEffect = Effect.NONE
    const bits = unsigned(source)
    // Setting or clearing no bits changes nothing; whether it makes FS Dirty is up to the implementation (section 3.1.6.6).
    if (write && (bits !== 0n || operation === 'write')) {
      const value = operation === 'write' ? bits : operation === 'set' ? old | bits : old & ~bits
      this.csrEffect = this.writeRow(row, unsigned(value))
    }
    return old
  }

  private mayAccess(address: number, write: boolean): boolean {
    if (write && isReadOnlyCsr(address)) return false
    if (this.supervisor) return true
    if (((address >>> 8) & 3) !== 0) return false
    const counter = address - CSR_ADDRESS.cycle
    return counter < 0 || (this.cell(Cell.scounteren) & (1n << BigInt(counter))) !== 0n
  }

  private readRow(row: CsrRow): bigint {
    if (row.cell !== Cell.instret) return (unsigned(this.cell(row.cell)) >> row.shift) & row.readMask
    return unsigned(row.name === 'time' ? this.clock.time(this.instret) : BigInt(this.instret))
  }

  private writeRow(row: CsrRow, value: bigint): EffectKind {
    if (!row.accepts(value)) return Effect.NONE
    const kept = unsigned(this.cell(row.cell)) & ~(row.writeMask << row.shift)
    this.state.cells[row.cell] = kept | ((value & row.writeMask) << row.shift)
    if (row.float) this.floatChanged()
    else if (row.effect === Effect.STATUS) this.statusWritten()
    else if (row.effect === Effect.TRANSLATION) this.memory.setSatp(unsigned(this.cell(Cell.satp)))
    else if (row.effect === Effect.TIMER) {
      this.clock.setCompare?.(value)
      this.setInterrupt(Interrupt.TIMER, unsigned(this.clock.time(this.instret)) >= value)
    }
    return row.effect
  }

  private statusWritten(): void {
    const status = this.cell(Cell.sstatus)
    const dirty = (status & SSTATUS_FS) === SSTATUS_FS
    this.state.cells[Cell.sstatus] = dirty ? status | SSTATUS_SD : unsigned(status) & ~SSTATUS_SD
    this.tellContext()
  }

  /**
   * Takes an exception at pc: pc moves to the guest's handler.
   * @param cause an exception code; @param value stval
   */
  trap(cause: number, value: bigint): void {
    const base = this.enterHandler(BigInt(cause), value)
    this.state.cells[Cell.pc] = base
  }

  /**
   * The interrupt to take next, 0 if none is pending, enabled and allowed now. External before software before timer.
   */
  takeableInterrupt(): InterruptNumber | 0 {
    const enabled = this.cell(Cell.sip) & this.cell(Cell.sie)
    if (enabled === 0n) return 0
    if (this.supervisor && (this.cell(Cell.sstatus) & SSTATUS_SIE) === 0n) return 0
    if ((enabled & (1n << 9n)) !== 0n) return Interrupt.EXTERNAL
    return (enabled & (1n << 1n)) !== 0n ? Interrupt.SOFTWARE : Interrupt.TIMER
  }

  /** Enters the guest's handler for an interrupt that `takeableInterrupt` named. */
  interrupt(number: InterruptNumber): void {
    const base = this.enterHandler(INTERRUPT_BIT | BigInt(number), 0n)
    const vectored = (this.cell(Cell.stvec) & 1n) !== 0n
    this.state.cells[Cell.pc] = vectored ? base + 4n * BigInt(number) : base
  }

  /** True if wfi must not wait: an interrupt is pending and enabled in sie, whatever sstatus.SIE says. */
  wakes(): boolean {
    return (this.cell(Cell.sip) & this.cell(Cell.sie)) !== 0n
  }

  /** Raises or lowers an interrupt line, as the hypervisor does through hvip. */
  setInterrupt(number: InterruptNumber, level: boolean): void {
    const bit = 1n << BigInt(number)
    this.state.cells[Cell.sip] = level ? this.cell(Cell.sip) | bit : this.cell(Cell.sip) & ~bit
  }

  /** Returns from a trap handler; the caller has checked that the hart is in S-mode. */
  sret(): void {
    const { cells } = this.state
    const status = this.cell(Cell.sstatus)
    cells[Cell.privilege] = (status & SSTATUS_SPP) === 0n ? PRIVILEGE_USER : PRIVILEGE_SUPERVISOR
    const enable = (status & SSTATUS_SPIE) === 0n ? 0n : SSTATUS_SIE
    cells[Cell.sstatus] = (status & ~(SSTATUS_SIE | SSTATUS_SPP)) | SSTATUS_SPIE | enable
    cells[Cell.pc] = this.cell(Cell.sepc)
    this.tellContext()
  }

  /** Executes sfence.vma; registers are given as numbers, x0 means all. */
  fenceVma(addressRegister: number, asidRegister: number): void {
    const page = addressRegister === 0 ? -1 : (Number(this.register(addressRegister) >> 12n) as Gvn)
    const asid = asidRegister === 0 ? -1 : Number(this.register(asidRegister) & 0xffffn)
    this.memory.sfenceVma(page, asid)
  }

  /** After an RISCV_SBI exit was answered: goes on behind the ecall, which does not retire. */
  completeEcall(): void {
    this.state.cells[Cell.pc] = this.cell(Cell.pc) + 4n
  }

  /**
   * Ends the load of the last MEMORY_FAULT exit with a device's answer.
   * @param value its low `pending.size` bytes count
   */
  completeLoad(value: bigint): void {
    const { kind, atomic, rd, float, size, signed } = this.pending
    if (kind !== 'read' || atomic) throw new KernelBug(`completeLoad: the pending access is no plain load but ${kind}`)
    const bits = size * 8
    if (float) {
      this.setFloatRegister(rd, size === 4 ? value | (-1n << 32n) : value)
      this.floatChanged()
    } else {
      this.setRegister(rd, signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value))
    }
    this.retirePending()
  }

  /** Ends the store of the last MEMORY_FAULT exit after a device took `pending.value`. */
  completeStore(): void {
    const { kind, atomic } = this.pending
    if (kind !== 'write' || atomic)
      throw new KernelBug(`completeStore: the pending access is no plain store but ${kind}`)
    this.retirePending()
  }

  /** Forgets the hart's load reservation: what its addresses mean may have changed. */
  clearReservation(): void {
    this.reservations.clear(this.id)
  }

  private retirePending(): void {
    this.state.cells[Cell.pc] = this.cell(Cell.pc) + BigInt(this.pending.length)
    this.state.doubles[Cell.instret] = this.instret + 1
  }

  /** Common part of traps; returns the handler's base address. */
  private enterHandler(cause: bigint, value: bigint): bigint {
    const { cells } = this.state
    const status = this.cell(Cell.sstatus)
    cells[Cell.scause] = cause
    cells[Cell.sepc] = this.cell(Cell.pc)
    cells[Cell.stval] = value
    const previous = this.supervisor ? SSTATUS_SPP : 0n
    const enable = (status & SSTATUS_SIE) === 0n ? 0n : SSTATUS_SPIE
    cells[Cell.sstatus] = (status & ~(SSTATUS_SIE | SSTATUS_SPIE | SSTATUS_SPP)) | previous | enable
    cells[Cell.privilege] = PRIVILEGE_SUPERVISOR
    this.tellContext()
    return this.cell(Cell.stvec) & -4n
  }

  private tellContext(): void {
    const status = this.cell(Cell.sstatus)
    this.memory.setContext(
      (this.supervisor ? Context.SUPERVISOR : 0) |
        ((status & SSTATUS_SUM) === 0n ? 0 : Context.SUM) |
        ((status & SSTATUS_MXR) === 0n ? 0 : Context.MXR),
    )
  }

  private cell(n: number): bigint {
    return this.state.cells[n] as bigint
  }
}

/** Causes by access kind, for whoever delivers access faults from outside (a store to nothing, an atomic on a device). */
export const accessFault = (kind: 'fetch' | 'read' | 'write'): number =>
  kind === 'fetch'
    ? Cause.INSTRUCTION_ACCESS_FAULT
    : kind === 'read'
      ? Cause.LOAD_ACCESS_FAULT
      : Cause.STORE_ACCESS_FAULT
