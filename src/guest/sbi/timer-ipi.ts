/** TIME (EID 0x54494d45), chapter 6, and IPI (EID 0x735049), chapter 7: what makes an interrupt pending in a hart. */
import { SbiError, failure, hartsOfMask, success } from './sbi.ts'
import type { SbiExtension } from './sbi.ts'

export const TIME: SbiExtension = {
  id: 0x54494d45,
  name: 'TIME',
  functions: [
    {
      name: 'set_timer',
      call: ({ platform, hart, args }) => {
        platform.setTimer(hart, args[0])
        return success()
      },
    },
  ],
}

export const IPI: SbiExtension = {
  id: 0x735049,
  name: 'IPI',
  functions: [
    {
      name: 'send_ipi',
      call: ({ platform, args }) => {
        const harts = hartsOfMask(platform, args[0], args[1])
        if (harts === null) return failure(SbiError.INVALID_PARAM)
        platform.sendIpi(harts)
        return success()
      },
    },
  ],
}
