/**
 * RFENCE (EID 0x52464e43), chapter 8: fences on other harts. The calls return when the fences have been done.
 *
 * R1 start = 0 with size = 0, or size = 2^64-1, is the whole address space. Another size of 0 fences nothing.
 * R2 The hfence functions are SBI_ERR_NOT_SUPPORTED: harts of a guest have no hypervisor extension (KVM says the same).
 */
import { ALL_ONES, SbiError, failure, hartsOfMask, success } from './sbi.ts'
import type { SbiCall, SbiExtension, SbiFunction, SbiReturn } from './sbi.ts'

/** Bits of an address space id. Higher bits of an argument are ignored, as the instruction does. */
const ASID_MASK = 0xffffn

async function remoteFenceI({ platform, args }: SbiCall): Promise<SbiReturn> {
  const harts = hartsOfMask(platform, args[0], args[1])
  if (harts === null) return failure(SbiError.INVALID_PARAM)
  await platform.remoteFenceI(harts)
  return success()
}

async function remoteSfenceVma(call: SbiCall, asid: number): Promise<SbiReturn> {
  const { platform, args } = call
  const harts = hartsOfMask(platform, args[0], args[1])
  if (harts === null) return failure(SbiError.INVALID_PARAM)
  const start = args[2]
  const size = args[3]
  const whole = (start === 0n && size === 0n) || size === ALL_ONES
  if (!whole && start + size > ALL_ONES + 1n) return failure(SbiError.INVALID_ADDRESS)
  if (whole || size > 0n) await platform.remoteSfenceVma(harts, whole ? null : { start, size }, asid)
  return success()
}

const hfence = (name: string): SbiFunction => ({ name, call: () => failure(SbiError.NOT_SUPPORTED) })

export const RFENCE: SbiExtension = {
  id: 0x52464e43,
  name: 'RFENCE',
  functions: [
    { name: 'remote_fence_i', call: remoteFenceI },
    { name: 'remote_sfence_vma', call: (call) => remoteSfenceVma(call, -1) },
    { name: 'remote_sfence_vma_asid', call: (call) => remoteSfenceVma(call, Number(call.args[4] & ASID_MASK)) },
    hfence('remote_hfence_gvma_vmid'),
    hfence('remote_hfence_gvma'),
    hfence('remote_hfence_vvma_asid'),
    hfence('remote_hfence_vvma'),
  ],
}
