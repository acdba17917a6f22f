/**
 * How a machine ends, in KVM's words (include/uapi/linux/kvm.h, v6.12: kvm_run.exit_reason) and in one line.
 *
 * R1 A machine that cannot go on ends alone, with one clear line; the kernel and the other machines go on.
 */

/** What KVM_RUN would have returned. `EFAULT` and `ENOMEM` are its errors: the vCPU is unchanged and may be run again. */
export type KvmExit =
  | 'KVM_EXIT_SYSTEM_EVENT'
  | 'KVM_EXIT_INTERNAL_ERROR'
  | 'KVM_EXIT_HLT'
  | 'KVM_EXIT_INTR'
  | 'KVM_EXIT_DEBUG'
  | 'EFAULT'
  | 'ENOMEM'
  | 'EIO'

/**
 * - `shutdown`, `reset`: the guest asked for it
 * - `failure`: the guest shut down because of a failure of its own
 * - `fetch-fault`: it jumped to where no memory is
 * - `trap-loop`: its trap handler cannot be reached, so that no instruction can run any more
 * - `halted`: every hart waits for an interrupt that cannot come
 * - `budget`: it has used up its instructions
 * - `efault`, `enomem`: the host cannot provide a page; repair the mapping and `resume`
 * - `host-error`: the host failed to read the page's swap or file
 * - `breakpoint`: a debugger's breakpoint; `resume` goes on
 * - `stopped`: the host stopped it
 */
export type MachineCause =
  | 'shutdown'
  | 'reset'
  | 'failure'
  | 'fetch-fault'
  | 'trap-loop'
  | 'halted'
  | 'budget'
  | 'efault'
  | 'enomem'
  | 'host-error'
  | 'breakpoint'
  | 'stopped'

export const KVM_EXIT_OF: Readonly<Record<MachineCause, KvmExit>> = {
  shutdown: 'KVM_EXIT_SYSTEM_EVENT',
  reset: 'KVM_EXIT_SYSTEM_EVENT',
  failure: 'KVM_EXIT_SYSTEM_EVENT',
  'fetch-fault': 'KVM_EXIT_INTERNAL_ERROR',
  'trap-loop': 'KVM_EXIT_INTERNAL_ERROR',
  halted: 'KVM_EXIT_HLT',
  budget: 'KVM_EXIT_INTR',
  efault: 'EFAULT',
  enomem: 'ENOMEM',
  'host-error': 'EIO',
  breakpoint: 'KVM_EXIT_DEBUG',
  stopped: 'EIO',
}

/** True for a cause after which `resume` may go on. */
export const isResumable = (cause: MachineCause): boolean =>
  cause === 'efault' || cause === 'enomem' || cause === 'budget' || cause === 'breakpoint'

/** Exits to the run loop by reason, summed over the harts. */
export interface ExitCounts {
  quantum: number
  memoryFault: number
  sbi: number
  wfi: number
  mmio: number
}

export interface MachineResult {
  readonly name: string
  readonly cause: MachineCause
  readonly exitReason: KvmExit
  /** 0 when the guest shut down and reported no failure. */
  readonly exitCode: 0 | 1
  /** One line for people. */
  readonly message: string
  /** Everything that the guest wrote. */
  readonly console: string
  /** Retired instructions of each hart. */
  readonly instructions: readonly number[]
  /** Virtual nanoseconds since the machine was made. */
  readonly nanoseconds: number
  readonly exits: Readonly<ExitCounts>
}
