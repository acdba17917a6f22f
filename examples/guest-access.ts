/** What the other examples share: a guest's loads and stores, as the run loop of a vCPU makes them. */
import { PAGE_SIZE, Vm, gva, gvnOf, hpa } from 'umbra'
import type { Hpa, Mm, Vcpu, VmOptions } from 'umbra'

/** Where guest memory begins. */
export const GUEST = 0x8000_0000

/** A VM over a range of an mm, with one vCPU. */
export async function makeVm(
  mm: Mm,
  range: { readonly start: number; readonly length: number },
  options: VmOptions = {},
  vmClass: typeof Vm = Vm,
): Promise<{ vm: Vm; vcpu: Vcpu }> {
  const vm = await vmClass.create(mm, options)
  await vm.setMemslot({ id: 0, gpa: GUEST, length: range.length, hva: range.start })
  return { vm, vcpu: vm.createVcpu() }
}

/** Translates until it succeeds: a miss leaves guest mode, lets the fault path act, and tries again. */
async function access<T>(vcpu: Vcpu, address: number, write: boolean, use: (at: Hpa) => T): Promise<T> {
  const page = gvnOf(gva(BigInt(address)))
  for (;;) {
    await vcpu.enterGuest()
    const frame = write ? vcpu.translateWrite(page) : vcpu.translateRead(page)
    if (frame !== -1) {
      // At once: no await may stand between a translation and the access that uses it.
      const result = use(hpa(frame + (address % PAGE_SIZE)))
      vcpu.exitGuest()
      return result
    }
    const outcome = await vcpu.handleMiss()
    if (outcome !== 'retry') throw new Error(`the access to 0x${address.toString(16)} ended in ${outcome}`)
  }
}

export function guestLoad(vcpu: Vcpu, address: number): Promise<number> {
  return access(vcpu, address, false, (at) => vcpu.bytes.read32(at))
}

export function guestStore(vcpu: Vcpu, address: number, value: number): Promise<void> {
  return access(vcpu, address, true, (at) => vcpu.bytes.write32(at, value))
}
