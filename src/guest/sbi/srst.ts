/**
 * SRST (EID 0x53525354), chapter 10: shutdown and reboot of the whole machine.
 *
 * R1 Reserved and vendor-specific types and reasons are SBI_ERR_INVALID_PARAM. KVM (v6.12) passes any reason on.
 */
import { SbiError, failure } from './sbi.ts'
import type { SbiExtension } from './sbi.ts'

/** Both arguments are 32 bits wide. */
const MASK = 0xffff_ffffn

export const RESET_TYPE = { SHUTDOWN: 0, COLD_REBOOT: 1, WARM_REBOOT: 2 } as const
export const RESET_REASON = { NONE: 0, SYSTEM_FAILURE: 1 } as const

export const SRST: SbiExtension = {
  id: 0x53525354,
  name: 'SRST',
  functions: [
    {
      name: 'system_reset',
      call: ({ platform, args }) => {
        const type = Number(args[0] & MASK)
        const reason = Number(args[1] & MASK)
        if (type > RESET_TYPE.WARM_REBOOT || reason > RESET_REASON.SYSTEM_FAILURE) {
          return failure(SbiError.INVALID_PARAM)
        }
        platform.systemReset(type, reason)
        return null
      },
    },
  ],
}
