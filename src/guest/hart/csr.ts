/**
 * The CSRs of VS-mode, one row each: where it lives, what can be written, and what a write sets off.
 * RISC-V privileged specification 20240411, chapter 10 and section 2.1 (address ranges).
 *
 * R1 A CSR without a row does not exist for the guest: M-mode and HS-mode registers, those of absent extensions, and the
 *    hardware performance counters beyond cycle, time and instret.
 * R2 WARL fields keep only legal values; a write of an unsupported satp mode or stvec mode changes nothing at all.
 */
import { CSR_ADDRESS, type CsrName } from '../isa/index.ts'
import { SSTATUS_FS, SSTATUS_MXR, SSTATUS_SIE, SSTATUS_SPIE, SSTATUS_SPP, SSTATUS_SUM } from './cause.ts'
import { Cell, type CellIndex } from './state.ts'

/** What must happen after a write. */
export const Effect = {
  NONE: 0,
  /** An interrupt may have become takeable. */
  INTERRUPTS: 1,
  /** As INTERRUPTS, and SUM or MXR may have changed. */
  STATUS: 2,
  /** The address space changed. */
  TRANSLATION: 3,
  /** The timer was set: the run loop must know before the hart goes on. */
  TIMER: 4,
} as const
export type EffectKind = (typeof Effect)[keyof typeof Effect]

export interface CsrRow {
  readonly name: CsrName
  readonly address: number
  readonly cell: CellIndex
  /** Where in the cell its bit 0 is. */
  readonly shift: bigint
  /** It exists only while sstatus.FS is not Off, and writing it makes FS Dirty. */
  readonly float: boolean
  /** Bits that reading shows, and bits that writing changes. */
  readonly readMask: bigint
  readonly writeMask: bigint
  readonly effect: EffectKind
  /** False if a write of this value is ignored as a whole. */
  readonly accepts: (value: bigint) => boolean
}

/** What of satp an implementation may choose. */
export interface SatpOptions {
  /** Supported values of satp.MODE: 0 Bare, 8 Sv39, 9 Sv48, 10 Sv57. */
  readonly modes: readonly number[]
  /** Implemented ASID bits, at most 16. */
  readonly asidBits: number
}

const ALL = 0xffff_ffff_ffff_ffffn
const INTERRUPTS = (1n << 1n) | (1n << 5n) | (1n << 9n)
const SSIP = 1n << 1n
const PPN = (1n << 44n) - 1n
const always = (): boolean => true

/** The table, by address. @param sstc there is a timer to be set by stimecmp */
export function csrRows(satp: SatpOptions, sstc: boolean): ReadonlyMap<number, CsrRow> {
  const csr = (
    name: CsrName,
    cell: CellIndex,
    writeMask: bigint,
    effect: EffectKind = Effect.NONE,
    readMask: bigint = ALL,
    accepts: (value: bigint) => boolean = always,
  ): CsrRow => {
    const float = cell === Cell.fcsr
    return { name, address: CSR_ADDRESS[name], cell, shift: 0n, float, readMask, writeMask, effect, accepts }
  }
  const status = SSTATUS_SIE | SSTATUS_SPIE | SSTATUS_SPP | SSTATUS_FS | SSTATUS_SUM | SSTATUS_MXR

  const asid = ((1n << BigInt(satp.asidBits)) - 1n) << 44n
  const rows = [
    csr('fflags', Cell.fcsr, 0x1fn, Effect.NONE, 0x1fn),
    { ...csr('frm', Cell.fcsr, 7n, Effect.NONE, 7n), shift: 5n },
    csr('fcsr', Cell.fcsr, 0xffn),
    // No vectors and no other extensions: VS and XS are 0.
    csr('sstatus', Cell.sstatus, status, Effect.STATUS),
    csr('sie', Cell.sie, INTERRUPTS, Effect.INTERRUPTS),
    csr('stvec', Cell.stvec, ALL, Effect.NONE, ALL, (value) => (value & 3n) < 2n),
    csr('scounteren', Cell.scounteren, 7n),
    csr('senvcfg', Cell.senvcfg, 1n),
    csr('sscratch', Cell.sscratch, ALL),
    csr('sepc', Cell.sepc, ALL - 1n),
    csr('scause', Cell.scause, ALL),
    csr('stval', Cell.stval, ALL),
    csr('sip', Cell.sip, SSIP, Effect.INTERRUPTS, INTERRUPTS),
    csr('satp', Cell.satp, (15n << 60n) | asid | PPN, Effect.TRANSLATION, ALL, (value) =>
      satp.modes.includes(Number(value >> 60n)),
    ),
    ...(sstc ? [csr('stimecmp', Cell.stimecmp, ALL, Effect.TIMER)] : []),
    csr('cycle', Cell.instret, 0n),
    csr('time', Cell.instret, 0n),
    csr('instret', Cell.instret, 0n),
  ]
  return new Map(rows.map((row) => [row.address, row]))
}

/** Address bits 11:10 are 3 for read-only CSRs. */
export const isReadOnlyCsr = (address: number): boolean => address >>> 10 === 3
