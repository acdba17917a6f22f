/**
 * Why an engine returned, and the access it could not finish. Names and numbers are KVM's (include/uapi/linux/kvm.h,
 * v6.12) where KVM has the reason.
 *
 * R1 On every exit the hart's state is exact and pc names the instruction to go on with.
 */

export const Exit = {
  /** The budget is used up (KVM_EXIT_INTR: something outside wants the thread). */
  INTR: 10,
  /** ebreak in a debugged hart (KVM_EXIT_DEBUG). pc is at the instruction. */
  DEBUG: 4,
  /** wfi retired and no enabled interrupt is pending (KVM_EXIT_HLT). */
  HLT: 5,
  /** ecall from S-mode (KVM_EXIT_RISCV_SBI). pc is at the ecall: answer in a0 and a1, then `completeEcall`. */
  RISCV_SBI: 35,
  /** stimecmp was written, and has retired (KVM_EXIT_RISCV_CSR). When the timer interrupt is due is to be looked at again. */
  RISCV_CSR: 36,
  /** A translation needs the host (KVM_EXIT_MEMORY_FAULT); see the pending access. pc is at the instruction. */
  MEMORY_FAULT: 39,
} as const
export type ExitReason = (typeof Exit)[keyof typeof Exit]

export type AccessKind = 'fetch' | 'read' | 'write'

/** The access behind a MEMORY_FAULT exit. One per hart, overwritten by the next exit. */
export class PendingAccess {
  kind: AccessKind = 'fetch'
  /** Address of the part that missed: the access itself, or the start of the second page that it runs into. */
  gva = 0n
  /** Address and bytes of the whole access. */
  start = 0n
  size = 0
  /** The bytes being stored, for a plain store. */
  value = 0n
  /** Where a load puts its result, whether that is a floating-point register, and whether it sign-extends. */
  rd = 0
  float = false
  signed = false
  /** lr, sc or amo: cannot be completed as a device access. */
  atomic = false
  /** The access lies in two pages. */
  crossing = false
  /** Bytes of the instruction, known unless it is the fetch that missed. */
  length = 0
}
