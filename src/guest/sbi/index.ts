/** sbi: the extensions in one table, and the call that dispatches an ecall. */
import { baseExtension } from './base-extension.ts'
import { DBCN } from './dbcn.ts'
import { HSM } from './hsm.ts'
import { RFENCE } from './rfence.ts'
import { SbiError, failure } from './sbi.ts'
import type { SbiCall, SbiExtension, SbiOutcome } from './sbi.ts'
import { SRST } from './srst.ts'
import { IPI, TIME } from './timer-ipi.ts'

export { UMBRA_IMPLEMENTATION_ID } from './base-extension.ts'
export { HsmState, SbiError } from './sbi.ts'
export type {
  FenceRange,
  HartEntry,
  HsmStateCode,
  SbiCall,
  SbiErrorCode,
  SbiExtension,
  SbiFunction,
  SbiOutcome,
  SbiPlatform,
  SbiReturn,
} from './sbi.ts'
export { RESET_REASON, RESET_TYPE } from './srst.ts'

const OTHERS: readonly SbiExtension[] = [TIME, IPI, RFENCE, HSM, SRST, DBCN]

/** Every extension that a guest is offered, by the names and ids of the specification. */
export const SBI_EXTENSIONS: readonly SbiExtension[] = [
  baseExtension((id) => id === 0x10n || OTHERS.some((extension) => BigInt(extension.id) === id)),
  ...OTHERS,
]

/** The extension of an EID (register a7), or undefined. */
export function sbiExtension(id: bigint): SbiExtension | undefined {
  return SBI_EXTENSIONS.find((extension) => BigInt(extension.id) === id)
}

/** `HSM.hart_start`, or the numbers where there is no such function. For reports. */
export function sbiCallName(extensionId: bigint, functionId: bigint): string {
  const extension = sbiExtension(extensionId)
  if (extension === undefined) return `0x${extensionId.toString(16)}.${functionId}`
  return `${extension.name}.${extension.functions[Number(functionId)]?.name ?? functionId}`
}

/**
 * Carries out one ecall from VS mode. May sleep.
 * @param extensionId register a7
 * @param functionId register a6
 * @returns what goes into a0 and a1, or null when the hart does not return from the call
 * @throws KernelError EFAULT or ENOMEM when guest memory could not be had: nothing has happened, the call may be repeated
 */
export async function sbiEcall(extensionId: bigint, functionId: bigint, call: SbiCall): Promise<SbiOutcome> {
  const extension = sbiExtension(extensionId)
  const handler = functionId < 64n ? extension?.functions[Number(functionId)] : undefined
  if (handler === undefined) return failure(SbiError.NOT_SUPPORTED)
  return handler.call(call)
}
