/**
 * The Supervisor Binary Interface, version 2.0, as a hypervisor offers it to VS mode: types shared by the extensions.
 *
 * R1 Names, numbers and errors are those of the SBI specification; where the specification leaves a choice, or KVM
 *    (arch/riscv/kvm, v6.12) differs, the extension says so.
 * R2 An extension changes nothing before all its arguments are checked.
 * R3 A call may sleep. It runs while its hart is outside guest mode, so it never waits for its own hart.
 */

/** SBI_SUCCESS and the errors, chapter 3 of the specification. */
export const SbiError = {
  SUCCESS: 0,
  FAILED: -1,
  NOT_SUPPORTED: -2,
  INVALID_PARAM: -3,
  DENIED: -4,
  INVALID_ADDRESS: -5,
  ALREADY_AVAILABLE: -6,
  ALREADY_STARTED: -7,
  ALREADY_STOPPED: -8,
  NO_SHMEM: -9,
} as const
export type SbiErrorCode = (typeof SbiError)[keyof typeof SbiError]

/** struct sbiret: goes back in a0 and a1. */
export interface SbiReturn {
  readonly error: SbiErrorCode
  readonly value: bigint
}

/** Hart states of the HSM extension, chapter 9. */
export const HsmState = {
  STARTED: 0,
  STOPPED: 1,
  START_PENDING: 2,
  STOP_PENDING: 3,
  SUSPENDED: 4,
  SUSPEND_PENDING: 5,
  RESUME_PENDING: 6,
} as const
export type HsmStateCode = (typeof HsmState)[keyof typeof HsmState]

/** Where a hart begins: pc, a1, with satp = 0, interrupts off and its id in a0. */
export interface HartEntry {
  readonly address: bigint
  readonly opaque: bigint
}

/** Pages named by a remote fence; `null` is all of them. */
export interface FenceRange {
  readonly start: bigint
  readonly size: bigint
}

/** What the calls do to the machine that they are made in. */
export interface SbiPlatform {
  /** Harts have the ids 0 .. harts-1. */
  readonly harts: number
  /** Programs the timer of a hart for that value of `time` and takes a pending timer interrupt away. */
  setTimer(hart: number, time: bigint): void
  sendIpi(harts: readonly number[]): void
  /** Returns when no addressed hart can still execute an instruction fetched before. */
  remoteFenceI(harts: readonly number[]): Promise<void>
  /** Returns when no addressed hart can still use a translation from before. @param asid -1 is every address space */
  remoteSfenceVma(harts: readonly number[], range: FenceRange | null, asid: number): Promise<void>
  hsmState(hart: number): HsmStateCode
  /** True when a hart can begin at this guest-physical address. */
  canStartAt(address: bigint): boolean
  startHart(hart: number, entry: HartEntry): void
  /** The hart stops as soon as the call that asked for it is over. */
  stopHart(hart: number): void
  /** Sleeps until an enabled interrupt is pending in the hart. */
  suspendHart(hart: number): Promise<void>
  /** The hart goes on at `entry` as soon as the call that asked for it is over. */
  resumeHartAt(hart: number, entry: HartEntry): void
  /** Ends the machine. */
  systemReset(type: number, reason: number): void
  /** True when a range of guest-physical addresses is memory. */
  isMemory(gpa: number, length: number): boolean
  /** @throws KernelError EFAULT when the host cannot give the memory: the call is made again after a repair */
  readMemory(gpa: number, length: number): Promise<Uint8Array>
  writeMemory(gpa: number, bytes: Uint8Array): Promise<void>
  consoleWrite(bytes: Uint8Array): void
  /** At most `limit` bytes of waiting input. */
  consoleRead(limit: number): Uint8Array
  /** Puts input back that could not be delivered. */
  consoleUnread(bytes: Uint8Array): void
}

/** A call: who makes it, and its arguments. */
export interface SbiCall {
  readonly platform: SbiPlatform
  readonly hart: number
  /** Registers a0-a5, unsigned. */
  readonly args: readonly [bigint, bigint, bigint, bigint, bigint, bigint]
}

/** `null`: the call does not return to the instruction after the ecall. */
export type SbiOutcome = SbiReturn | null

export interface SbiFunction {
  readonly name: string
  readonly call: (call: SbiCall) => SbiOutcome | Promise<SbiOutcome>
}

export interface SbiExtension {
  readonly id: number
  readonly name: string
  /** Indexed by function id. */
  readonly functions: readonly SbiFunction[]
}

export const ALL_ONES: bigint = (1n << 64n) - 1n

export const success = (value = 0n): SbiReturn => ({ error: SbiError.SUCCESS, value })
export const failure = (error: SbiErrorCode): SbiReturn => ({ error, value: 0n })

/**
 * The harts of a hart mask (chapter 3): bit n of `mask` is hart `base + n`; base -1 is every hart.
 * KVM skips ids that no hart has; the specification wants SBI_ERR_INVALID_PARAM, and so do we.
 * @returns null when an id is not that of a hart
 */
export function hartsOfMask(platform: SbiPlatform, mask: bigint, base: bigint): readonly number[] | null {
  const harts: number[] = []
  if (base === ALL_ONES) {
    for (let hart = 0; hart < platform.harts; hart++) harts.push(hart)
    return harts
  }
  if (base >= BigInt(platform.harts)) return null
  for (let bit = 0n; bit < 64n; bit++) {
    if (((mask >> bit) & 1n) === 0n) continue
    if (base + bit >= BigInt(platform.harts)) return null
    harts.push(Number(base + bit))
  }
  return harts
}
