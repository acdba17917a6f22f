/**
 * Exception codes of scause and mcause that memory accesses raise, and the three kinds of access they depend on.
 *
 * Source: RISC-V privileged architecture, "Supervisor Cause Register", and the hypervisor extension's added codes.
 */

export const CAUSE_FETCH_MISALIGNED = 0
export const CAUSE_FETCH_ACCESS_FAULT = 1
export const CAUSE_ILLEGAL_INSTRUCTION = 2
export const CAUSE_BREAKPOINT = 3
export const CAUSE_LOAD_MISALIGNED = 4
export const CAUSE_LOAD_ACCESS_FAULT = 5
export const CAUSE_STORE_MISALIGNED = 6
export const CAUSE_STORE_ACCESS_FAULT = 7
export const CAUSE_FETCH_PAGE_FAULT = 12
export const CAUSE_LOAD_PAGE_FAULT = 13
export const CAUSE_STORE_PAGE_FAULT = 15
export const CAUSE_FETCH_GUEST_PAGE_FAULT = 20
export const CAUSE_LOAD_GUEST_PAGE_FAULT = 21
export const CAUSE_VIRTUAL_INSTRUCTION = 22
export const CAUSE_STORE_GUEST_PAGE_FAULT = 23

/** What an instruction does with the memory it names. AMO and SC count as writes throughout. */
export const Access = { read: 0, write: 1, execute: 2 } as const
export type Access = (typeof Access)[keyof typeof Access]

/** 12, 13 or 15: a fault of the first, or only, stage of translation. */
export const pageFaultCause = (access: Access): number =>
  access === Access.read
    ? CAUSE_LOAD_PAGE_FAULT
    : access === Access.write
      ? CAUSE_STORE_PAGE_FAULT
      : CAUSE_FETCH_PAGE_FAULT

/** 20, 21 or 23: a fault of the G-stage. */
export const guestPageFaultCause = (access: Access): number =>
  access === Access.read
    ? CAUSE_LOAD_GUEST_PAGE_FAULT
    : access === Access.write
      ? CAUSE_STORE_GUEST_PAGE_FAULT
      : CAUSE_FETCH_GUEST_PAGE_FAULT

/** 1, 5 or 7: no memory at an address, be it the access's own or that of a PTE on the way. */
export const accessFaultCause = (access: Access): number =>
  access === Access.read
    ? CAUSE_LOAD_ACCESS_FAULT
    : access === Access.write
      ? CAUSE_STORE_ACCESS_FAULT
      : CAUSE_FETCH_ACCESS_FAULT
