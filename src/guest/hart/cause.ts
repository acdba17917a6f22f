/** scause codes and sstatus bits (RISC-V privileged specification 20240411, sections 10.1.1 and 10.1.8). */

export const Cause = {
  INSTRUCTION_ACCESS_FAULT: 1,
  ILLEGAL_INSTRUCTION: 2,
  BREAKPOINT: 3,
  LOAD_ADDRESS_MISALIGNED: 4,
  LOAD_ACCESS_FAULT: 5,
  STORE_ADDRESS_MISALIGNED: 6,
  STORE_ACCESS_FAULT: 7,
  ECALL_FROM_U: 8,
  INSTRUCTION_PAGE_FAULT: 12,
  LOAD_PAGE_FAULT: 13,
  STORE_PAGE_FAULT: 15,
} as const

/** Interrupt numbers: bits of sip and sie, and scause codes below the interrupt bit. */
export const Interrupt = { SOFTWARE: 1, TIMER: 5, EXTERNAL: 9 } as const
export type InterruptNumber = (typeof Interrupt)[keyof typeof Interrupt]

export const INTERRUPT_BIT: bigint = 1n << 63n

export const SSTATUS_SIE: bigint = 1n << 1n
export const SSTATUS_SPIE: bigint = 1n << 5n
export const SSTATUS_SPP: bigint = 1n << 8n
/** The state of the floating-point registers: 0 Off, 1 Initial, 2 Clean, 3 Dirty. */
export const SSTATUS_FS: bigint = 3n << 13n
export const SSTATUS_SUM: bigint = 1n << 18n
export const SSTATUS_MXR: bigint = 1n << 19n
/** UXL is 2 (64 bits) and cannot be changed. */
export const SSTATUS_UXL: bigint = 2n << 32n
/** FS, the only state there is, is Dirty. */
export const SSTATUS_SD: bigint = 1n << 63n
