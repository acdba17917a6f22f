/**
 * HSM (EID 0x48534d), chapter 9: harts are started, stopped and suspended.
 *
 * R1 An id that no hart has is SBI_ERR_INVALID_PARAM before anything else is looked at; then the address; then the state.
 * R2 Both default suspend types are there. KVM (v6.12) has the retentive one only.
 */
import { HsmState, SbiError, failure, success } from './sbi.ts'
import type { SbiCall, SbiExtension, SbiOutcome } from './sbi.ts'

const SUSPEND_DEFAULT_RETENTIVE = 0n
const SUSPEND_DEFAULT_NON_RETENTIVE = 0x8000_0000n
/** A suspend type is 32 bits wide; the register holds it sign-extended. */
const TYPE_MASK = 0xffff_ffffn

function hartStart({ platform, args }: SbiCall): SbiOutcome {
  const [id, address, opaque] = args
  if (id >= BigInt(platform.harts)) return failure(SbiError.INVALID_PARAM)
  if (!platform.canStartAt(address)) return failure(SbiError.INVALID_ADDRESS)
  if (platform.hsmState(Number(id)) !== HsmState.STOPPED) return failure(SbiError.ALREADY_AVAILABLE)
  platform.startHart(Number(id), { address, opaque })
  return success()
}

function hartGetStatus({ platform, args }: SbiCall): SbiOutcome {
  const [id] = args
  if (id >= BigInt(platform.harts)) return failure(SbiError.INVALID_PARAM)
  return success(BigInt(platform.hsmState(Number(id))))
}

async function hartSuspend({ platform, hart, args }: SbiCall): Promise<SbiOutcome> {
  const type = args[0] & TYPE_MASK
  const retentive = type === SUSPEND_DEFAULT_RETENTIVE
  // Reserved, or platform-specific and not implemented.
  if (!retentive && type !== SUSPEND_DEFAULT_NON_RETENTIVE) return failure(SbiError.INVALID_PARAM)
  if (!retentive && !platform.canStartAt(args[1])) return failure(SbiError.INVALID_ADDRESS)
  await platform.suspendHart(hart)
  if (retentive) return success()
  platform.resumeHartAt(hart, { address: args[1], opaque: args[2] })
  return null
}

export const HSM: SbiExtension = {
  id: 0x48534d,
  name: 'HSM',
  functions: [
    { name: 'hart_start', call: hartStart },
    {
      name: 'hart_stop',
      call: ({ platform, hart }) => {
        platform.stopHart(hart)
        return null
      },
    },
    { name: 'hart_get_status', call: hartGetStatus },
    { name: 'hart_suspend', call: hartSuspend },
  ],
}
